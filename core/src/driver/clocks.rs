//! The clocks of a connection: how long it may take to close, to complete a message, to answer a
//! ping. One alarm serves them all, and rings for the first.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{Driver, Phase};
use crate::{
    error::Kind,
    limits,
    protocol::{Close, GOING_AWAY, Incoming, Violation},
};

/// Since when a message is not complete.
pub(super) struct Watch {
    number: u32,
    since: Instant,
    /// Since when there is no room for it, a time that does not count.
    held: Option<Instant>,
    /// When to look at it. It is set once for many messages: it is early enough for all of them.
    next: Instant,
}

/// What the clocks have shown.
pub(super) enum Due {
    Nothing,
    /// No pong came in time.
    Pong,
    /// The peer did not close in time.
    Close,
}

impl Driver {
    /// What is due, if the alarm has rung.
    pub(super) fn look_at_clocks(&mut self) -> Due {
        // Far more often than not, it has not.
        if !self.connection.rung.load(Ordering::Acquire) {
            return Due::Nothing;
        }
        self.connection.rung.store(false, Ordering::Relaxed);
        self.unset_alarm();
        let now = Instant::now();
        let is_over = self.deadline.is_some_and(|deadline| deadline <= now);
        if is_over || self.connection.cut.load(Ordering::Acquire) {
            return Due::Close;
        }
        self.look_at_message(now);
        self.retire(now);
        self.look_at_rate(now);
        let is_dead = self.keep_alive(now);
        self.set_next_alarm();
        if is_dead { Due::Pong } else { Due::Nothing }
    }

    /// Has the alarm ring for what is due next.
    pub(super) fn set_next_alarm(&mut self) {
        let watch = self.watch.as_ref().map(|watch| watch.next);
        let keepalive = self.keepalive.as_ref().and_then(|keepalive| keepalive.next);
        let rate = self.rate.as_ref().and_then(|rate| rate.until);
        let all = [self.deadline, watch, keepalive, rate, self.retirement];
        if let Some(first) = all.into_iter().flatten().min() {
            self.set_alarm(first);
        }
    }

    /// Has the alarm ring at this time, if it does not ring before.
    pub(super) fn set_alarm(&mut self, at: Instant) {
        if self.alarm.is_none_or(|alarm| at < alarm) {
            self.unset_alarm();
            self.alarm = Some(at);
            self.runtime.alarms.add(at, &self.connection);
        }
    }

    pub(super) fn unset_alarm(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            self.runtime.alarms.remove(alarm, &self.connection);
        }
    }

    /// From the first close frame on, or a failed write, everything ends within `close_timeout`.
    pub(super) fn bound_closing(&mut self) {
        if self.deadline.is_none()
            && (self.connection.first_close.get().is_some() || self.connection.broken.load(Ordering::Acquire))
        {
            let deadline = Instant::now() + self.connection.options.close_timeout();
            self.deadline = Some(deadline);
            self.set_alarm(deadline);
        }
    }

    /// Gives a message that has begun `message_timeout` to become complete, not counting the time
    /// in which the inbox had no room.
    pub(super) fn bound_message(&mut self) {
        let Some(number) = self.unfinished() else { return };
        let has_room = self.takes_messages();
        match &mut self.watch {
            Some(watch) if watch.number == number => match (has_room, watch.held) {
                (true, Some(held)) => (watch.since, watch.held) = (watch.since + held.elapsed(), None),
                (false, None) => watch.held = Some(Instant::now()),
                _ => {}
            },
            watch => {
                let since = Instant::now();
                let held = (!has_room).then_some(since);
                let next = since + self.connection.options.message_timeout();
                let alarm = watch.as_ref().map_or(next, |watch| watch.next);
                self.watch = Some(Watch { number, since, held, next: alarm });
                self.set_alarm(alarm);
            }
        }
    }

    /// Closes the connection when `max_lifetime` is over.
    fn retire(&mut self, now: Instant) {
        if self.retirement.is_some_and(|at| at <= now) {
            self.retirement = None;
            let close = Close::new(GOING_AWAY, "max_lifetime is over");
            if self.connection.first_close.set(close.clone()).is_ok() {
                self.connection.control().close = Some(close);
                self.connection.serve_writer();
            }
        }
    }

    /// Counts what came for its rate; what is over it is not read before its time.
    pub(super) fn keep_to_rate(&mut self, incoming: &Incoming) {
        let Some(rate) = &mut self.rate else { return };
        let bytes = incoming.size.saturating_sub(incoming.messages.len() * limits::MESSAGE_COST);
        let messages = incoming.messages.iter().filter(|message| message.fin).count();
        rate.count(messages, bytes, Instant::now());
        if let Some(until) = rate.until {
            self.set_alarm(until);
        }
    }

    fn look_at_rate(&mut self, now: Instant) {
        if let Some(rate) = self.rate.as_mut().filter(|rate| rate.until.is_some_and(|until| until <= now)) {
            rate.count(0, 0, now);
        }
    }

    /// The number of a message that has begun and is waited for.
    fn unfinished(&self) -> Option<u32> {
        self.decoder.unfinished().filter(|_| self.phase == Phase::Open)
    }

    fn look_at_message(&mut self, now: Instant) {
        let unfinished = self.unfinished();
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.next <= now) else { return };
        let held = watch.held.map_or(Duration::ZERO, |held| now.saturating_duration_since(held));
        watch.next = watch.since + held + self.connection.options.message_timeout();
        if unfinished.is_none() {
            self.watch = None;
        } else if watch.next <= now {
            self.watch = None;
            let text = "message was not complete within message_timeout";
            self.fail(Kind::Timeout, Violation { code: 1008, text });
        }
    }
}
