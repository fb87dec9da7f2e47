//! The runtime's side of a connection: reads its socket, answers control frames, sees to its end.
//!
//! It is a future by hand, so that nothing of a connection lives in an async stack: what is
//! readable and writable is done by plain functions that another reactor could call as well.

use std::{
    future::Future,
    io, mem,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Instant,
};

use rustix::net::{RecvFlags, Shutdown};
use tokio::{io::Interest, task::yield_now};

use crate::{
    admission::Admitted,
    burst,
    connection::Connection,
    counters::Traffic,
    error::{Error, Kind, io_text},
    event::EventKind,
    limits,
    protocol::{Agreed, Close, Decoder, Incoming, Inflater, Message, NO_CODE, Violation},
    runtime::{Runtime, Scratch},
    socket::Socket,
    stream::Stream,
    sys,
    tls::Tls,
};

mod clocks;
mod keepalive;
mod likely;
mod rate;
mod tls;

use clocks::{Due, Watch};
use keepalive::Keepalive;
use rate::Rate;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Messages come in.
    Open,
    /// Nothing of interest comes any more; what we have queued leaves, our close frame last.
    Leaving,
    /// The guest knows the end. The socket is read until the peer ends it, too: closing it with
    /// bytes unread would reset it, and destroy what is on its way to the peer.
    Draining,
}

/// Drives one connection until its socket is closed.
pub(crate) struct Driver {
    connection: Arc<Connection>,
    socket: Arc<Socket>,
    runtime: &'static Runtime,
    decoder: Decoder,
    phase: Phase,
    /// What broke the protocol, told when our close frame has left.
    failure: Option<Error>,
    /// The end of `close_timeout`, from the first close frame on.
    deadline: Option<Instant>,
    /// Watches over a message that is not complete.
    watch: Option<Watch>,
    keepalive: Option<Keepalive>,
    rate: Option<Box<Rate>>,
    /// When `max_lifetime` is over.
    retirement: Option<Instant>,
    /// When it is to be woken, at the latest, for one of these five.
    alarm: Option<Instant>,
    /// With TLS, the runtime seals and writes.
    tls: Option<Box<Tls>>,
    /// How the peer ended it, to be told when all that came before has been taken.
    end: Option<Error>,
    /// Bytes that came along with the handshake, or that have not had their turn.
    leftover: Vec<u8>,
    /// Its place among the connections of its listener.
    _admitted: Option<Admitted>,
}

/// Has the task go on when the runtime has looked at all sockets again. One that woke itself would be
/// ready before that, sixty times in a row where no other is.
fn give_way(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

/// What reading once gave.
enum Progress {
    /// There may be more.
    More,
    /// There is no more for now.
    Dry,
    /// The peer has ended its side.
    End,
    /// The connection is lost.
    Lost(io::Error),
}

/// Receives once, by a call that says how much it got, where there is room for so much: that, and what
/// to expect next; or what to expect where nothing came.
fn receive(
    socket: &Socket,
    room: usize,
    call: impl FnOnce(&Socket) -> io::Result<usize>,
) -> Result<(usize, Progress), Progress> {
    let mut got = 0;
    let result = socket.try_io(Interest::READABLE, || {
        got = call(socket)?;
        // Less than there was room for: the socket is empty, and says so when it is not.
        if (1..room).contains(&got) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match result {
        _ if got > 0 => Ok((got, if got < room { Progress::Dry } else { Progress::More })),
        Ok(()) => Err(Progress::End),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Err(Progress::Dry)
        }
        Err(e) => Err(Progress::Lost(e)),
    }
}

impl Driver {
    /// Takes over the stream of a connection whose handshake is done.
    pub(crate) fn start(
        connection: Arc<Connection>,
        stream: Stream,
        mut leftover: Vec<u8>,
        agreed: Option<Agreed>,
        admitted: Option<Admitted>,
        runtime: &'static Runtime,
    ) {
        let (socket, tls, opened) = stream.into_parts();
        leftover.extend_from_slice(&opened);
        let socket = Arc::new(socket);
        let inflater = agreed.map(|agreed| Box::new(Inflater::new(agreed.receive)));
        let mut decoder = Decoder::new(connection.role, connection.options.max_message_size, inflater);
        if connection.options.fragments {
            decoder.pass_on_fragments();
        }
        connection.opens(socket.local());
        connection.open_writer(socket.clone(), tls.is_some(), agreed);
        let keepalive = Some(Keepalive::new(connection.options.ping_interval()));
        let rate = Rate::new(&connection.options);
        let retirement = connection.options.max_lifetime().map(|time| Instant::now() + time);
        let mut driver = Driver {
            connection,
            socket,
            runtime,
            decoder,
            phase: Phase::Open,
            failure: None,
            deadline: None,
            watch: None,
            keepalive,
            rate,
            retirement,
            alarm: None,
            tls,
            end: None,
            leftover,
            _admitted: admitted,
        };
        driver.set_next_alarm();
        runtime.spawn(driver);
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.waker.register(cx.waker());
        let mut is_dry = false;
        loop {
            if !self.leftover.is_empty() && self.takes_messages() {
                let mut leftover = mem::take(&mut self.leftover);
                let runtime = self.runtime;
                self.feed(&mut leftover, &mut runtime.scratch().incoming);
            }
            self.bound_message();
            let is_dead = match self.look_at_clocks() {
                Due::Nothing => false,
                Due::Pong => true,
                Due::Close => {
                    return self.give_up(Error::new(Kind::Timeout, "the peer did not close in time"));
                }
            };
            self.pump(cx);
            if is_dead && !self.connection.close_written.load(Ordering::Acquire) {
                // Nothing leaves: there is no point in waiting for it.
                return self.give_up(Kind::Timeout.into());
            }
            if self.leftover.is_empty()
                && self.phase == Phase::Open
                && let Some(end) = self.end.take()
            {
                return self.give_up(end);
            }
            if self.connection.blocked.load(Ordering::Acquire) && self.socket.poll_write_ready(cx).is_ready()
            {
                self.connection.blocked.store(false, Ordering::Release);
                self.connection.serve_writer();
            }
            self.bound_closing();
            if self.phase == Phase::Leaving && self.connection.close_written.load(Ordering::Acquire) {
                self.drain();
            }
            if self.phase == Phase::Leaving && self.connection.broken.load(Ordering::Acquire) {
                return self.give_up(Error::new(Kind::Tcp, "the peer reset the connection"));
            }
            if self.phase == Phase::Open && !self.leftover.is_empty() && self.takes_messages() {
                give_way(cx);
                return Poll::Pending;
            }
            // Most of the time it was woken because there is something to read.
            if !self.wants_read() || is_dry && self.socket.poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            match self.read() {
                Progress::Dry => is_dry = true,
                Progress::More => {
                    // One batch each: then the others have their turn.
                    give_way(cx);
                    return Poll::Pending;
                }
                // Both sides have ended it.
                Progress::End if self.phase == Phase::Draining => return self.let_go(),
                Progress::End => return self.give_up(Error::new(Kind::Tcp, "the peer ended the connection")),
                Progress::Lost(e) => return self.give_up(Error::new(Kind::Tcp, io_text(&e))),
            }
        }
    }

    fn wants_read(&self) -> bool {
        match self.phase {
            // What was read before comes first: a guest may make room at any moment.
            Phase::Open => self.leftover.is_empty() && self.end.is_none() && self.takes_messages(),
            // A peer that has sent its close frame has no more to say; one that broke the
            // protocol is drained, so that our close frame is not lost in a reset.
            Phase::Leaving => self.failure.is_some(),
            Phase::Draining => true,
        }
    }

    /// Whether messages have somewhere to go, or the peer's close frame is what we read for.
    fn takes_messages(&self) -> bool {
        let has_room = !self.connection.paused.load(Ordering::Acquire)
            && self.rate.as_ref().is_none_or(|rate| rate.until.is_none());
        has_room || self.connection.first_close.get().is_some()
    }

    /// Reads once: the rest of a large payload in place, all else, and what is behind it, into the buffer
    /// that all connections share.
    fn read(&mut self) -> Progress {
        let runtime = self.runtime;
        let mut scratch = runtime.scratch();
        let Scratch { bytes, plain, incoming } = &mut *scratch;
        runtime.returned.restock(&mut incoming.stock);
        let open = self.phase == Phase::Open;
        let direct = open && self.tls.is_none();
        if direct && self.decoder.has_habit() {
            return self.read_likely(bytes, incoming);
        }
        let place = if direct { self.decoder.place() } else { None };
        let most = place.as_ref().map_or(0, |(_, most)| *most);
        let received = receive(&self.socket, most + bytes.len(), |socket| match place {
            Some((payload, most)) => sys::receive_parts(socket.as_fd(), &mut [], payload, most, bytes),
            None => Ok(rustix::net::recv(socket, &mut bytes[..], RecvFlags::DONTWAIT)?.0),
        });
        let (got, progress) = match received {
            Ok(received) => received,
            Err(progress) => return progress,
        };
        if most > 0 {
            let here = got.min(most);
            let result = self.decoder.placed(here, incoming);
            self.take_before(&mut bytes[..got - here], incoming, result.err());
        } else if open && self.tls.is_some() {
            self.open(&mut bytes[..got], plain, incoming);
        } else if open {
            self.feed(&mut bytes[..got], incoming);
        }
        progress
    }

    /// Decodes as many bytes as make one turn; the others are kept as they are.
    fn feed(&mut self, bytes: &mut [u8], incoming: &mut Incoming) {
        let enough = self.rate.as_ref().map_or(limits::FEED, |rate| rate.room().min(limits::FEED));
        let result = self.decoder.feed(bytes, enough, incoming);
        let taken = result.unwrap_or(bytes.len());
        self.take(incoming, result.err());
        if self.phase == Phase::Open && taken < bytes.len() {
            self.leftover = bytes[taken..].to_vec();
        }
    }

    /// Takes what was decoded, and decodes what came behind it.
    fn take_before(&mut self, behind: &mut [u8], incoming: &mut Incoming, violation: Option<Violation>) {
        self.take(incoming, violation);
        if !behind.is_empty() && self.phase == Phase::Open {
            self.feed(behind, incoming);
        }
    }

    /// Takes what was decoded.
    fn take(&mut self, incoming: &mut Incoming, violation: Option<Violation>) {
        // Before the messages are told of: a pong is not to leave behind the answer to a message
        // that ended after the ping.
        if !incoming.pings.is_empty() {
            self.connection.control().ask_pongs(&mut incoming.pings);
            self.connection.serve_writer();
        }
        self.keep_to_rate(incoming);
        self.store(incoming.messages.drain(..));
        burst::grows(mem::take(&mut incoming.size));
        if let Some(payload) = incoming.pong.take() {
            self.ponged(payload);
        }
        if let Some(close) = incoming.close.take() {
            self.peer_closed(close);
        }
        if let Some(violation) = violation {
            let kind = if violation.code == 1009 { Kind::TooBig } else { Kind::Protocol };
            self.fail(kind, violation);
        }
    }

    /// Puts messages into the inbox, and pauses reading when it is over its limit.
    fn store(&self, messages: impl Iterator<Item = Message>) {
        let connection = &self.connection;
        let limit = connection.options.read_limit;
        let mut inbox = connection.inbox();
        let (was_empty, before) = (inbox.is_empty(), inbox.received);
        for message in messages {
            if connection.freed.load(Ordering::Relaxed) {
                continue;
            }
            // Once we have sent our close frame, the peer's is what we read for.
            inbox.is_cut_off |= inbox.size() as u64 > limit && connection.first_close.get().is_some();
            if !inbox.is_cut_off {
                inbox.push(message);
            }
        }
        if inbox.size() as u64 > limit {
            connection.paused.store(true, Ordering::Release);
        }
        let new = inbox.received - before;
        if new != Traffic::default() {
            connection.count(|tally| tally.received(new));
        }
        if was_empty && !inbox.is_empty() && inbox.announced {
            connection.tell(EventKind::Readable);
        }
    }

    /// The peer's close frame: it is answered with its own code, unless it is the answer to ours.
    fn peer_closed(&mut self, close: Close) {
        let answer = match close.code {
            NO_CODE => Close::new(NO_CODE, ""),
            code => Close::new(code, ""),
        };
        if self.connection.first_close.set(close).is_ok() {
            self.connection.closed_by_peer.store(true, Ordering::Release);
            self.connection.control().close = Some(answer);
            self.connection.serve_writer();
        }
        self.phase = Phase::Leaving;
    }

    /// The peer broke the protocol: a close frame says how, and nothing more is read from it.
    fn fail(&mut self, kind: Kind, violation: Violation) {
        let close = Close::new(violation.code, violation.text);
        self.failure = Some(Error::new(kind, violation.text));
        if self.connection.first_close.set(close.clone()).is_ok() {
            self.connection.control().close = Some(close);
            self.connection.serve_writer();
        }
        self.phase = Phase::Leaving;
    }

    /// Both sides have said all: the guest hears of the end, the socket is shut down and drained.
    fn drain(&mut self) {
        self.phase = Phase::Draining;
        self.end_tls();
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
        self.connection.ended(self.failure.take());
    }

    /// Ends it as it stands.
    fn give_up(&mut self, error: Error) -> Poll<()> {
        let error = self.failure.take().unwrap_or(error);
        self.connection.ended(Some(error));
        // A child of fork may hold the descriptor as well: the peer shall see the end now.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        self.let_go()
    }

    fn let_go(&mut self) -> Poll<()> {
        self.unset_alarm();
        self.connection.give_up();
        Poll::Ready(())
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The guest hears of an end, whatever happens.
        catch_unwind(AssertUnwindSafe(|| self.drive(cx))).unwrap_or_else(|_| {
            self.give_up(Error::new(Kind::Internal, "internal error: a panic was caught"))
        })
    }
}
