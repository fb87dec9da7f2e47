//! What must be unsafe: the pointer that a fork clears, the signal mask, a receive into room that
//! was not filled before, how a thread is scheduled, questions to descriptors, what
//! ThreadSanitizer is told.
#![allow(unsafe_code)]

pub(crate) mod tsan;

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
    time::Duration,
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::error::{Error, Kind, Result};

/// Holds the state of this process; empty again in a forked child.
///
/// What it held is leaked on purpose: threads that no longer exist in a child may have left it
/// locked or half changed, so that nobody may touch or free it there.
pub(crate) struct ForkCell<T: 'static>(AtomicPtr<T>);

/// The cells that a fork clears. There is one.
static CELL: AtomicPtr<AtomicPtr<()>> = AtomicPtr::new(ptr::null_mut());

extern "C" fn clear_in_child() {
    let cell = CELL.load(Ordering::Acquire);
    if !cell.is_null() {
        // SAFETY: the pointer was made from a `&'static AtomicPtr` in `get_or_make`. Pointers to any
        // sized type look alike, and null is one to each.
        unsafe { (*cell).store(ptr::null_mut(), Ordering::Release) };
    }
}

impl<T: Sync> ForkCell<T> {
    pub(crate) const fn new() -> ForkCell<T> {
        ForkCell(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: the pointer is null or came from `Box::leak` in `get_or_make`, so it is valid
        // for ever; `T` is `Sync`, so that any thread may share it.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// What the cell holds, made now if it is empty.
    pub(crate) fn get_or_make(&'static self, make: impl FnOnce() -> T) -> Result<&'static T>
    where
        T: Send,
    {
        if let Some(found) = self.get() {
            return Ok(found);
        }
        // A child inherits the handler along with everything else: it is registered once.
        let cell = (&raw const self.0).cast_mut().cast::<AtomicPtr<()>>();
        if CELL.compare_exchange(ptr::null_mut(), cell, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // SAFETY: the handler is a function of this library, which is never unloaded; it
            // stores to one atomic and does nothing else, as a fork handler must.
            let failed = unsafe { libc::pthread_atfork(None, None, Some(clear_in_child)) };
            if failed != 0 {
                CELL.store(ptr::null_mut(), Ordering::Release);
                return Err(Error::new(Kind::Resources, "no memory for a fork handler"));
            }
        }
        let made = Box::into_raw(Box::new(make()));
        match self.0.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `made` came from a box that is leaked here, into the cell.
            Ok(_) => Ok(unsafe { &*made }),
            Err(winner) => {
                // SAFETY: another thread was first, so `made` is known to nobody else; `winner`
                // was leaked by that thread.
                unsafe {
                    drop(Box::from_raw(made));
                    Ok(&*winner)
                }
            }
        }
    }
}

/// Runs `f` with every signal blocked on this thread, so that a thread it starts never takes one.
pub(crate) fn with_signals_blocked<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: both sets are initialised before they are read: one by `sigfillset`, the other by
    // `pthread_sigmask`, which can't fail with a valid `how`.
    let old = unsafe {
        let (mut all, mut old) = (mem::zeroed(), mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        old
    };
    let result = f();
    // SAFETY: `old` is the mask that `pthread_sigmask` stored above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &old, ptr::null_mut()) };
    result
}

/// Has this thread wait for its turn instead of interrupting others on its core when there is
/// something to read: it finds more at once then (SCHED_BATCH, sched(7)). Its share stays the same.
/// The policy is this thread's alone, and one that a host chose for its threads is left as it is.
pub(crate) fn prefer_throughput() {
    // SAFETY: both calls are about this thread and have no other effect. Zeros are a valid `param`,
    // which is read and not kept.
    unsafe {
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            let param: libc::sched_param = mem::zeroed();
            libc::sched_setscheduler(0, libc::SCHED_BATCH | libc::SCHED_RESET_ON_FORK, &param);
        }
    }
}

/// Bytes of a TCP socket that its peer has not acknowledged.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while it is borrowed, and TIOCOUTQ stores one int.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) } {
        0 => Ok(usize::try_from(bytes).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a TCP peer's system owes us an acknowledgement, and has given none for so long. That of
/// a peer that merely does not read goes on giving them.
pub(crate) fn is_unheard_for(socket: BorrowedFd<'_>, time: Duration) -> bool {
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: `tcp_info` is made of numbers, for which zeros are valid, and TCP_INFO stores no more
    // of it than `length` says.
    let (result, info) = unsafe {
        let mut info: libc::tcp_info = mem::zeroed();
        let to = (&raw mut info).cast();
        let result = libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, to, &mut length);
        (result, info)
    };
    // A Unix socket has no TCP_INFO, and its peer's system is ours.
    result == 0
        && Duration::from_millis(info.tcpi_last_ack_recv.into()) >= time
        && unacknowledged(socket).is_ok_and(|bytes| bytes > 0)
}

/// Receives without waiting: into `head`, then up to `most` bytes behind what a vector holds, in the
/// room it has, then into `tail`.
pub(crate) fn receive_parts(
    socket: BorrowedFd<'_>,
    head: &mut [u8],
    middle: &mut Vec<u8>,
    most: usize,
    tail: &mut [u8],
) -> io::Result<usize> {
    let room = middle.spare_capacity_mut();
    let most = most.min(room.len());
    let part = |base: *mut u8, length| libc::iovec { iov_base: base.cast(), iov_len: length };
    let parts = [
        part(head.as_mut_ptr(), head.len()),
        part(room.as_mut_ptr().cast(), most),
        part(tail.as_mut_ptr(), tail.len()),
    ];
    // SAFETY: zeros are a valid `msghdr`: no name, no control data, no parts.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut();
    message.msg_iovlen = parts.len() as _;
    // SAFETY: the descriptor is open while it is borrowed. Each part is memory that is borrowed for
    // this call alone, of the length that is given; the system stores bytes there and reads none.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) };
    let Ok(got) = usize::try_from(got) else { return Err(io::Error::last_os_error()) };
    let here = got.saturating_sub(head.len()).min(most);
    // SAFETY: the system fills the parts in their order, so that it has stored `here` bytes behind the
    // first `len`, within the capacity.
    unsafe { middle.set_len(middle.len() + here) };
    Ok(got)
}

/// A descriptor that the runtime watches for being readable. To be called on its thread.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names one descriptor, always the same, which stays open until the
    // `AsyncFd` that owns it from here on drops it, after it has stopped watching.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
