//! The mailbox whose loop has called us: what it runs need not ask which loop that is.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;

use crate::mailbox::Mailbox;

thread_local! {
    /// The mailbox whose loop is known to run on this thread, because it has called us; or 0.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// How many forks lie between this process and the first one.
static FORKS: AtomicU32 = AtomicU32::new(0);

pub fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Called in a child of fork: no loop of the parent's runs here.
#[pyfunction]
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Counts a call by the loop that may run Python code, while it lives.
pub struct Inside<'a> {
    mailbox: &'a Mailbox,
    before: u64,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.mailbox.inside.fetch_sub(1, Ordering::Relaxed);
        CURRENT.set(self.before);
    }
}

impl Mailbox {
    /// To be called where the loop has called us.
    pub fn enter(&self) -> Inside<'_> {
        self.inside.fetch_add(1, Ordering::Relaxed);
        Inside { mailbox: self, before: CURRENT.replace(self.handle) }
    }

    /// Whether its loop runs here, without asking asyncio, which asks the system for the process's
    /// number. False: perhaps.
    pub fn is_current(&self) -> bool {
        CURRENT.get() == self.handle && self.forks == forks()
    }
}
