//! Locks that outlive a panic.
//!
//! A panic is reported where it comes out of the library, and what it has left is still to be
//! closed: so whoever comes next gets what a lock guards as it is. All of this crate uses these, and
//! clippy sees to it.
#![allow(clippy::disallowed_types)]

use std::sync::{self, PoisonError, TryLockError};

pub(crate) use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// For one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None while a thread holds it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => None,
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

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
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
