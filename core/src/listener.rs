//! A listener: accepts clients, and keeps those that nobody has taken yet.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use rustix::{io::Errno, net::Shutdown};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::{
    admission::Admission,
    bind::{Bound, SocketFile},
    connection::Connection,
    counters::{Counters, Tally},
    drain,
    error::{Error, Kind, Result, io_text},
    event::{Event, EventKind, Source},
    handle::{self, HandleKind},
    limits,
    lock::{Mutex, MutexGuard},
    log::Level,
    mailbox::Mailbox,
    options::{self, Options},
    process,
    protocol::{self, GOING_AWAY, Rules},
    runtime::Runtime,
    state::State,
    tls,
};

mod greet;

use greet::greet;

/// Clients whose handshake is done, with their places.
#[derive(Default)]
struct Waiting {
    clients: VecDeque<(Arc<Connection>, OwnedSemaphorePermit)>,
    ended: bool,
}

/// How a listener ended.
struct End {
    error: Option<Error>,
    /// The reason, ended by a NUL.
    text: Box<[u8]>,
}

/// A listener, as its handle names it.
pub struct Listener {
    pub(crate) handle: u64,
    pub(crate) mailbox: Arc<Mailbox>,
    options: Arc<Options>,
    rules: Rules,
    /// None: no TLS.
    tls: Option<tls::Server>,
    host: String,
    port: u16,
    /// To be shut down by whoever ends the listener, so that its port is free at once; and the file
    /// of a Unix socket, to be removed then.
    socket: Mutex<Option<(OwnedFd, Option<SocketFile>)>>,
    waiting: Mutex<Waiting>,
    admission: Arc<Admission>,
    /// Opening handshakes that may be under way.
    handshakes: Arc<Semaphore>,
    pub(crate) tally: Tally,
    /// Places for clients that wait; closed when the listener ends.
    places: Arc<Semaphore>,
    /// Never has a permit; closed when the listener ends.
    stopped: Semaphore,
    end: OnceLock<End>,
    pub(crate) freed: AtomicBool,
    /// Kinds of events that wait in the mailbox, a bit each: none waits there twice.
    told: AtomicU32,
}

impl Listener {
    /// Serves a socket that listens, and returns the listener's handle.
    pub(crate) fn start(
        mailbox: Arc<Mailbox>,
        mut bound: Bound,
        options: Options,
        rules: Rules,
        tls: Option<tls::Server>,
    ) -> Result<u64> {
        let runtime = mailbox.process().runtime()?;
        let second = bound.descriptor().map_err(|e| Error::new(Kind::Listen, io_text(&e)))?;
        let listener = Arc::new(Listener {
            handle: handle::new(HandleKind::Listener),
            mailbox,
            admission: Arc::new(Admission::new(&options)),
            handshakes: Arc::new(Semaphore::new(options.max_handshakes as usize)),
            tally: Tally::default(),
            options: Arc::new(options),
            rules,
            tls,
            host: std::mem::take(&mut bound.host),
            port: bound.port,
            socket: Mutex::new(Some((second, bound.file.take()))),
            waiting: Mutex::default(),
            places: Arc::new(Semaphore::new(limits::ACCEPT_QUEUE)),
            stopped: Semaphore::new(0),
            end: OnceLock::new(),
            freed: AtomicBool::new(false),
            told: AtomicU32::new(0),
        });
        let handle = listener.handle;
        listener.mailbox.adopt_listener(&listener)?;
        listener.log(Level::Info, || format!("listens on {}", listener.shown()));
        runtime.spawn(serve(listener, bound, runtime));
        Ok(handle)
    }

    /// The listener of this handle.
    pub fn find(handle: u64) -> Result<Arc<Listener>> {
        process::listener(handle)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    fn tell(self: &Arc<Self>, kind: EventKind) {
        let bit = 1 << kind as u32;
        if self.told.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.mailbox.push(Event { kind, handle: self.handle, source: Source::Listener(self.clone()) });
        }
    }

    /// The guest has heard an event of this kind: the next one is news.
    pub(crate) fn heard(&self, kind: EventKind) {
        self.told.fetch_and(!(1 << kind as u32), Ordering::AcqRel);
    }

    /// A client whose handshake is done waits to be taken; a listener that has ended sends it away.
    fn offer(self: &Arc<Self>, client: Arc<Connection>, place: OwnedSemaphorePermit) {
        let mut waiting = self.waiting();
        if waiting.ended {
            drop(waiting);
            Connection::free(client.handle());
            return;
        }
        waiting.clients.push_back((client, place));
        if waiting.clients.len() == 1 {
            self.tell(EventKind::Accepted);
        }
    }

    /// Takes up to `capacity` clients, hands each handle to `take`, and returns how many; fails
    /// with `Closed` if the listener has ended.
    pub fn accept(&self, capacity: usize, mut take: impl FnMut(u64)) -> Result<usize> {
        let mut taken = Vec::new();
        {
            let mut waiting = self.waiting();
            if waiting.ended {
                return Err(Kind::Closed.into());
            }
            while taken.len() < capacity
                && let Some(client) = waiting.clients.pop_front()
            {
                // Whoever reviewed its request may have let go of it since.
                if !client.0.freed.load(Ordering::Acquire) {
                    taken.push(client);
                }
            }
        }
        for (client, _place) in &taken {
            take(client.handle());
            client.announce();
        }
        Ok(taken.len())
    }

    /// Stops accepting, for this reason. Clients that nobody has taken are closed with 1001;
    /// the event `Dead` follows. Fails with `Closed` if it has stopped before.
    pub fn close(self: &Arc<Self>, reason: &[u8]) -> Result<()> {
        let reason = if reason.is_empty() { b"closed" } else { reason };
        self.stop(None, reason)?;
        self.tell(EventKind::Dead);
        Ok(())
    }

    /// Stops accepting, and closes the connections that came through it with 1001 and this reason,
    /// spread over so many seconds; by then all have ended, and the event `Dead` follows. Fails
    /// with `Closed` if it has stopped before.
    pub fn drain(self: &Arc<Self>, seconds: f64, reason: &[u8]) -> Result<()> {
        options::check(&limits::DRAIN, seconds)?;
        protocol::check(GOING_AWAY, reason)?;
        let runtime = self.mailbox.process().runtime()?;
        self.stop(None, if reason.is_empty() { b"closed" } else { reason })?;
        let (listener, reason) = (self.clone(), reason.to_vec());
        runtime.spawn(async move {
            drain::run(listener.connections(), Duration::from_secs_f64(seconds), &reason).await;
            listener.tell(EventKind::Dead);
        });
        Ok(())
    }

    /// The connections that came through it, were taken and have not ended, the oldest first.
    /// It looks at every connection of the process.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        let all = &self.mailbox.process().connections;
        let mut found = all.select(|connection| connection.listener() == self.handle);
        found.retain(|connection| {
            matches!(connection.state(), State::Open | State::Closing) && connection.inbox().announced
        });
        found.sort_unstable_by_key(|connection| connection.handle());
        found
    }

    /// Reads the files of its TLS options again, for clients that come from now on. On an error
    /// everything stays as it was.
    pub fn reload(&self) -> Result<()> {
        if self.end.get().is_some() {
            return Err(Kind::Closed.into());
        }
        match &self.tls {
            Some(tls) => tls.reload(&self.options),
            None => Err(Error::new(Kind::InvalidArgument, "the listener has no TLS: no certificate_file")),
        }
    }

    /// Lets go of a handle: it is stale at once, and the listener stops without an event.
    pub fn free(handle: u64) {
        if let Ok(process) = process::Process::current()
            && let Some(listener) = process.listeners.remove(handle)
        {
            listener.mailbox.forget_listener(handle);
            listener.freed.store(true, Ordering::Release);
            let _ = listener.stop(None, b"freed");
        }
    }

    /// The system does not let it listen any more.
    fn fail(self: &Arc<Self>, error: &io::Error) {
        let text = io_text(error);
        if self.stop(Some(Error::new(Kind::Listen, text.clone())), text.as_bytes()).is_ok() {
            self.tell(EventKind::Dead);
        }
    }

    /// Stops accepting. Fails with `Closed` if it has stopped before.
    fn stop(&self, error: Option<Error>, reason: &[u8]) -> Result<()> {
        let (is_fault, text) = (error.is_some(), [reason, b"\0"].concat().into());
        self.end.set(End { error, text }).map_err(|_| Error::from(Kind::Closed))?;
        let level = if is_fault { Level::Error } else { Level::Info };
        self.log(level, || format!("stops: {}", String::from_utf8_lossy(reason)));
        self.places.close();
        self.handshakes.close();
        self.stopped.close();
        let socket = self.socket.lock().take();
        // A Unix socket that was shut down is readable for ever without anything to accept, which
        // keeps the runtime busy. It needs no shutdown: its file goes, and nobody finds it then.
        if let Some((socket, None)) = &socket {
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
        drop(socket);
        let clients = {
            let mut waiting = self.waiting();
            waiting.ended = true;
            std::mem::take(&mut waiting.clients)
        };
        for (client, _place) in clients {
            // The guest never heard of it: its handle goes with it.
            Connection::free(client.handle());
        }
        Ok(())
    }

    /// Counts for the process, too.
    fn count(&self, what: impl Fn(&Tally)) {
        what(&self.mailbox.process().all);
        what(&self.tally);
    }

    /// What the connections that came through it have done.
    pub fn counters(&self) -> Counters {
        self.tally.counters()
    }

    /// Where it listens: an IP address and a port, or `unix:/path` and 0.
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Where it listens, as text.
    pub(crate) fn shown(&self) -> String {
        match (self.host.contains(':'), self.port) {
            (_, 0) => self.host.clone(),
            (true, port) => format!("[{}]:{port}", self.host),
            (false, port) => format!("{}:{port}", self.host),
        }
    }

    /// Its handle.
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// What stopped it (None: a call did), and the reason with a NUL at the end.
    pub fn end(&self) -> Option<(Option<&Error>, &[u8])> {
        self.end.get().map(|end| (end.error.as_ref(), &*end.text))
    }
}

/// Accepts until the listener ends.
async fn serve(listener: Arc<Listener>, bound: Bound, runtime: &'static Runtime) {
    let socket = match bound.into_acceptor() {
        Ok(socket) => socket,
        Err(e) => return listener.fail(&e),
    };
    loop {
        // A place must be free, but a client has one only while it waits to be taken: slow
        // handshakes do not keep others out.
        match listener.places.acquire().await {
            Ok(place) => drop(place),
            Err(_) => return,
        }
        let Ok(turn) = listener.handshakes.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            _ = listener.stopped.acquire() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok(client) => {
                let listener = listener.clone();
                runtime.spawn(async move {
                    if !greet(&listener, client, runtime).await {
                        listener.count(Tally::failed);
                    }
                    drop(turn);
                });
            }
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    listener.log(Level::Error, || format!("accepting pauses: {}", io_text(&e)));
                    sleep(limits::ACCEPT_PAUSE).await
                }
                Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
                    return listener.fail(&e);
                }
                _ => {} // what happened to that one client
            },
        }
    }
}
