//! A connection: what guests and the runtime share of it.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use crate::{
    counters::{Tally, Traffic},
    error::{Error, Kind, Result},
    event::{Event, EventKind, Source},
    handle::{self, HandleKind},
    inbox::Inbox,
    latency::Latency,
    limits,
    listener::Listener,
    lock::{Mutex, MutexGuard},
    mailbox::Mailbox,
    options::Options,
    process::{self, Process},
    protocol::{self, Close, Encoder, Message, PingPayload, Role},
    reconnect::Plan,
    request::Request,
    review::Review,
    sync::{AtomicBool, AtomicWaker},
    told::Told,
    writer::Writer,
};

/// How a connection ended.
pub(crate) struct End {
    /// None after a closing handshake, else what ended or prevented it.
    pub error: Option<Error>,
    /// What an event tells of it, ended by a NUL.
    pub text: Box<[u8]>,
}

/// What guests and the runtime leave for each other: control frames that the runtime wants sent,
/// a few pongs, one ping and one close; before it opens, the review of its request.
#[derive(Default)]
pub(crate) struct Control {
    pub pongs: Vec<Box<[u8]>>,
    pub ping: Option<PingPayload>,
    pub close: Option<Close>,
    pub review: Option<Box<Review>>,
}

impl Control {
    /// Asks for a pong to each ping; where too many wait, for one to the last (RFC 6455, 5.5.3).
    pub fn ask_pongs(&mut self, pings: &mut Vec<Box<[u8]>>) {
        self.pongs.append(pings);
        if self.pongs.len() > limits::WAITING_PONGS {
            self.keep_last_pong();
        }
    }

    /// Lets the last pong stand for all that wait.
    pub fn keep_last_pong(&mut self) {
        self.pongs.drain(..self.pongs.len().saturating_sub(1));
    }
}

/// A connection, as its handle names it.
pub struct Connection {
    /// Its handle, which is another one in each mailbox, and the events that wait there. None of them
    /// waits there twice.
    pub(crate) told: Told,
    pub(crate) process: &'static Process,
    pub(crate) role: Role,
    pub(crate) options: Arc<Options>,
    /// How it is made again when it is lost.
    pub(crate) plan: Option<Arc<Plan>>,
    /// The mailbox that it belongs to. Locked behind the inbox, the control and the write half, and
    /// before everything of a mailbox: events are pushed meanwhile.
    home: Mutex<Arc<Mailbox>>,
    /// Another connection has taken its place.
    pub(crate) succeeded: AtomicBool,
    pub(crate) request: OnceLock<Request>,
    /// The listener that it came through.
    pub(crate) listener: OnceLock<Arc<Listener>>,
    /// Our own address.
    pub(crate) local: OnceLock<SocketAddr>,
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) writer: Mutex<Writer>,
    control: Mutex<Control>,
    /// The first close frame, whoever sent it.
    pub(crate) first_close: OnceLock<Close>,
    /// It was the peer.
    pub(crate) closed_by_peer: AtomicBool,
    pub(crate) end: OnceLock<End>,
    /// Wakes the runtime's side.
    pub(crate) waker: AtomicWaker,
    /// The alarm of the runtime's side has rung.
    pub(crate) rung: AtomicBool,
    /// The runtime asks whoever holds the write half to serve it.
    pub(crate) asked: AtomicBool,
    /// Its time is over, whatever has been said.
    pub(crate) cut: AtomicBool,
    /// The socket was full: the runtime waits for room.
    pub(crate) blocked: AtomicBool,
    /// Writing failed.
    pub(crate) broken: AtomicBool,
    /// Our close frame has left.
    pub(crate) close_written: AtomicBool,
    /// The runtime has given up the socket.
    pub(crate) gone: AtomicBool,
    /// Reading pauses until the inbox is half empty.
    pub(crate) paused: AtomicBool,
    /// The guest let go of the handle.
    pub(crate) freed: AtomicBool,
    /// The guest wants a round trip.
    pub(crate) ping_asked: AtomicBool,
    /// The round trips of its pings.
    pub(crate) latency: Latency,
}

impl Connection {
    /// A connection that its handle names from now on.
    pub(crate) fn new(
        mailbox: Arc<Mailbox>,
        role: Role,
        options: Arc<Options>,
        plan: Option<Arc<Plan>>,
    ) -> Result<Arc<Connection>> {
        let handle = handle::new(HandleKind::Connection);
        let connection = Connection::make(handle, mailbox.clone(), role, options, plan);
        mailbox.adopt_connection(&connection)?;
        Ok(connection)
    }

    /// One that is to take the place of a client's connection, not open yet.
    pub(crate) fn again(before: &Connection) -> Arc<Connection> {
        let (mailbox, options) = (before.home().clone(), before.options.clone());
        Connection::make(before.handle(), mailbox, before.role, options, before.plan.clone())
    }

    fn make(
        handle: u64,
        mailbox: Arc<Mailbox>,
        role: Role,
        options: Arc<Options>,
        plan: Option<Arc<Plan>>,
    ) -> Arc<Connection> {
        Arc::new(Connection {
            told: Told::new(handle),
            process: mailbox.process(),
            role,
            options,
            plan,
            request: OnceLock::new(),
            listener: OnceLock::new(),
            local: OnceLock::new(),
            inbox: Mutex::default(),
            writer: Mutex::new(Writer::new(Encoder::new(role), mailbox.clone())),
            control: Mutex::default(),
            first_close: OnceLock::new(),
            closed_by_peer: AtomicBool::new(false),
            end: OnceLock::new(),
            waker: AtomicWaker::new(),
            rung: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            close_written: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            freed: AtomicBool::new(false),
            ping_asked: AtomicBool::new(false),
            latency: Latency::default(),
            home: Mutex::new(mailbox),
            succeeded: AtomicBool::new(false),
        })
    }

    /// The connection of this handle.
    pub fn find(handle: u64) -> Result<Arc<Connection>> {
        process::connection(handle)
    }

    pub(crate) fn home(&self) -> MutexGuard<'_, Arc<Mailbox>> {
        self.home.lock()
    }

    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock()
    }

    pub(crate) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock()
    }

    /// Queues an event, unless the same kind of event waits already.
    pub(crate) fn tell(self: &Arc<Self>, kind: EventKind) {
        let home = self.home();
        if let Some(handle) = self.told.tell(kind) {
            home.push(Event { kind, handle, source: Source::Connection(self.clone()) });
        }
    }

    /// The guest knows the connection now: what has come meanwhile is told.
    pub(crate) fn announce(self: &Arc<Self>) {
        let mut inbox = self.inbox();
        inbox.announced = true;
        if !inbox.is_empty() {
            self.tell(EventKind::Readable);
        }
        if inbox.ended {
            self.tell(EventKind::Closed);
        }
    }

    /// For the runtime: nothing more will come, unless it is made again. `error` is None after a closing handshake.
    pub(crate) fn ended(self: &Arc<Self>, error: Option<Error>) {
        let was_open = self.inbox().opened;
        let is_lost = self.is_succeeded(error.as_ref(), was_open);
        let text = match (&error, self.was_open() && !is_lost, self.first_close.get()) {
            (Some(e), false, _) => e.text.as_bytes(),
            (_, _, Some(close)) => close.reason.as_bytes(),
            _ => b"",
        };
        let text = [text, b"\0"].concat().into();
        if is_lost {
            return self.lost(End { error, text }, was_open);
        }
        self.log_ended(error.as_ref(), false);
        let mut inbox = self.inbox();
        if self.end.set(End { error, text }).is_ok() {
            inbox.ended = true;
            match (inbox.opened, self.role) {
                (true, _) => self.count(Tally::ended),
                (false, Role::Client) => self.count(Tally::failed),
                (false, Role::Server) => {} // its listener counts it
            }
            if inbox.announced {
                self.tell(EventKind::Closed);
            }
        }
    }

    /// Takes up to `capacity` messages in the order they came and hands each to `take`.
    ///
    /// Returns how many; `Kind::Closed` if there is none and the connection has ended. `take` is
    /// called with the inbox locked: it stores, and does nothing else.
    pub fn receive(&self, capacity: usize, mut take: impl FnMut(Message)) -> Result<usize> {
        let mut inbox = self.inbox();
        let mut count = 0;
        while count < capacity {
            let Some(message) = inbox.pop() else { break };
            take(message);
            count += 1;
        }
        if count == 0 && inbox.is_empty() && inbox.ended {
            return Err(Kind::Closed.into());
        }
        let half = inbox.size() as u64 <= self.options.read_limit / 2;
        if half && self.paused.load(Ordering::Relaxed) {
            self.paused.store(false, Ordering::Relaxed);
            drop(inbox);
            self.waker.wake();
        }
        Ok(count)
    }

    /// Starts the closing handshake: a close frame behind all that was accepted.
    ///
    /// `code` 0 is 1000. The event `Closed` follows when it is done, or after `close_timeout`.
    pub fn close(self: &Arc<Self>, code: u16, reason: &[u8]) -> Result<()> {
        let close = protocol::check(code, reason)?;
        if self.start_close(close) { Ok(()) } else { Err(Kind::Closed.into()) }
    }

    /// Asks for a round trip: when the pong has come, of a ping under way or of a new one, there is
    /// the event `Pong`. Fails with `Closed` if no more pings leave, and with `Away` while it is to come back.
    pub fn ping(&self) -> Result<()> {
        if self.end.get().is_some() || self.first_close.get().is_some() {
            return Err(Kind::Closed.into());
        }
        if !self.was_open() && self.comes_back().is_some() {
            return Err(Kind::Away.into());
        }
        self.ping_asked.store(true, Ordering::Release);
        self.rung.store(true, Ordering::Release);
        self.waker.wake();
        Ok(())
    }

    /// Lets go of a handle: it is stale at once, and what is still open is closed with 1001.
    pub fn free(handle: u64) {
        let Ok(process) = Process::current() else { return };
        // In this order: one that moves meanwhile is among those that moved before it leaves the others.
        if let Some(connection) = process.connections.remove(handle) {
            connection.let_go();
            let home = connection.home().clone();
            home.forget_connection(&connection);
        } else if let Some(mailbox) = process.moved.remove(handle) {
            mailbox.forget_moved(handle);
        }
    }

    /// Nobody listens any more: what comes is dropped, what was accepted leaves.
    pub(crate) fn let_go(self: &Arc<Self>) {
        self.freed.store(true, Ordering::Release);
        self.inbox().clear();
        self.paused.store(false, Ordering::Relaxed);
        self.start_close(Close::going_away());
    }

    /// For the runtime: it has given up the socket, or never had one.
    pub(crate) fn give_up(self: &Arc<Self>) {
        self.gone.store(true, Ordering::Release);
        self.serve_writer();
        let home = self.home().clone();
        home.forget_connection(self);
    }

    /// The handle of the listener that it came through; 0 for a client's.
    pub fn listener(&self) -> u64 {
        self.listener.get().map_or(0, |listener| listener.handle())
    }

    /// For the runtime: it opens.
    pub(crate) fn opens(&self, local: Option<SocketAddr>) {
        if let Some(local) = local {
            let _ = self.local.set(local);
        }
        self.inbox().opened = true;
        if let Some(plan) = &self.plan {
            plan.opened();
        }
        self.count(Tally::open);
        self.log_opened();
    }

    /// Counts for the process, and for its listener or all clients.
    pub(crate) fn count(&self, what: impl Fn(&Tally)) {
        let process = self.process;
        what(&process.all);
        match self.listener.get() {
            Some(listener) => what(&listener.tally),
            None => what(&process.clients),
        }
    }

    /// What was received and what was sent.
    pub fn traffic(self: &Arc<Self>) -> (Traffic, Traffic) {
        let received = self.inbox().received;
        (received, self.sent())
    }

    /// Our own address; None before it is open, and for a Unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local.get().copied()
    }

    /// The request of its opening handshake; None before that is known.
    pub fn request(&self) -> Option<&Request> {
        self.request.get()
    }

    /// Its last and its smoothed round trip; None before the first pong.
    pub fn latency(&self) -> Option<(Duration, Duration)> {
        self.latency.get()
    }

    /// What it is allowed.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Its handle.
    pub fn handle(&self) -> u64 {
        self.told.handle()
    }
}
