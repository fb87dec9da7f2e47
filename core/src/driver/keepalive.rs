//! Pings (RFC 6455, 5.5.2), and the end of a connection whose peer does not answer them.

use std::{
    mem,
    os::fd::AsFd,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{Driver, Phase};
use crate::{
    error::Kind,
    event::EventKind,
    protocol::{PingPayload, Violation},
    sys,
};

const NO_PONG: &str = "no pong within ping_timeout";

pub(super) struct Keepalive {
    /// None: a ping is sent when the guest asks for it.
    interval: Option<Duration>,
    /// When the next ping is due, or the wait for a pong ends.
    pub(super) next: Option<Instant>,
    /// The guest waits for a pong.
    is_asked: bool,
    /// When the ping was sent whose pong has not come.
    sent: Option<Instant>,
    /// How many there were.
    count: u32,
}

impl Keepalive {
    pub(super) fn new(interval: Option<Duration>) -> Keepalive {
        let next = interval.map(|interval| Instant::now() + interval);
        Keepalive { interval, next, is_asked: false, sent: None, count: 0 }
    }

    fn payload(&self) -> PingPayload {
        self.count.to_be_bytes()
    }
}

impl Driver {
    /// Sends a ping when it is time, or the guest wants one. Fails the connection, and returns true, when a pong did not
    /// come in time.
    pub(super) fn keep_alive(&mut self, now: Instant) -> bool {
        let timeout = self.connection.options.ping_timeout();
        let is_asked = self.connection.ping_asked.swap(false, Ordering::AcqRel);
        let Some(keepalive) = &mut self.keepalive else { return false };
        keepalive.is_asked |= is_asked;
        let mut is_due = keepalive.sent.is_none();
        if keepalive.next.is_none_or(|next| next > now) && !(is_asked && is_due) {
            return false;
        }
        keepalive.next = Some(now + timeout);
        // From the first close frame on, close_timeout is what counts.
        if self.phase != Phase::Open || self.connection.first_close.get().is_some() {
            self.keepalive = None;
            return false;
        }
        if !is_due {
            let socket = self.socket.as_fd();
            if !self.is_pong_behind_data() || sys::is_unheard_for(socket, timeout) {
                self.keepalive = None;
                self.fail(Kind::Timeout, Violation { code: 1011, text: NO_PONG });
                return true;
            }
            // What is on its way already makes the peer's system show that it lives.
            is_due = sys::unacknowledged(socket).is_ok_and(|bytes| bytes == 0);
        }
        if is_due && let Some(keepalive) = &mut self.keepalive {
            keepalive.count = keepalive.count.wrapping_add(1);
            keepalive.sent = Some(now);
            let payload = keepalive.payload();
            self.connection.control().ping = Some(payload);
            self.connection.serve_writer();
        }
        false
    }

    /// Whether a pong may have come without our having seen it: while reading is paused or a frame
    /// is not complete, the peer's control frames lie behind its data.
    fn is_pong_behind_data(&self) -> bool {
        !self.takes_messages() || !self.leftover.is_empty() || self.decoder.is_within_frame()
    }

    /// A pong has come. The next ping follows an interval after the last one.
    pub(super) fn ponged(&mut self, payload: PingPayload) {
        if let Some(keepalive) = &mut self.keepalive
            && keepalive.payload() == payload
            && let Some(sent) = keepalive.sent.take()
        {
            self.connection.latency.add(sent.elapsed());
            keepalive.next = keepalive.interval.map(|interval| sent + interval);
            if mem::take(&mut keepalive.is_asked) {
                self.connection.tell(EventKind::Pong);
            }
            if let Some(next) = keepalive.next {
                self.set_alarm(next);
            }
        }
    }
}
