//! The sends of a connection that wait for room, first come first served (S20).

use coromega_ws_abi as abi;
use pyo3::prelude::*;

use crate::asyncio::running_loop;
use crate::connection::Connection;
use crate::pending::{PendingSend, Wanted};
use crate::send::refused;

impl Connection {
    pub fn sends_waiting(&self) -> bool {
        !self.state.lock().sends.is_empty()
    }

    pub fn queue_send(slf: &Bound<'_, Self>, pending: Py<PendingSend>) -> PyResult<()> {
        let py = slf.py();
        slf.get().state.lock().sends.push_back(pending);
        let mailbox = slf.get().mailbox(py);
        if mailbox.get().is_loop(py, &running_loop(py)?) {
            return Connection::repin(slf);
        }
        // From another loop: the mailbox's own keeps the connection, and looks whether there is
        // room already.
        let work = slf.getattr(pyo3::intern!(py, "_pump"))?;
        mailbox.get().loop_of(py)?.call_method1(pyo3::intern!(py, "call_soon_threadsafe"), (work,))?;
        Ok(())
    }

    pub fn forget_send(slf: &Bound<'_, Self>, pending: &PendingSend) -> PyResult<()> {
        let removed = {
            let mut state = slf.get().state.lock();
            let at = state.sends.iter().position(|send| std::ptr::eq(send.get(), pending));
            at.and_then(|at| state.sends.remove(at))
        };
        if removed.is_some() {
            Connection::schedule(slf)?;
        }
        Ok(())
    }

    /// Sends what waits, in order, as far as there is room.
    pub fn send_waiting(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, connection) = (slf.py(), slf.get());
        loop {
            let pending = match connection.state.lock().sends.front() {
                Some(pending) => pending.clone_ref(py),
                None => return Ok(()),
            };
            let send = pending.get();
            let mut result = Ok(());
            let wanted = send.wanted(py)?;
            match wanted {
                Wanted::Later => {
                    connection.state.lock().stalled = true;
                    return Ok(());
                }
                Wanted::Now => match send.attempt(py, connection.handle) {
                    Ok(abi::CMWS_STATUS_OK) => {}
                    Ok(abi::CMWS_STATUS_WOULD_BLOCK) => return Ok(()),
                    Ok(status) => result = Err(refused(py, status, "send")),
                    Err(error) => result = Err(error),
                },
                Wanted::No => {}
            }
            let sent = {
                let mut state = connection.state.lock();
                let is_first = state.sends.front().is_some_and(|first| first.is(&pending));
                if is_first { state.sends.pop_front() } else { None }
            };
            drop(sent);
            if !matches!(wanted, Wanted::No) {
                send.settle(py, result, true)?;
            }
        }
    }
}
