//! What stands for `wake` in the models: a descriptor is a flag, and a timer one that the model has
//! expire when it likes.

#![allow(clippy::disallowed_types)]

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::Ordering::AcqRel},
    time::{Duration, Instant},
};

use loom::{
    sync::atomic::AtomicBool,
    thread::{self, Thread},
};

/// Wakes the thread that polls a mailbox, or the loop that watches its descriptor.
#[derive(Clone)]
pub(crate) struct Wake(Arc<Event>);

#[derive(Default)]
struct Event {
    has_come: AtomicBool,
    sleepers: Mutex<Vec<Thread>>,
    watched: OnceLock<OwnedFd>,
}

thread_local! {
    static LAST_WAKE: RefCell<Option<Wake>> = RefCell::default();
    static LAST_TIMER: RefCell<Option<Timer>> = RefCell::default();
}

impl Wake {
    pub(crate) fn new() -> io::Result<Wake> {
        let wake = Wake(Arc::default());
        LAST_WAKE.set(Some(wake.clone()));
        Ok(wake)
    }

    /// The one that was made last.
    pub(crate) fn last() -> Wake {
        LAST_WAKE.take().unwrap()
    }

    /// The descriptor is no more than something to give back: a model calls `wait` instead.
    pub(crate) fn watched(&self) -> io::Result<BorrowedFd<'_>> {
        if self.0.watched.get().is_none() {
            let _ = self.0.watched.set(descriptor()?);
        }
        Ok(self.0.watched.get().unwrap().as_fd())
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.0.watched.get().is_some()
    }

    pub(crate) fn set_deadline(&self, _: Option<Instant>) {}

    pub(crate) fn signal(&self) {
        self.0.has_come.swap(true, AcqRel);
        for sleeper in std::mem::take(&mut *self.sleepers()) {
            sleeper.unpark();
        }
    }

    pub(crate) fn clear(&self) -> bool {
        self.0.has_come.swap(false, AcqRel)
    }

    /// Waits for a signal. No time passes in a model.
    pub(crate) fn wait(&self, _: Option<Duration>) -> io::Result<Waited> {
        while !self.0.has_come.fetch_or(false, AcqRel) {
            // No other thread runs between the look and this.
            self.sleepers().push(thread::current());
            thread::park();
        }
        Ok(Waited::Done)
    }

    fn sleepers(&self) -> std::sync::MutexGuard<'_, Vec<Thread>> {
        self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a wait ended.
pub(crate) enum Waited {
    Done,
    Interrupted,
}

fn descriptor() -> io::Result<OwnedFd> {
    io::stderr().as_fd().try_clone_to_owned()
}

/// Whether it is set.
#[derive(Clone)]
pub(crate) struct Timer(Arc<AtomicBool>);

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let timer = Timer(Arc::new(AtomicBool::new(false)));
        LAST_TIMER.set(Some(timer.clone()));
        Ok(timer)
    }

    /// The one that was made last.
    pub(crate) fn last() -> Timer {
        LAST_TIMER.take().unwrap()
    }

    pub(crate) fn set(&self, after: Option<Duration>) {
        self.0.swap(after.is_some(), AcqRel);
    }

    /// Has it fire, if it is set. It is not set any more.
    pub(crate) fn expires(&self) -> bool {
        self.0.swap(false, AcqRel)
    }

    pub(crate) fn clear(&self) {}

    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        descriptor()
    }
}
