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
    /// It has been signalled since it was read.
    level: AtomicBool,
    /// It has been signalled since a wait told of it.
    edge: AtomicBool,
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

    /// The descriptor is no more than something to give back: a model calls `watch` instead.
    pub(crate) fn watched(&self) -> io::Result<BorrowedFd<'_>> {
        if self.0.watched.get().is_none() {
            self.0.level.swap(false, AcqRel);
            let _ = self.0.watched.set(descriptor()?);
        }
        Ok(self.0.watched.get().unwrap().as_fd())
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.0.watched.get().is_some()
    }

    pub(crate) fn set_deadline(&self, _: Option<Instant>) {}

    pub(crate) fn signal(&self) {
        self.0.level.swap(true, AcqRel);
        self.0.edge.swap(true, AcqRel);
        for sleeper in std::mem::take(&mut *self.sleepers()) {
            sleeper.unpark();
        }
    }

    pub(crate) fn clear(&self) -> bool {
        !self.is_watched() || self.0.level.swap(false, AcqRel)
    }

    /// Waits for a signal. No time passes in a model.
    pub(crate) fn wait(&self, _: Option<Instant>) -> io::Result<Waited> {
        self.sleep(|| {
            while self.0.edge.swap(false, AcqRel) {
                if self.0.level.fetch_or(false, AcqRel) {
                    return true;
                }
            }
            false
        });
        Ok(Waited::Done)
    }

    /// What a host's loop does.
    pub(crate) fn watch(&self) {
        self.sleep(|| self.0.level.fetch_or(false, AcqRel));
    }

    fn sleep(&self, is_over: impl Fn() -> bool) {
        while !is_over() {
            // No other thread runs between the look and this.
            self.sleepers().push(thread::current());
            thread::park();
        }
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
