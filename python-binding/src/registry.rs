//! What a mailbox knows and keeps: connections, the tasks of callbacks, the spare task.

use std::hash::Hasher;

use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::connection::Connection;
use crate::mailbox::Mailbox;
use crate::spare::Spare;

/// Handles are numbers that differ: they need no more than a spreading.
#[derive(Default)]
pub struct HandleHasher(u64);

impl Hasher for HandleHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// A connection as the mailbox knows it: weakly, and strongly while somebody waits for it.
pub struct Entry {
    pub weak: Py<PyWeakrefReference>,
    pub pin: Option<Py<Connection>>,
}

impl Mailbox {
    pub fn take_spare(&self) -> Option<Spare> {
        self.state.lock().spare.take()
    }

    pub fn take_future(&self) -> Option<Py<PyAny>> {
        self.state.lock().future.take()
    }

    pub fn put_future(&self, future: Py<PyAny>) {
        let old = self.state.lock().future.replace(future);
        drop(old);
    }

    pub fn put_spare(&self, spare: Spare) {
        let old = self.state.lock().spare.replace(spare);
        drop(old);
    }

    /// Whether this driver's task is the one that is kept.
    pub fn is_spare(&self, driver: usize) -> bool {
        let state = self.state.lock();
        state.spare.as_ref().is_some_and(|spare| std::ptr::from_ref(spare.driver.get()) as usize == driver)
    }

    pub fn forget_spare(&self, driver: usize) {
        let old = {
            let mut state = self.state.lock();
            match &state.spare {
                Some(spare) if std::ptr::from_ref(spare.driver.get()) as usize == driver => {
                    state.spare.take()
                }
                _ => None,
            }
        };
        drop(old);
    }

    pub fn keep_running(&self, driver: usize, task: Py<PyAny>) {
        let old = self.state.lock().running.insert(driver, task);
        drop(old);
    }

    pub fn stop_running(&self, driver: usize) {
        let old = self.state.lock().running.remove(&driver);
        drop(old);
    }

    /// Keeps a connection, or lets go of it.
    pub fn pin(&self, connection: &Bound<'_, Connection>, handle: u64, pin: bool) -> PyResult<()> {
        let old = {
            let mut state = self.state.lock();
            let Some(entry) = state.connections.get_mut(&handle) else {
                return Ok(());
            };
            let old = if pin { entry.pin.replace(connection.clone().unbind()) } else { entry.pin.take() };
            match (pin, old.is_some()) {
                (true, false) => state.pins += 1,
                (false, true) => state.pins -= 1,
                _ => {}
            }
            old
        };
        drop(old);
        self.tell_idle(connection.py())
    }

    pub fn tell_idle(&self, py: Python<'_>) -> PyResult<()> {
        let idle = {
            let mut state = self.state.lock();
            if state.pins > 0 || !state.listeners.is_empty() {
                return Ok(());
            }
            state.idle.take()
        };
        match idle {
            Some(idle) => self.call_soon(py, idle.into_bound(py)),
            None => Ok(()),
        }
    }

    /// A connection's object is gone.
    pub fn forget(&self, handle: u64) {
        let old = self.state.lock().connections.remove(&handle);
        drop(old);
    }

    pub fn find<'py>(&self, py: Python<'py>, handle: u64) -> Option<Bound<'py, Connection>> {
        let weak = {
            let state = self.state.lock();
            let entry = state.connections.get(&handle)?;
            if let Some(pin) = &entry.pin {
                return Some(pin.bind(py).clone());
            }
            entry.weak.clone_ref(py)
        };
        weak.bind(py).upgrade()?.cast_into::<Connection>().ok()
    }
}
