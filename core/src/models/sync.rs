//! What stands for `sync` in the models: that of the model checker.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    marker::PhantomData,
    task::Waker,
};

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
use loom::thread::{self, AccessError, LocalKey};

use crate::lock::Mutex;

/// A number that tells this thread from every other.
pub(crate) fn this_thread() -> usize {
    let mut hasher = DefaultHasher::new();
    thread::current().id().hash(&mut hasher);
    hasher.finish() as usize | 1
}

/// Wakes the task that was registered last. What happened before `wake` is seen by whoever finds
/// that it was woken, and by whoever registers after it.
#[derive(Default)]
pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub(crate) fn new() -> AtomicWaker {
        AtomicWaker::default()
    }

    pub(crate) fn register(&self, waker: &Waker) {
        *self.0.lock() = Some(waker.clone());
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A variable of which each thread has its own.
pub(crate) struct Local<T: 'static>(LocalKey<T>);

impl<T> Local<T> {
    pub(crate) const fn new(init: fn() -> T) -> Local<T> {
        Local(LocalKey { init, _p: PhantomData })
    }

    pub(crate) fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.0.try_with(f)
    }
}

impl<T> Local<std::cell::RefCell<T>> {
    pub(crate) fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.0.with(|cell| f(&mut cell.borrow_mut()))
    }
}

macro_rules! local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $(#[$attribute])*
        static $name: $crate::sync::Local<$type> = $crate::sync::Local::new(|| $init);
    };
}
pub(crate) use local as thread_local;
