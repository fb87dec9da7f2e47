//! Corking: what the polling thread sends between two polls leaves with one write for each
//! connection, and within 2 ms whatever the guest does.

use std::{
    io, mem,
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    connection::Connection,
    limits,
    lock::{Mutex, MutexGuard},
    sync::{AtomicBool, AtomicUsize, this_thread},
    wake::Timer,
};

/// The corked connections of a mailbox.
pub(crate) struct Cork {
    /// The thread whose sends are kept back until the end of its batch, or 0.
    thread: AtomicUsize,
    /// How many batches there were, and how many connections have had large payloads kept back in this one.
    batches: AtomicUsize,
    large: AtomicUsize,
    /// Connections with bytes that were kept back.
    list: Mutex<Vec<Arc<Connection>>>,
    /// Bounds how long they are kept back. It is armed once for many batches: while it runs, it
    /// is early enough for all of them.
    timer: Timer,
    timer_set: AtomicBool,
}

impl Cork {
    pub(crate) fn new() -> io::Result<Cork> {
        Ok(Cork {
            thread: AtomicUsize::new(0),
            batches: AtomicUsize::new(0),
            large: AtomicUsize::new(0),
            list: Mutex::default(),
            timer: Timer::new()?,
            timer_set: AtomicBool::new(false),
        })
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.list.lock()
    }

    /// From here to the end of the batch, what this thread sends is kept back.
    pub(crate) fn begin_batch(&self) {
        self.thread.store(this_thread(), Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.large.store(0, Ordering::Relaxed);
    }

    /// Whether what this thread sends now is kept back.
    pub(crate) fn is_on(&self) -> bool {
        self.thread.load(Ordering::Relaxed) == this_thread()
    }

    /// The number of the batch that this thread is in.
    pub(crate) fn batch(&self) -> Option<usize> {
        self.is_on().then(|| self.batches.load(Ordering::Relaxed))
    }

    /// Whether one more connection may have large payloads kept back: of too many, they would leave late.
    pub(crate) fn takes_large(&self) -> bool {
        self.large.fetch_add(1, Ordering::Relaxed) < limits::OUT_BUFFERS
    }

    /// Has a connection written at the end of the batch, or by the timer.
    pub(crate) fn add(&self, connection: &Arc<Connection>) {
        self.list().push(connection.clone());
        self.set_timer();
    }

    /// Writes what was kept back.
    pub(crate) fn end_batch(&self) {
        if self.is_on() {
            self.thread.store(0, Ordering::Relaxed);
        }
        let mut list = mem::take(&mut *self.list());
        for connection in list.drain(..) {
            connection.uncork();
        }
        let mut kept = self.list();
        if kept.is_empty() && list.capacity() <= 1024 {
            *kept = list; // its memory serves the next batch
        }
    }

    /// Has the timer fire soon, if it does not anyway.
    pub(crate) fn set_timer(&self) {
        if !self.timer_set.swap(true, Ordering::AcqRel) {
            self.timer.set(Some(limits::CORK_DELAY));
        }
    }

    /// For the runtime: has written what was kept back for so long.
    pub(crate) fn timer_fired(&self) {
        self.timer.clear();
        self.timer_set.swap(false, Ordering::AcqRel);
        let list = mem::take(&mut *self.list());
        for connection in list {
            connection.serve_writer();
        }
    }

    /// The timer's descriptor, for the runtime to watch.
    pub(crate) fn timer(&self) -> io::Result<OwnedFd> {
        self.timer.duplicate()
    }
}
