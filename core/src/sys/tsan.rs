//! What ThreadSanitizer is told of locks, in a build for it (`tools/sanitize.sh thread`); elsewhere
//! nothing, at no cost.
//!
//! It sees the atomics inside a lock, and so what happens before what. Told that they are a lock, it
//! finds locks that are taken in different orders as well, which can stop two threads for ever.

#[cfg(coromega_tsan)]
use std::ffi::{c_int, c_uint, c_void};

/// How a lock is taken.
#[derive(Clone, Copy)]
pub(crate) enum How {
    Alone,
    Shared,
    /// Alone, if nobody has it.
    Try,
}

/// A lock that a thread takes.
#[cfg(not(coromega_tsan))]
#[derive(Clone, Copy)]
pub(crate) struct Lock;

#[cfg(not(coromega_tsan))]
impl Lock {
    pub(crate) fn taking<L>(_: &L, _: How) -> Lock {
        Lock
    }
    pub(crate) fn taken(self) {}
    pub(crate) fn missed(self) {}
    pub(crate) fn leaving(self) {}
    pub(crate) fn left(self) {}
}

/// A lock that a thread takes: its place in memory, and how.
#[cfg(coromega_tsan)]
#[derive(Clone, Copy)]
pub(crate) struct Lock(usize, c_uint);

// sanitizer/tsan_interface.h
#[cfg(coromega_tsan)]
const READ_LOCK: c_uint = 1 << 3;
#[cfg(coromega_tsan)]
const TRY_LOCK: c_uint = 1 << 4;
#[cfg(coromega_tsan)]
const TRY_LOCK_FAILED: c_uint = 1 << 5;

#[cfg(coromega_tsan)]
unsafe extern "C" {
    fn __tsan_mutex_pre_lock(lock: *mut c_void, flags: c_uint);
    fn __tsan_mutex_post_lock(lock: *mut c_void, flags: c_uint, recursion: c_int);
    fn __tsan_mutex_pre_unlock(lock: *mut c_void, flags: c_uint) -> c_int;
    fn __tsan_mutex_post_unlock(lock: *mut c_void, flags: c_uint);
}

// SAFETY, of all calls below: they take the place as a name, and read and write nothing there.
#[cfg(coromega_tsan)]
impl Lock {
    pub(crate) fn taking<L>(lock: &L, how: How) -> Lock {
        let flags = match how {
            How::Alone => 0,
            How::Shared => READ_LOCK,
            How::Try => TRY_LOCK,
        };
        let lock = Lock(std::ptr::from_ref(lock).addr(), flags);
        // SAFETY: see above.
        unsafe { __tsan_mutex_pre_lock(lock.0 as *mut c_void, flags) };
        lock
    }

    pub(crate) fn taken(self) {
        // SAFETY: see above.
        unsafe { __tsan_mutex_post_lock(self.0 as *mut c_void, self.1, 0) };
    }

    pub(crate) fn missed(self) {
        // SAFETY: see above.
        unsafe { __tsan_mutex_post_lock(self.0 as *mut c_void, self.1 | TRY_LOCK_FAILED, 0) };
    }

    pub(crate) fn leaving(self) {
        // SAFETY: see above.
        unsafe { __tsan_mutex_pre_unlock(self.0 as *mut c_void, self.1) };
    }

    pub(crate) fn left(self) {
        // SAFETY: see above.
        unsafe { __tsan_mutex_post_unlock(self.0 as *mut c_void, self.1) };
    }
}
