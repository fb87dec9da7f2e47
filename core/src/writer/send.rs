//! Accepting messages, and the close frame behind the last of them.

use std::{
    mem,
    sync::{Arc, PoisonError},
};

use super::Writer;
use crate::{
    connection::Connection,
    counters::Traffic,
    error::{Kind, Result},
    limits,
    protocol::{self, Close, MessageKind},
};

impl Writer {
    /// Keeps a message for a connection that is to come back; or says why it is not accepted.
    fn keep(
        &mut self,
        connection: &Connection,
        has_ended: bool,
        kind: MessageKind,
        payload: &[u8],
        notify: bool,
        compress: bool,
    ) -> Result<()> {
        let plan = if self.is_final { None } else { connection.comes_back() };
        let is_kept = match plan {
            None if has_ended || self.broken => return Err(Kind::Closed.into()),
            None => false, // it is being made
            Some(plan) if plan.buffer == 0 => return Err(Kind::Away.into()),
            Some(plan) => self.kept.get_or_insert_default().push(plan.buffer, kind, payload, compress),
        };
        if !is_kept {
            self.notify |= notify;
            return Err(Kind::WouldBlock.into());
        }
        self.sent.add(payload.len());
        Ok(())
    }
}

impl Connection {
    /// Accepts a whole message, or nothing of it. It leaves without waiting for the guest.
    ///
    /// Any thread may call this; the messages of one thread leave in the order of its calls.
    ///
    /// `compress` is false for what shall not be compressed, where compression was agreed on.
    pub fn send(
        self: &Arc<Self>,
        kind: MessageKind,
        payload: &[u8],
        notify: bool,
        compress: bool,
    ) -> Result<()> {
        if kind == MessageKind::Text && !protocol::is_valid(payload) {
            return Err(Kind::InvalidText.into());
        }
        let mut successor = self.accept(kind, payload, notify, compress)?;
        while let Some(next) = successor {
            successor = next.accept(kind, payload, notify, compress)?;
        }
        Ok(())
    }

    /// Accepts a message; or says which connection has taken the place of this one.
    fn accept(
        self: &Arc<Self>,
        kind: MessageKind,
        payload: &[u8],
        notify: bool,
        compress: bool,
    ) -> Result<Option<Arc<Connection>>> {
        let limit = self.options.write_limit;
        self.with_writer(|w| {
            if let Some(successor) = &w.successor {
                return Ok(Some(successor.clone()));
            }
            let has_ended = w.closed || self.first_close.get().is_some() || self.end.get().is_some();
            if w.pending() as u64 >= limit && w.corked && !w.blocked && !has_ended {
                w.flush(self);
            }
            if has_ended || w.broken || w.socket.is_none() {
                return w.keep(self, has_ended, kind, payload, notify, compress).map(|()| None);
            }
            if w.pending() as u64 >= limit {
                w.notify |= notify;
                return Err(Kind::WouldBlock.into());
            }
            let length = w.out.len();
            if payload.len() >= limits::VECTORED
                && !w.blocked
                && w.encoder.message_header(&mut w.out, kind, payload.len(), compress)?
            {
                w.sent.add(payload.len());
                w.corked = false;
                w.write(self, payload);
                w.wrote(self);
                return Ok(None);
            }
            if let Err(e) = w.encoder.message(&mut w.out, kind, payload, compress, &self.mailbox.spare) {
                w.out.truncate(length);
                return Err(e);
            }
            w.sent.add(payload.len());
            if w.blocked {
                // The runtime writes when the socket has room.
            } else if w.pending() < limits::CORK_SIZE && self.mailbox.cork.is_on() {
                if !w.corked {
                    w.corked = true;
                    self.mailbox.cork.add(self);
                }
            } else {
                w.flush(self);
            }
            Ok(None)
        })
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
            let mut to = next.writer.lock().unwrap_or_else(PoisonError::into_inner);
            to.kept = w.kept.take();
            (to.sent, to.counted) = (w.sent, w.counted);
            Some(mem::take(&mut w.notify))
        })?;
        next.inbox().take_over(&mut self.inbox());
        Some(waits)
    }

    /// What was accepted for sending.
    pub(crate) fn sent(&self) -> Traffic {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).sent
    }

    /// Queues this close frame behind what was accepted. The first close of a connection counts:
    /// returns false if there was one.
    pub(crate) fn start_close(self: &Arc<Self>, close: Close) -> bool {
        let first = self.with_writer(|w| {
            if let Some(successor) = &w.successor {
                return Err(successor.clone());
            }
            w.is_final = true;
            if self.end.get().is_some() || self.first_close.set(close.clone()).is_err() {
                return Ok(false);
            }
            if !w.broken && w.socket.is_some() {
                w.close(&close);
                if !w.blocked {
                    w.flush(self);
                }
            }
            Ok(true)
        });
        self.waker.wake();
        first.unwrap_or_else(|successor| successor.start_close(close))
    }
}
