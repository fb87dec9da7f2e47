//! What a mailbox tells its guest.

use std::sync::{Arc, atomic::Ordering};

use crate::{connection::Connection, listener::Listener, log::Record, process};

/// What happened. The numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// A client connection is open.
    Open = 1,
    /// A listener that had no client waiting has one.
    Accepted = 2,
    /// An empty inbox got a message.
    Readable = 3,
    /// There is room again after `WouldBlock`.
    Writable = 4,
    /// A connection ended, or never opened.
    Closed = 5,
    /// A listener stopped.
    Dead = 6,
    /// A client's request waits for the guest's answer.
    Requested = 7,
    /// The pong has come that the guest asked for.
    Pong = 8,
    /// A connection was lost, or could not be made again: it is tried again.
    Lost = 9,
    /// A connection has moved to another mailbox.
    Moved = 10,
    /// Something that the guest wants to be told of.
    Log = 11,
}

/// Something that happened, and to whom.
#[derive(Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The handle of the one to whom it happened, as this mailbox knows it.
    pub handle: u64,
    /// To whom.
    pub source: Source,
}

/// Whom an event is about.
#[derive(Clone)]
pub enum Source {
    /// A connection.
    Connection(Arc<Connection>),
    /// A listener.
    Listener(Arc<Listener>),
    /// A connection that is here no longer, under the handle that it had.
    Moved,
    /// A record.
    Log(Arc<Record>),
}

impl Event {
    /// From now on the next event of this kind is news. False if its connection has moved since: then
    /// this one is not for the mailbox that it left.
    pub(crate) fn heard(&self) -> bool {
        match &self.source {
            Source::Connection(c) => return c.told.heard(self.kind, self.handle),
            Source::Listener(l) => l.heard(self.kind),
            Source::Moved | Source::Log(_) => {}
        }
        true
    }

    /// Whether the guest let go of the handle meanwhile: then it hears no more of it.
    pub(crate) fn is_stale(&self) -> bool {
        match &self.source {
            // After `Lost`, the handle names another one.
            Source::Connection(_) if self.kind == EventKind::Lost => Connection::find(self.handle).is_err(),
            Source::Connection(c) => c.freed.load(Ordering::Relaxed),
            Source::Listener(l) => l.freed.load(Ordering::Relaxed),
            Source::Moved => !process::was_moved(self.handle),
            Source::Log(_) => false,
        }
    }
}
