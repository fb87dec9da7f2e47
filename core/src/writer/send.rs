//! Accepting messages, and the close frame behind the last of them.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use super::Writer;
use crate::{
    connection::Connection,
    counters::Traffic,
    error::{Kind, Result},
    kept::Waiting,
    limits,
    protocol::{self, Close, MAX_HEADER, MessageKind, Shared},
};

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Text or binary.
    pub kind: MessageKind,
    /// The payload.
    pub payload: &'a [u8],
    /// Whether there shall be an event when there is room, if there is none now.
    pub notify: bool,
    /// False for what shall not be compressed, where compression was agreed on.
    pub compress: bool,
}

/// The large payloads of a connection in the last batch that had any.
#[derive(Default)]
pub(super) struct Large {
    batch: Option<usize>,
    count: u32,
    /// They are kept back like small ones.
    are_gathered: bool,
}

impl Writer {
    /// Keeps a message for a connection that is not open; or says why it is not accepted.
    fn keep(&mut self, connection: &Connection, has_ended: bool, message: &Outgoing<'_>) -> Result<()> {
        let plan = if self.is_final { None } else { connection.comes_back() };
        let most = match plan {
            None if has_ended || self.broken => return Err(Kind::Closed.into()),
            None => 0, // it is being made
            Some(plan) if plan.buffer == 0 => return Err(Kind::Away.into()),
            Some(plan) => plan.buffer,
        };
        let kept = self.kept.get_or_insert_default();
        if !kept.has_room(most, message.payload) {
            self.notify |= message.notify;
            return Err(Kind::WouldBlock.into());
        }
        let Outgoing { kind, payload, compress, .. } = *message;
        kept.push(Waiting { kind, payload: payload.into(), compress });
        self.sent.add(payload.len());
        Ok(())
    }

    /// Keeps a message for a peer that is slow, in the place of older ones where there is no room.
    fn keep_newest(&mut self, limit: u64, message: &Outgoing<'_>, payload: &Arc<[u8]>) {
        let kept = self.kept.get_or_insert_default();
        while !kept.is_empty() && !kept.has_room(limit, payload) {
            kept.pop();
        }
        kept.push(Waiting { kind: message.kind, payload: payload.clone(), compress: message.compress });
        self.sent.add(payload.len());
    }

    /// Whether something is under way that other messages wait for: messages that wait to be encoded,
    /// or one that is being sent in fragments.
    pub(super) fn is_taken(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| !kept.is_empty()) || self.begun.is_some()
    }

    /// Whether `write_limit` is reached, also when what is corked has been written.
    pub(super) fn is_full(&mut self, connection: &Arc<Connection>) -> bool {
        let limit = connection.options.write_limit;
        if self.pending() as u64 >= limit && self.corked && !self.blocked && !connection.has_ended(self) {
            self.flush(connection);
        }
        self.pending() as u64 >= limit
    }

    /// Whether a large payload is kept back like a small one: where a batch has several for this
    /// connection, as the one before had, to copy them costs less than a write for each.
    fn gathers(&mut self, length: usize) -> bool {
        let (large, cork) = (&mut self.large, &self.mailbox.cork);
        let batch = cork.batch();
        if large.batch != batch {
            let several = mem::take(&mut large.count) > 1;
            large.batch = batch;
            large.are_gathered = batch.is_some() && several && cork.takes_large();
        }
        large.count = large.count.saturating_add(1);
        large.are_gathered && length <= limits::GATHERED
    }

    /// Where the out-buffer has no room for this and would not be kept if it had, takes one that has, made
    /// for large payloads alone. Not for a peer that is slow, which would have it for long.
    fn make_room(&mut self, length: usize) {
        let most = self.out.len() + MAX_HEADER + length;
        let is_gathered = length >= limits::VECTORED && self.large.are_gathered;
        if most > limits::KEPT_OUT_BUFFER
            && most > self.out.capacity()
            && most <= limits::OUT_BUFFER
            && !self.blocked
            && let Some(room) = self.mailbox.outs.get(is_gathered)
        {
            let small = mem::replace(&mut self.out, room);
            self.out.extend_from_slice(&small);
        }
    }

    /// Has what was appended written: at the end of the batch, or at once.
    pub(super) fn cork_or_flush(&mut self, connection: &Arc<Connection>) {
        if self.blocked {
            // The runtime writes when the socket has room.
        } else if self.pending() < limits::CORK_SIZE && self.mailbox.cork.is_on() {
            if !self.corked {
                self.corked = true;
                self.mailbox.cork.add(connection);
            }
        } else {
            self.flush(connection);
        }
    }

    /// Encodes what was kept, and writes it, until the socket takes no more.
    pub(super) fn write_kept(&mut self, connection: &Arc<Connection>) {
        while !self.blocked && self.encode_kept((connection.options.write_limit / 2).max(1)) {
            self.flush(connection);
        }
    }

    /// Queues this close frame behind what was accepted; the connection does not come back. False if
    /// there was a close frame before.
    pub(super) fn start_close(&mut self, connection: &Arc<Connection>, close: &Close) -> bool {
        self.is_final = true;
        if connection.end.get().is_some() || connection.first_close.set(close.clone()).is_err() {
            return false;
        }
        if !self.broken && self.socket.is_some() {
            self.encode_kept(u64::MAX);
            self.close(close);
            if !self.blocked {
                self.flush(connection);
            }
        }
        true
    }

    /// Encodes messages that were kept, until so much waits to leave. Returns whether there were
    /// any.
    pub(super) fn encode_kept(&mut self, most: u64) -> bool {
        let before = self.out.len();
        while !self.closed
            && !self.broken
            && self.begun.is_none()
            && (self.pending() as u64) < most
            && let Some(kept) = &mut self.kept
        {
            let Some(Waiting { kind, payload, compress }) = kept.pop() else {
                self.kept = None;
                break;
            };
            let spare = &self.mailbox.spare;
            if self.encoder.message(&mut self.out, kind, &payload, compress, spare).is_err() {
                self.discard();
                return false;
            }
        }
        self.out.len() > before
    }
}

impl Connection {
    /// Accepts a whole message, or nothing of it. It leaves without waiting for the guest.
    ///
    /// Any thread may call this; the messages of one thread leave in the order of its calls.
    pub fn send(self: &Arc<Self>, message: &Outgoing<'_>) -> Result<()> {
        if message.kind == MessageKind::Text && !protocol::is_valid(message.payload) {
            return Err(Kind::InvalidText.into());
        }
        let mut successor = self.accept(message, None, None)?;
        while let Some(next) = successor {
            successor = next.accept(message, None, None)?;
        }
        Ok(())
    }

    /// Accepts a message; or says which connection has taken the place of this one. One for many
    /// connections comes with its frames, and with a copy if it is to be kept where it would block.
    pub(crate) fn accept(
        self: &Arc<Self>,
        message: &Outgoing<'_>,
        shared: Option<&mut Shared>,
        copy: Option<&Arc<[u8]>>,
    ) -> Result<Option<Arc<Connection>>> {
        let Outgoing { kind, payload, notify, compress } = *message;
        self.with_writer(|w| {
            if let Some(successor) = &w.successor {
                return Ok(Some(successor.clone()));
            }
            let (has_ended, is_full) = (self.has_ended(w), w.is_full(self));
            if has_ended || w.broken || w.socket.is_none() {
                return w.keep(self, has_ended, message).map(|()| None);
            }
            if is_full || w.is_taken() {
                if let Some(copy) = copy {
                    w.keep_newest(self.options.write_limit, message, copy);
                    return Ok(None);
                }
                w.notify |= notify;
                return Err(Kind::WouldBlock.into());
            }
            let length = w.out.len();
            if let Some(shared) = shared {
                let large = if w.blocked { usize::MAX } else { limits::VECTORED };
                if let Some(frame) = w.encoder.shared(&mut w.out, (kind, payload, compress), shared, large)? {
                    w.sent.add(payload.len());
                    w.flush_with(self, frame, None);
                    return Ok(None);
                }
            } else if payload.len() >= limits::VECTORED
                && !w.blocked
                && !w.gathers(payload.len())
                && let Some(masked) = w.encoder.message_header(&mut w.out, kind, payload.len(), compress)?
            {
                w.sent.add(payload.len());
                w.flush_with(self, payload, masked);
                return Ok(None);
            } else {
                w.make_room(payload.len());
                let spare = &w.mailbox.spare;
                if let Err(e) = w.encoder.message(&mut w.out, kind, payload, compress, spare) {
                    w.out.truncate(length);
                    return Err(e);
                }
            }
            w.sent.add(payload.len());
            w.cork_or_flush(self);
            Ok(None)
        })
    }

    /// Whether nothing can be sent any more through this socket.
    pub(super) fn has_ended(&self, writer: &Writer) -> bool {
        writer.closed || self.first_close.get().is_some() || self.end.get().is_some()
    }

    /// For the runtime: another connection takes the place of this one, with what nobody has taken
    /// and what was kept to be sent. None if the guest has closed it; else whether a guest waits for
    /// room.
    pub(crate) fn hand_over(self: &Arc<Self>, next: &Arc<Connection>) -> Option<bool> {
        let waits = self.with_writer(|w| {
            if w.is_final {
                return None;
            }
            w.successor = Some(next.clone());
            let mut to = next.writer.lock();
            to.kept = w.kept.take();
            (to.sent, to.counted) = (w.sent, w.counted);
            let begun = w.begun.take().is_some_and(|begun| begun.notify);
            Some(mem::take(&mut w.notify) || begun)
        })?;
        let mut inbox = next.inbox();
        inbox.take_over(&mut self.inbox());
        if inbox.size() as u64 > next.options.read_limit {
            next.paused.store(true, Ordering::Release);
        }
        drop(inbox);
        Some(waits)
    }

    /// What was accepted for sending.
    pub(crate) fn sent(self: &Arc<Self>) -> Traffic {
        self.with_writer(|w| w.sent)
    }

    /// Queues this close frame behind what was accepted. The first close of a connection counts:
    /// returns false if there was one.
    pub(crate) fn start_close(self: &Arc<Self>, close: Close) -> bool {
        let first = self.with_writer(|w| {
            if let Some(successor) = &w.successor {
                return Err(successor.clone());
            }
            Ok(w.start_close(self, &close))
        });
        self.waker.wake();
        first.unwrap_or_else(|successor| successor.start_close(close))
    }
}
