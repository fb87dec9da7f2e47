//! Alarms of connections: one queue of times behind one timer of the system.
//!
//! Waits of the runtime need no timeout of their own while nothing else is timed: with one, each
//! wait would set and unset a timer of the system.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use crate::{
    connection::Connection,
    lock::{Mutex, MutexGuard},
    sys,
    wake::Timer,
};

pub(crate) struct Alarms {
    queue: Mutex<Queue>,
    timer: Timer,
}

#[derive(Default)]
struct Queue {
    /// By time, then by place in memory: a handle may change.
    alarms: BTreeMap<(Instant, usize), Arc<Connection>>,
    /// What the timer is set to. It may be earlier than all alarms, never later.
    set: Option<Instant>,
}

fn key(connection: &Connection) -> usize {
    std::ptr::from_ref(connection).addr()
}

impl Alarms {
    pub(crate) fn new() -> io::Result<Alarms> {
        Ok(Alarms { queue: Mutex::default(), timer: Timer::new()? })
    }

    /// The timer's descriptor, for the runtime to watch.
    pub(crate) fn timer(&self) -> io::Result<OwnedFd> {
        self.timer.duplicate()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Wakes the connection at this time, with `rung` set.
    pub(crate) fn add(&self, at: Instant, connection: &Arc<Connection>) {
        let mut queue = self.queue();
        queue.alarms.insert((at, key(connection)), connection.clone());
        if queue.set.is_none_or(|set| at < set) {
            self.set_timer(&mut queue, Some(at));
        }
    }

    /// Takes back an alarm, if it has not rung.
    pub(crate) fn remove(&self, at: Instant, connection: &Connection) {
        self.queue().alarms.remove(&(at, key(connection)));
    }

    fn set_timer(&self, queue: &mut Queue, at: Option<Instant>) {
        queue.set = at;
        self.timer.set(at.map(|at| at.saturating_duration_since(Instant::now())));
    }

    /// The task of the runtime that rings the alarms, each at its time.
    pub(crate) async fn run(self: Arc<Self>, timer: OwnedFd) {
        let Ok(timer) = sys::watch(timer) else { return };
        while let Ok(mut ready) = timer.readable().await {
            ready.clear_ready();
            self.timer.clear();
            self.ring();
        }
    }

    fn ring(&self) {
        let now = Instant::now();
        let mut queue = self.queue();
        while let Some(first) = queue.alarms.first_entry()
            && first.key().0 <= now
        {
            let connection = first.remove();
            connection.rung.store(true, Ordering::Release);
            connection.waker.wake();
        }
        let next = queue.alarms.first_key_value().map(|((at, _), _)| *at);
        self.set_timer(&mut queue, next);
    }
}
