//! Messages that are sent in fragments (RFC 6455, 5.4): begun, written, finished. No other message
//! can be sent meanwhile; what others send waits for the last fragment.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::Writer;
use crate::{
    connection::Connection,
    error::{Error, Kind, Result},
    limits,
    protocol::{Close, MessageKind, Utf8},
};

/// What a connection is closed with whose message can't be finished (RFC 6455, 7.4.1).
const UNEXPECTED: u16 = 1011;

/// A message that has begun and is not finished.
pub(super) struct Begun {
    number: u64,
    kind: MessageKind,
    compress: bool,
    /// No fragment has been sent.
    is_new: bool,
    utf8: Utf8,
    /// Whoever writes it waits for room.
    pub(super) notify: bool,
}

/// What asking for a message gave: its number, or which connection has taken the place of this one.
enum Asked {
    Got(u64),
    Next(Arc<Connection>),
}

impl Writer {
    /// The message of this number. Nobody else's is written to by mistake.
    fn begun(&mut self, number: u64, has_ended: bool) -> Result<&mut Begun> {
        match &mut self.begun {
            Some(begun) if begun.number == number && !has_ended && !self.broken => Ok(begun),
            _ => {
                Err(Error::new(Kind::Closed, "the connection was closed or lost, or the message is finished"))
            }
        }
    }

    /// Others have their turn.
    fn end_begun(&mut self, connection: &Arc<Connection>) {
        self.begun = None;
        self.write_kept(connection);
        self.wrote(connection);
    }

    /// Gives up the message of this number. True if the connection is closed for it. One that is
    /// closed or lost already goes its way: it may come back.
    fn abandon(&mut self, connection: &Arc<Connection>, number: u64) -> bool {
        let is_lost = connection.has_ended(self) || self.broken;
        match self.begun.as_ref().filter(|begun| begun.number == number) {
            Some(begun) if begun.is_new => {
                self.end_begun(connection);
                false
            }
            Some(_) if !is_lost => {
                self.start_close(connection, &Close::new(UNEXPECTED, "a message was not finished"))
            }
            _ => false,
        }
    }

    /// The same for the message that has begun, if there is one.
    pub(super) fn abandon_begun(&mut self, connection: &Arc<Connection>) -> bool {
        self.begun.as_ref().map(|begun| begun.number).is_some_and(|number| self.abandon(connection, number))
    }

    /// Appends a fragment; the last is empty.
    fn append_fragment(&mut self, connection: &Arc<Connection>, payload: &[u8], fin: bool) -> Result<()> {
        let Some(begun) = &mut self.begun else { return Ok(()) };
        let kind = begun.is_new.then_some(begun.kind);
        let length = self.out.len();
        let large = payload.len() >= limits::VECTORED && !self.blocked;
        let (encoder, out, spare) = (&mut self.encoder, &mut self.out, &self.mailbox.spare);
        let header =
            if large { encoder.fragment_header(out, kind, payload.len(), begun.compress)? } else { None };
        let done = if header.is_some() {
            Ok(())
        } else if fin {
            encoder.last_fragment(out, kind, begun.compress, spare)
        } else {
            encoder.fragment(out, kind, payload, begun.compress, spare)
        };
        if let Err(e) = done {
            out.truncate(length);
            return Err(e);
        }
        begun.is_new = false;
        self.sent.add_fragment(payload.len(), fin);
        if let Some(masked) = header {
            self.flush_with(connection, payload, masked);
        } else {
            self.cork_or_flush(connection);
        }
        Ok(())
    }
}

impl Connection {
    /// Begins a message that is sent in fragments; returns its number. `WouldBlock` while another one
    /// is being sent in such a way, or messages wait to be sent.
    pub fn begin(handle: u64, kind: MessageKind, notify: bool, compress: bool) -> Result<u64> {
        let mut connection = Connection::find(handle)?;
        loop {
            match connection.begin_here(handle, kind, notify, compress)? {
                Asked::Got(number) => return Ok(number),
                Asked::Next(next) => connection = next,
            }
        }
    }

    fn begin_here(
        self: &Arc<Self>,
        handle: u64,
        kind: MessageKind,
        notify: bool,
        compress: bool,
    ) -> Result<Asked> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        self.with_writer(|w| {
            if let Some(successor) = &w.successor {
                return Ok(Asked::Next(successor.clone()));
            }
            // It may have moved since it was found: then nobody could finish the message.
            if self.handle() != handle {
                return Err(Kind::Moved.into());
            }
            let has_ended = self.has_ended(w);
            if has_ended || w.broken {
                // Where it comes back, this message waits for that.
                match self.comes_back().filter(|_| !w.is_final) {
                    None => return Err(Kind::Closed.into()),
                    Some(plan) if plan.buffer == 0 => return Err(Kind::Away.into()),
                    Some(_) => {}
                }
            }
            if has_ended || w.broken || w.socket.is_none() || w.is_taken() {
                w.notify |= notify;
                return Err(Kind::WouldBlock.into());
            }
            let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
            let compress = compress && w.encoder.compresses();
            let utf8 = Utf8::default();
            w.begun = Some(Box::new(Begun { number, kind, compress, is_new: true, utf8, notify: false }));
            Ok(Asked::Got(number))
        })
    }

    /// Accepts a whole fragment of a message that was begun, or nothing of it.
    pub fn write(self: &Arc<Self>, number: u64, payload: &[u8], notify: bool) -> Result<()> {
        self.with_writer(|w| {
            let (has_ended, full) = (self.has_ended(w), w.is_full(self));
            let begun = w.begun(number, has_ended)?;
            if full {
                begun.notify |= notify;
                return Err(Kind::WouldBlock.into());
            }
            let mut utf8 = begun.utf8;
            if begun.kind == MessageKind::Text && !utf8.feed(payload) {
                return Err(Kind::InvalidText.into());
            }
            begun.utf8 = utf8;
            if payload.is_empty() { Ok(()) } else { w.append_fragment(self, payload, false) }
        })
    }

    /// Finishes a message that was begun.
    pub fn finish(self: &Arc<Self>, number: u64) -> Result<()> {
        self.with_writer(|w| {
            let has_ended = self.has_ended(w);
            if !w.begun(number, has_ended)?.utf8.is_complete() {
                return Err(Error::new(Kind::InvalidText, "text ends within a character"));
            }
            w.append_fragment(self, b"", true)?;
            w.end_begun(self);
            Ok(())
        })
    }

    /// Gives up a message that was begun and is not finished. What was sent of it can't be taken back:
    /// then the connection is closed with 1011.
    pub fn abandon(self: &Arc<Self>, number: u64) {
        if self.with_writer(|w| w.abandon(self, number)) {
            self.waker.wake();
        }
    }

    /// Whether a message has begun and is not finished.
    pub(crate) fn has_begun(self: &Arc<Self>) -> bool {
        self.with_writer(|w| w.begun.is_some())
    }
}
