//! Connections that come back: a client's connection with the option `reconnect` that is lost is
//! made again, until it stands.
//!
//! Each time that is another `Connection`, with the same handle: it takes the place of the one that
//! was lost in every table, and what was received and not taken, or kept to be sent, goes along. So
//! whatever belongs to one socket begins anew with it, and guests see one connection.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    connect::{self, Attempt},
    connection::{Connection, End},
    counters::Tally,
    error::{Error, Kind},
    event::EventKind,
    lock::Mutex,
    options::Options,
    protocol::{GOING_AWAY, NO_CODE},
};

/// How a connection is made again.
pub(crate) struct Plan {
    attempt: Attempt,
    min_delay: Duration,
    max_delay: Duration,
    /// What may be kept to be sent, in bytes, each message as its length + 64.
    pub buffer: u64,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// When it opened the last time; None: it never did.
    opened: Option<Instant>,
    /// Attempts since it stood for long enough.
    attempts: u32,
}

impl Plan {
    /// None if the options want none.
    pub(crate) fn new(attempt: &Attempt, options: &Options) -> Option<Arc<Plan>> {
        options.reconnect.then(|| {
            let min_delay = Duration::from_millis(options.reconnect_delay_ms.into());
            let max_delay = Duration::from_millis(options.reconnect_max_delay_ms.into());
            let (attempt, buffer) = (attempt.clone(), options.reconnect_buffer);
            Arc::new(Plan { attempt, min_delay, max_delay, buffer, progress: Mutex::default() })
        })
    }

    /// For the runtime: the connection stands.
    pub(crate) fn opened(&self) {
        self.progress.lock().opened = Some(Instant::now());
    }

    /// How long to wait before the next attempt; None before the first success, which is not
    /// waited for.
    fn next_delay(&self, was_open: bool) -> Option<Duration> {
        let mut progress = self.progress.lock();
        if was_open && progress.opened?.elapsed() >= self.max_delay {
            progress.attempts = 0;
        }
        progress.opened?;
        let attempts = progress.attempts;
        progress.attempts = attempts.saturating_add(1);
        Some(jittered(self.min_delay.saturating_mul(1 << attempts.min(30)).min(self.max_delay)))
    }
}

/// From a half of it to the whole.
fn jittered(delay: Duration) -> Duration {
    let mut random = [0; 4];
    let _ = getrandom::fill(&mut random);
    delay.mul_f64(0.5 + 0.5 * f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX))
}

/// Whether what ended a connection may pass: it is no decision of the server's, and nothing that
/// the same would be done to again.
fn may_pass(connection: &Connection, error: Option<&Error>) -> bool {
    if let Some(close) = connection.first_close.get() {
        return matches!(close.code, GOING_AWAY | NO_CODE | 1011..=1014);
    }
    match error {
        None => true,
        Some(error) => match error.kind {
            Kind::Http => matches!(error.http_status, 408 | 425 | 429 | 500..),
            Kind::Timeout | Kind::Dns | Kind::Tcp | Kind::Tls | Kind::Handshake | Kind::Resources => true,
            _ => false,
        },
    }
}

impl Connection {
    /// Whether this connection, which cannot be sent to, will come back.
    pub(crate) fn comes_back(&self) -> Option<&Plan> {
        let plan = self.plan.as_deref()?;
        let opened = plan.progress.lock().opened;
        (opened.is_some() && self.end.get().is_none() && may_pass(self, None)).then_some(plan)
    }

    /// For the runtime: this connection has ended. True if another one takes its place.
    pub(crate) fn is_succeeded(self: &Arc<Self>, error: Option<&Error>, was_open: bool) -> bool {
        let Some(plan) = &self.plan else { return false };
        if self.end.get().is_some() || !may_pass(self, error) {
            return false;
        }
        let Some(delay) = plan.next_delay(was_open) else { return false };
        let Ok(runtime) = self.process.runtime() else { return false };
        let next = Connection::again(self);
        let Some(waits) = self.hand_over(&next) else { return false };
        if !self.is_replaced(&next) {
            return false; // the guest has let go of it
        }
        next.announce();
        if waits {
            next.tell(EventKind::Writable);
        }
        runtime.spawn(connect::run(next, plan.attempt.clone(), delay));
        true
    }

    /// Has its handle name another connection.
    fn is_replaced(&self, next: &Arc<Connection>) -> bool {
        let home = self.home();
        // It may have moved since that was made.
        next.told.rename(self.handle());
        next.settle_in(&home);
        let is_replaced = home.replace_connection(next);
        self.succeeded.store(is_replaced, Ordering::Release);
        is_replaced
    }

    /// For the runtime: tells the guest that it was lost, and what happened.
    pub(crate) fn lost(self: &Arc<Self>, end: End, was_open: bool) {
        if self.end.set(end).is_ok() {
            self.count(if was_open { Tally::ended } else { Tally::failed });
            self.log_ended(self.end().and_then(|(error, _)| error), true);
            self.tell(EventKind::Lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(min_ms: u64, max_ms: u64) -> Plan {
        let options = Options::default();
        Plan {
            attempt: Attempt::new(b"ws://h/", &[], &options).unwrap(),
            min_delay: Duration::from_millis(min_ms),
            max_delay: Duration::from_millis(max_ms),
            buffer: 0,
            progress: Mutex::default(),
        }
    }

    #[test]
    fn delays_double_up_to_their_cap_and_are_not_all_alike() {
        let plan = plan(100, 1500);
        assert!(plan.next_delay(false).is_none()); // it never stood
        plan.opened();
        let mut last = Vec::new();
        for whole in [100, 200, 400, 800, 1500, 1500] {
            let delay = plan.next_delay(false).unwrap();
            let whole = Duration::from_millis(whole);
            assert!((whole / 2..=whole).contains(&delay), "{delay:?} of {whole:?}");
            last.push(delay);
        }
        for _ in 0..100 {
            last.push(plan.next_delay(true).unwrap());
        }
        last[4..].sort_unstable();
        assert!(last[4] != last[105]);
        assert!(last[105] - last[4] > Duration::from_millis(200)); // of 102 between 750 and 1500
    }

    #[test]
    fn the_delay_starts_anew_when_the_connection_stood_for_long_enough() {
        let plan = plan(1, 20);
        plan.opened();
        for _ in 0..10 {
            plan.next_delay(false);
        }
        std::thread::sleep(Duration::from_millis(25));
        assert!(plan.next_delay(false).unwrap() >= Duration::from_millis(10));
        assert!(plan.next_delay(true).unwrap() <= Duration::from_millis(1));
    }
}
