//! Locks that outlive a panic.
//!
//! A panic is reported where it comes out of the library, and what it has left is still to be
//! closed: so whoever comes next gets what a lock guards as it is. All of this crate uses these, and
//! clippy sees to it.
#![allow(clippy::disallowed_types)]

use std::{
    ops::{Deref, DerefMut},
    sync::{self, PoisonError, TryLockError},
};

use crate::sys::tsan::{How, Lock};

/// For one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

pub(crate) type MutexGuard<'a, T> = Held<sync::MutexGuard<'a, T>>;

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let lock = Lock::taking(self, How::Alone);
        Held::new(lock, self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// None while a thread holds it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let lock = Lock::taking(self, How::Try);
        match self.0.try_lock() {
            Ok(guard) => Some(Held::new(lock, guard)),
            Err(TryLockError::Poisoned(e)) => Some(Held::new(lock, e.into_inner())),
            Err(TryLockError::WouldBlock) => {
                lock.missed();
                None
            }
        }
    }
}

/// For many threads that read, or for one that writes.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> RwLock<T> {
        RwLock(sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> Held<sync::RwLockReadGuard<'_, T>> {
        let lock = Lock::taking(self, How::Shared);
        Held::new(lock, self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write(&self) -> Held<sync::RwLockWriteGuard<'_, T>> {
        let lock = Lock::taking(self, How::Alone);
        Held::new(lock, self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a lock guards, until it is dropped: its fields in this order.
pub(crate) struct Held<G> {
    _leaving: Leaving,
    guard: G,
    _left: Left,
}

struct Leaving(Lock);
struct Left(Lock);

impl<G> Held<G> {
    fn new(lock: Lock, guard: G) -> Held<G> {
        lock.taken();
        Held { _leaving: Leaving(lock), guard, _left: Left(lock) }
    }
}

impl<G: Deref> Deref for Held<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Held<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leaving();
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        self.0.left();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_does_not_take_what_is_locked() {
        let (mutex, shared) = (Mutex::new(1), RwLock::new(1));
        let thrown = catch_unwind(AssertUnwindSafe(|| {
            let (_one, _all) = (mutex.lock(), shared.write());
            assert!(mutex.try_lock().is_none());
            panic!("while it is locked");
        }));
        assert!(thrown.is_err());
        *mutex.lock() += 1;
        *shared.write() += 1;
        assert_eq!((mutex.try_lock().as_deref(), *shared.read()), (Some(&2), 2));
    }
}
