//! Waking: a mailbox's eventfd, its deadline, and the descriptor that hosts with a loop watch.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::OnceLock,
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    io::{Errno, read, write},
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec},
};

use crate::lock::Mutex;

/// Wakes the thread that polls a mailbox, or the loop that watches its descriptor.
pub(crate) struct Wake {
    event: OwnedFd,
    /// What the thread waits at, edge-triggered: a signal need not be read to be over.
    epoll: OwnedFd,
    /// Ends its waits. One that others follow within its time leaves it as it is, since to arm a timer
    /// for each of many short waits costs more than to be woken too early once.
    timer: Timer,
    /// When the timer fires.
    armed: Mutex<Option<Instant>>,
    watched: OnceLock<Watched>,
}

/// What a host with a loop of its own watches: readable for an event, or when the deadline comes.
struct Watched {
    epoll: OwnedFd,
    deadline: Timer,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Wake> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let (epoll, timer) = (epoll::create(epoll::CreateFlags::CLOEXEC)?, Timer::new()?);
        let (data, flags) = (epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET);
        epoll::add(&epoll, &event, data, flags)?;
        epoll::add(&epoll, &timer.0, data, flags)?;
        Ok(Wake { event, epoll, timer, armed: Mutex::new(None), watched: OnceLock::new() })
    }

    /// The descriptor for a host's loop, made by the first call. Signals that came before that are gone.
    pub(crate) fn watched(&self) -> io::Result<BorrowedFd<'_>> {
        if self.watched.get().is_none() {
            let _ = read(&self.event, &mut [0u8; 8]);
            let made =
                Watched { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, deadline: Timer::new()? };
            let (data, flags) = (epoll::EventData::new_u64(0), epoll::EventFlags::IN);
            epoll::add(&made.epoll, &self.event, data, flags)?;
            epoll::add(&made.epoll, &made.deadline.0, data, flags)?;
            let _ = self.watched.set(made);
        }
        self.watched.get().map(|w| w.epoll.as_fd()).ok_or_else(|| io::ErrorKind::Other.into())
    }

    /// Whether a host's loop watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.get().is_some()
    }

    /// Has the watched descriptor become readable at the deadline, or not any more.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        if let Some(watched) = self.watched.get() {
            watched.deadline.set(deadline.map(|d| d.saturating_duration_since(Instant::now())));
        }
    }

    /// Makes the descriptors readable.
    pub(crate) fn signal(&self) {
        let _ = write(&self.event, &1u64.to_ne_bytes());
    }

    /// Takes back a signal. False: there is none. Where nobody watches, it may end a later wait early.
    pub(crate) fn clear(&self) -> bool {
        !self.is_watched() || read(&self.event, &mut [0u8; 8]).is_ok()
    }

    /// Waits for a signal or a signal handler, until this time at most. It may end early.
    pub(crate) fn wait(&self, end: Option<Instant>) -> io::Result<Waited> {
        if let Some(end) = end {
            self.arm(end);
        }
        let mut events = [MaybeUninit::uninit(); 2];
        match epoll::wait(&self.epoll, &mut events, None) {
            Ok(_) => Ok(Waited::Done),
            Err(Errno::INTR) => Ok(Waited::Interrupted),
            Err(e) => Err(e.into()),
        }
    }

    /// Has the timer fire at this time, or before.
    fn arm(&self, end: Instant) {
        let mut armed = self.armed.lock();
        let now = Instant::now();
        if !armed.is_some_and(|at| now < at && at <= end) {
            self.timer.set(Some(end.saturating_duration_since(now)));
            *armed = Some(end);
        }
    }
}

/// How a wait ended.
pub(crate) enum Waited {
    /// By a signal to the mailbox, or by time.
    Done,
    /// By a signal handler of the process.
    Interrupted,
}

/// A timer that is armed with one system call from any thread.
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Timer(rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Fires once after this time; None stops it.
    pub(crate) fn set(&self, after: Option<Duration>) {
        // A zero time would stop it, too.
        let value = after.map_or(Duration::ZERO, |d| d.max(Duration::from_nanos(1)));
        let spec = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(value) };
        let _ = rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec);
    }

    /// Takes note that it has fired.
    pub(crate) fn clear(&self) {
        let _ = read(&self.0, &mut [0u8; 8]);
    }

    /// A descriptor of its own for whoever waits for it.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

fn timespec(d: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX), tv_nsec: d.subsec_nanos().into() }
}
