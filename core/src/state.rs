//! Where a connection is in its life, and how it ended.

use std::sync::atomic::Ordering;

use crate::{connection::Connection, error::Error, protocol::NO_CLOSE_FRAME};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Being made.
    Connecting = 0,
    /// Open both ways.
    Open = 1,
    /// A close frame has been sent or received.
    Closing = 2,
    /// Ended.
    Closed = 3,
}

/// Who sent the first close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ClosedBy {
    /// We did.
    Us = 1,
    /// The peer did.
    Peer = 2,
}

impl ClosedBy {
    pub(crate) fn text(self) -> &'static str {
        match self {
            ClosedBy::Us => "us",
            ClosedBy::Peer => "the peer",
        }
    }
}

impl Connection {
    /// Where it is in its life.
    pub fn state(&self) -> State {
        if self.end.get().is_some() {
            State::Closed
        } else if self.first_close.get().is_some() {
            State::Closing
        } else if self.was_open() {
            State::Open
        } else {
            State::Connecting
        }
    }

    /// Whether its opening handshake is done. The request is known before, where it is reviewed.
    pub(crate) fn was_open(&self) -> bool {
        self.request.get().is_some() && !self.is_under_review()
    }

    /// Code and reason of the first close frame, whoever sent it; 1006 if it ended without one,
    /// None before either.
    pub fn close_info(&self) -> Option<(u16, &str)> {
        // Closed before it opened: no frame was sent.
        let frame = self.first_close.get().filter(|_| self.was_open());
        match (frame, self.end.get()) {
            (Some(close), _) => Some((close.code, &close.reason)),
            (None, Some(_)) => Some((NO_CLOSE_FRAME, "")),
            (None, None) => None,
        }
    }

    /// What ended it (None after a closing handshake), and the text of its last event with a NUL
    /// at the end. None while it has not ended.
    pub fn end(&self) -> Option<(Option<&Error>, &[u8])> {
        self.end.get().map(|end| (end.error.as_ref(), &*end.text))
    }

    /// Who sent the first close frame; None if there was none.
    pub fn closed_by(&self) -> Option<ClosedBy> {
        self.first_close.get().filter(|_| self.was_open())?;
        let by_peer = self.closed_by_peer.load(Ordering::Acquire);
        Some(if by_peer { ClosedBy::Peer } else { ClosedBy::Us })
    }
}
