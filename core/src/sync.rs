//! What threads of the library meet at, beside locks. The models look on here: see `models`.

pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence},
    thread_local,
};

pub(crate) use atomic_waker::AtomicWaker;

/// A number that tells this thread from every other that lives.
pub(crate) fn this_thread() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| &raw const *mark as usize)
}
