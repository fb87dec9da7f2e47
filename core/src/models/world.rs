//! What models are made of: runs, threads, mailboxes, and connections with a peer.

use std::{
    io::{self, Read},
    ops::Deref,
    os::unix::net::UnixStream,
    pin::pin,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use loom::{model, thread};

use crate::{
    burst,
    connection::Connection,
    event::EventKind,
    lock,
    mailbox::Mailbox,
    options::Options,
    process::Process,
    protocol::{Message, MessageKind, Role},
    socket::Socket,
    wake::{self, Timer},
    writer::Outgoing,
};

/// Of a thread of a model, in words, though loom says bytes.
const STACK: usize = 32 << 10;

/// Runs a model in every order, with no more than so many preemptions; None: with any number.
pub(super) fn check(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    static ONCE: Once = Once::new();
    // What lasts is not to belong to one run of one model.
    ONCE.call_once(|| {
        model::model(|| {
            lock::begin();
            Process::current().unwrap().runtime().unwrap();
        });
    });
    let runs = Arc::new(AtomicUsize::new(0));
    let (count, model, begin) = (runs.clone(), Arc::new(model), Instant::now());
    let mut builder = model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        lock::begin();
        let model = model.clone();
        start(move || model()).join().unwrap();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let (runs, time) = (runs.load(Ordering::Relaxed), begin.elapsed().as_secs_f32());
    println!("{name}: {runs} runs, {time:.1} s");
}

/// Starts a thread of a model.
pub(super) fn start<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> thread::JoinHandle<R> {
    thread::Builder::new().stack_size(STACK).spawn(f).unwrap()
}

/// A mailbox, which ends with this.
pub(super) struct Guest {
    pub handle: u64,
    pub mailbox: Arc<Mailbox>,
    pub timer: Timer,
    /// What it sleeps at.
    pub wake: wake::Wake,
}

impl Guest {
    pub(super) fn new() -> Arc<Guest> {
        let handle = Mailbox::open().unwrap();
        let mailbox = Mailbox::find(handle).unwrap();
        Arc::new(Guest { handle, mailbox, timer: Timer::last(), wake: wake::Wake::last() })
    }

    /// Polls, and returns the events with their handles: without waiting, or until there are any.
    pub(super) fn hears(&self, waits: bool) -> crate::Result<Vec<(EventKind, u64)>> {
        let mut heard = Vec::new();
        let timeout = if waits { None } else { Some(Duration::ZERO) };
        self.poll(timeout, 8, |events| {
            heard.extend(events.iter().map(|event| (event.kind, event.handle)));
        })?;
        Ok(heard)
    }

    /// For the runtime: reminds the guest, if its timer is set.
    pub(super) fn time_passes(&self) -> bool {
        let fires = self.timer.expires();
        if fires {
            self.mailbox.remind();
        }
        fires
    }
}

impl Deref for Guest {
    type Target = Arc<Mailbox>;

    fn deref(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = Mailbox::end(self.handle);
        }
    }
}

/// A connection of a server that is open, and its peer's side. It ends with this.
pub(super) struct Pair {
    pub connection: Arc<Connection>,
    pub peer: UnixStream,
}

impl Pair {
    pub(super) fn new(guest: &Guest) -> Pair {
        let options = Arc::new(Options::default());
        let connection = Connection::new(guest.mailbox.clone(), Role::Server, options, None).unwrap();
        let (ours, peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        connection.opens(None);
        connection.inbox().announced = true;
        connection.open_writer(Arc::new(reactor::watched(ours)), false, None);
        Pair { connection, peer }
    }

    /// Whether our side has closed its socket.
    pub(super) fn is_closed(&mut self) -> bool {
        self.peer.read_to_end(&mut Vec::new()).is_ok()
    }

    /// The frames that the peer has got since the last call.
    pub(super) fn frames(&mut self) -> Vec<(u8, String)> {
        let mut bytes = Vec::new();
        let end = self.peer.read_to_end(&mut bytes);
        assert!(end.is_ok() || end.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));
        let (mut rest, mut frames) = (&bytes[..], Vec::new());
        while let [head, length, behind @ ..] = rest {
            let (payload, next) = behind.split_at((*length).into());
            frames.push((head & 15, String::from_utf8_lossy(payload).into()));
            rest = next;
        }
        assert!(rest.is_empty());
        frames
    }
}

impl Deref for Pair {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            Connection::free(self.handle());
            self.give_up();
        }
    }
}

pub(super) fn send(connection: &Arc<Connection>, text: &str) -> crate::Result<()> {
    let payload = text.as_bytes();
    connection.send(&Outgoing { kind: MessageKind::Text, payload, notify: false, compress: false })
}

/// A message comes.
pub(super) fn arrives(connection: &Arc<Connection>, text: &str) {
    connection.put_back(Message { kind: MessageKind::Text, fin: true, payload: text.into() }).unwrap();
}

/// Takes all messages, and returns how many there were.
pub(super) fn take(connection: &Connection) -> usize {
    connection.receive(usize::MAX, drop).unwrap()
}

/// A burst on the runtime's thread, and its end.
pub(super) fn burst(f: impl FnOnce()) {
    let due = Arc::new(Due::default());
    let waker = Waker::from(due.clone());
    let (mut cx, mut task) = (Context::from_waker(&waker), pin!(burst::run()));
    assert!(task.as_mut().poll(&mut cx).is_pending());
    f();
    if due.0.load(Ordering::Relaxed) {
        assert!(task.as_mut().poll(&mut cx).is_pending());
    }
}

#[derive(Default)]
struct Due(AtomicBool);

impl Wake for Due {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sockets know from tokio whether the system has room.
mod reactor {
    use super::*;

    thread_local! {
        static REACTOR: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    }

    /// A socket that is known to be writable.
    pub(super) fn watched(stream: UnixStream) -> Socket {
        stream.set_nonblocking(true).unwrap();
        REACTOR.with(|reactor| {
            reactor.block_on(async {
                let stream = tokio::net::UnixStream::from_std(stream).unwrap();
                stream.writable().await.unwrap();
                Socket::Unix(stream)
            })
        })
    }
}
