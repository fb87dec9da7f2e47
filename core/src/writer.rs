//! The write half: guests encode and write here themselves; what the socket refuses is left to
//! the runtime. With TLS all writing is: guests fill the out-buffer, and the runtime seals it.
//!
//! One lock guards it. The runtime only tries that lock: where a guest has it, the runtime leaves
//! a request, and the guest does what was asked before it is done. So no guest can stall the
//! runtime, but for a moment when a connection opens, and when it is lost and comes back.

use std::{
    io::{self, IoSlice},
    mem,
    sync::{Arc, atomic::Ordering},
};

use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;

use crate::{
    connection::Connection,
    counters::Traffic,
    error::Result,
    event::EventKind,
    kept::Kept,
    limits,
    lock::MutexGuard,
    mailbox::Mailbox,
    protocol::{Agreed, Close, Deflater, Encoder, Masked, Role, append_masked},
    socket::Socket,
    sync::fence,
    tls::Tls,
};

mod fragments;
mod send;

use fragments::Begun;
use send::Large;
pub use send::Outgoing;

/// The encoder, the out-buffer and the socket of a connection.
pub(crate) struct Writer {
    encoder: Encoder,
    /// The mailbox of the connection.
    mailbox: Arc<Mailbox>,
    out: Vec<u8>,
    /// Bytes of `out` that have left.
    start: usize,
    socket: Option<Arc<Socket>>,
    /// The runtime seals and writes.
    tls: bool,
    /// Bytes that the runtime has sealed and that have not left.
    sealed: usize,
    /// The mailbox has it on its list of connections to write at the end of the batch.
    corked: bool,
    large: Large,
    /// The socket was full at the last try.
    blocked: bool,
    /// A guest waits for room.
    notify: bool,
    /// Bytes that must leave before the last pong has left: only then may there be another.
    pong: usize,
    /// What was ever accepted, and how much of it the tallies know.
    sent: Traffic,
    counted: Traffic,
    /// Our close frame is in `out`, or has left: nothing may follow it.
    closed: bool,
    /// The guest has closed it, or let go of it.
    is_final: bool,
    /// What was accepted and waits to be encoded.
    kept: Option<Box<Kept>>,
    /// A message that is being sent in fragments.
    begun: Option<Box<Begun>>,
    /// The connection that has taken the place of this one.
    successor: Option<Arc<Connection>>,
    /// The socket has failed or is gone.
    broken: bool,
}

impl Writer {
    pub(crate) fn new(encoder: Encoder, mailbox: Arc<Mailbox>) -> Writer {
        Writer {
            encoder,
            mailbox,
            out: Vec::new(),
            start: 0,
            socket: None,
            tls: false,
            sealed: 0,
            corked: false,
            large: Large::default(),
            blocked: false,
            notify: false,
            pong: 0,
            sent: Traffic::default(),
            counted: Traffic::default(),
            closed: false,
            is_final: false,
            kept: None,
            begun: None,
            successor: None,
            broken: false,
        }
    }

    /// In the out-buffer.
    fn queued(&self) -> usize {
        self.out.len() - self.start
    }

    /// Accepted and not yet with the kernel.
    fn pending(&self) -> usize {
        self.queued() + self.sealed
    }

    fn discard(&mut self) {
        self.out = Vec::new();
        self.start = 0;
        self.sealed = 0;
        self.broken = true;
    }

    /// Writes what the socket takes.
    fn flush(&mut self, connection: &Arc<Connection>) {
        self.flush_with(connection, &[], None);
    }

    /// The same with a payload behind the out-buffer, which is written from where it is, or masked on
    /// its way.
    fn flush_with(&mut self, connection: &Arc<Connection>, payload: &[u8], masked: Masked) {
        self.corked = false;
        match masked {
            Some(key) => self.write_masked(connection, payload, key),
            None => self.write(connection, payload),
        }
        self.wrote(connection);
    }

    /// Masks a payload a part at a time, in the one buffer of the mailbox: the out-buffer of each
    /// connection would hold all of it until it has left.
    fn write_masked(&mut self, connection: &Arc<Connection>, payload: &[u8], key: [u8; 4]) {
        let mailbox = self.mailbox.clone();
        let mut masked = mailbox.masked.lock();
        for part in payload.chunks(limits::MASKED) {
            if self.blocked || self.tls {
                append_masked(&mut self.out, part, key);
                continue;
            }
            masked.clear();
            append_masked(&mut masked, part, key);
            self.write(connection, &masked);
        }
        if self.tls {
            connection.waker.wake(); // the runtime seals it
        }
    }

    /// Writes what the socket takes of the out-buffer and of a payload behind it, and keeps the
    /// rest of both.
    fn write(&mut self, connection: &Arc<Connection>, mut payload: &[u8]) {
        let Some(socket) = &self.socket else { return };
        if self.tls {
            self.out.extend_from_slice(payload);
            connection.waker.wake();
            return;
        }
        while self.start < self.out.len() || !payload.is_empty() {
            let rest = &self.out[self.start..];
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let sent = socket.try_io(Interest::WRITABLE, || {
                if payload.is_empty() {
                    return Ok(rustix::net::send(socket, rest, flags)?);
                }
                let both = [IoSlice::new(rest), IoSlice::new(payload)];
                Ok(rustix::net::sendmsg(socket, &both, &mut SendAncillaryBuffer::default(), flags)?)
            });
            match sent {
                Ok(sent) => {
                    let buffered = sent.min(rest.len());
                    self.start += buffered;
                    payload = &payload[sent - buffered..];
                    self.pong = self.pong.saturating_sub(buffered);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    connection.blocked.store(true, Ordering::Release);
                    connection.waker.wake();
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.discard();
                    connection.broken.store(true, Ordering::Release);
                    connection.waker.wake();
                    return;
                }
            }
        }
        self.out.extend_from_slice(payload);
    }

    /// Sees to what a write has left behind.
    fn wrote(&mut self, connection: &Arc<Connection>) {
        if self.counted != self.sent {
            let new = self.sent - self.counted;
            self.counted = self.sent;
            connection.count(|tally| tally.sent(new));
        }
        if self.queued() == 0 {
            self.out.clear();
            self.start = 0;
            if self.out.capacity() > limits::KEPT_OUT_BUFFER {
                self.mailbox.outs.put(mem::take(&mut self.out));
            }
            let all_left = self.closed && self.sealed == 0;
            if all_left && !connection.close_written.swap(true, Ordering::AcqRel) {
                connection.waker.wake();
            }
        } else {
            // A peer that is slow may have its out-buffer for long.
            let len = self.out.len();
            let most = if self.blocked { len / 4 } else { limits::CORK_SIZE.max(len / 2) };
            if self.start >= most {
                self.out.drain(..self.start);
                self.start = 0;
            }
        }
        let ended = self.closed || self.broken;
        let has_room = self.pending() as u64 <= connection.options.write_limit / 2;
        let mut notify = (ended || has_room && !self.is_taken()) && mem::take(&mut self.notify);
        if let Some(begun) = self.begun.as_mut().filter(|_| ended || has_room) {
            notify |= mem::take(&mut begun.notify);
        }
        if notify {
            connection.tell(EventKind::Writable);
        }
    }

    /// Does what the runtime asked for.
    fn serve(&mut self, connection: &Arc<Connection>) {
        if connection.gone.load(Ordering::Acquire) {
            self.socket = None;
            self.discard();
        } else if self.tls && !self.broken && connection.broken.load(Ordering::Acquire) {
            self.discard();
            self.wrote(connection);
        }
        if self.broken {
            return;
        }
        self.blocked = false;
        self.answer(connection);
        self.flush(connection);
        // A pong that waited for the one before it follows now, or when the socket has room.
        if self.answer(connection) {
            self.flush(connection);
        }
        self.write_kept(connection);
    }

    /// Appends the control frames that the runtime wants sent; returns whether there were any.
    fn answer(&mut self, connection: &Connection) -> bool {
        if self.closed || self.broken {
            return false;
        }
        let mut control = connection.control();
        let before = self.out.len();
        // Pongs wait for those before them; one stands for all that wait (RFC 6455, 5.5.3).
        if self.pong > 0 {
            control.keep_last_pong();
        } else if !control.pongs.is_empty() {
            for payload in mem::take(&mut control.pongs) {
                if self.encoder.pong(&mut self.out, &payload).is_err() {
                    self.discard();
                    return false;
                }
            }
            self.pong = self.queued();
        }
        if let Some(payload) = control.ping.take()
            && self.encoder.ping(&mut self.out, &payload).is_err()
        {
            self.discard();
            return false;
        }
        if let Some(close) = control.close.take() {
            self.close(&close);
        }
        self.out.len() > before
    }

    /// Seals what is queued, a part of it at a time, when what was sealed before has left. Returns
    /// whether there was any.
    fn seal(&mut self, connection: &Arc<Connection>, tls: &mut Tls) -> Result<bool> {
        if self.broken {
            return Ok(false);
        }
        self.answer(connection);
        self.encode_kept((connection.options.write_limit / 2).max(1));
        let part = if tls.pending().is_empty() { self.queued().min(limits::SEAL) } else { 0 };
        if part > 0 {
            tls.seal(&self.out[self.start..][..part])?;
            self.start += part;
            self.pong = self.pong.saturating_sub(part);
        }
        self.sealed = tls.pending().len();
        self.wrote(connection);
        Ok(part > 0)
    }

    fn close(&mut self, close: &Close) {
        self.closed = true;
        if self.encoder.close(&mut self.out, close).is_err() {
            self.discard();
        }
    }
}

impl Connection {
    /// Runs `f` with the write half, and what the runtime asked for meanwhile.
    fn with_writer<R>(self: &Arc<Self>, f: impl FnOnce(&mut Writer) -> R) -> R {
        let mut writer = self.writer.lock();
        let result = f(&mut writer);
        self.settle(writer);
        result
    }

    /// Serves requests until there is none, then lets go of the write half.
    fn settle<'a>(self: &'a Arc<Self>, mut writer: MutexGuard<'a, Writer>) {
        loop {
            if self.asked.load(Ordering::Acquire) && self.asked.swap(false, Ordering::AcqRel) {
                writer.serve(self);
            }
            drop(writer);
            // With the fence in `serve_writer`: either this sees its request, or it gets the lock.
            fence(Ordering::SeqCst);
            if !self.asked.load(Ordering::Acquire) {
                return;
            }
            let Some(next) = self.writer.try_lock() else { return };
            writer = next;
        }
    }

    /// For the runtime: the write half, or a request to whoever holds it, to do what is asked for.
    fn ask_for_writer(&self) -> Option<MutexGuard<'_, Writer>> {
        self.asked.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.writer.try_lock()
    }

    /// For the runtime: has control frames queued, the socket written, a dead socket dropped;
    /// by a guest, if one holds the write half just now.
    pub(crate) fn serve_writer(self: &Arc<Self>) {
        if let Some(writer) = self.ask_for_writer() {
            self.settle(writer);
        }
    }

    /// For the runtime, with TLS: seals what guests have queued. False if there was nothing, or if
    /// a guest holds the write half just now: that guest wakes the runtime.
    pub(crate) fn seal(self: &Arc<Self>, tls: &mut Tls) -> Result<bool> {
        let Some(mut writer) = self.writer.try_lock().or_else(|| self.ask_for_writer()) else {
            return Ok(false);
        };
        let sealed = writer.seal(self, tls);
        self.settle(writer);
        sealed
    }

    /// For the runtime, with TLS: nothing can be written any more.
    pub(crate) fn lose_writer(self: &Arc<Self>) {
        if !self.broken.swap(true, Ordering::AcqRel) {
            self.waker.wake();
            self.serve_writer();
        }
    }

    /// For the runtime, once: gives the write half its socket, and tells a client's guest so.
    pub(crate) fn open_writer(self: &Arc<Self>, socket: Arc<Socket>, tls: bool, agreed: Option<Agreed>) {
        let options = &self.options;
        self.with_writer(|w| {
            if let Some(agreed) = agreed {
                let deflater = Deflater::new(agreed.send, options.compression_level);
                w.encoder.compress(deflater, options.compression_min_size);
            }
            w.socket = Some(socket);
            w.tls = tls;
            if self.role == Role::Client {
                self.tell(EventKind::Open); // before WRITABLE, for a guest that could not wait
            }
            // It may have been closed in the moment before it opened.
            if let Some(close) = self.first_close.get() {
                w.close(close);
            }
            w.flush(self);
            w.write_kept(self);
        });
    }

    /// Has the write half belong to another mailbox; what is corked is written.
    pub(crate) fn move_writer(self: &Arc<Self>, to: &Arc<Mailbox>) {
        let is_closed = self.with_writer(|w| {
            if w.corked && !w.blocked {
                w.flush(self);
            }
            w.corked = false;
            w.mailbox = to.clone();
            if mem::take(&mut w.notify) {
                self.tell(EventKind::Writable);
            }
            // Begun in the moment before: nobody can finish it.
            w.abandon_begun(self)
        });
        if is_closed {
            self.waker.wake();
        }
    }

    /// Has a connection that nobody uses yet belong to another mailbox.
    pub(crate) fn settle_in(&self, to: &Arc<Mailbox>) {
        self.writer.lock().mailbox = to.clone();
        *self.home() = to.clone();
    }

    /// Writes what was kept back for the end of the batch.
    pub(crate) fn uncork(self: &Arc<Self>) {
        self.with_writer(|w| {
            if w.corked && !w.blocked {
                w.flush(self);
            }
            w.corked = false;
        });
    }

    /// Whether all that was accepted has been acknowledged by the peer's system, or never will be.
    pub(crate) fn has_left(self: &Arc<Self>) -> bool {
        self.with_writer(|w| match &w.socket {
            Some(socket) if !w.broken => {
                use std::os::fd::AsFd;
                w.pending() == 0 && crate::sys::unacknowledged(socket.as_fd()).is_ok_and(|n| n == 0)
            }
            _ => true,
        })
    }
}
