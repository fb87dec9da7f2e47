//! What all Rust peers share: options, accepting connections, and the client's figures.
//!
//!     PROGRAM [--tls CERT KEY] [--compress] [--broadcast]
//!     PROGRAM --client URL --size N --connections C --depth D --seconds S --warmup W

use std::{
    cell::Cell,
    collections::BTreeMap,
    env,
    error::Error,
    future::Future,
    iter,
    process::exit,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::channel::mpsc;
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    runtime::Builder,
    task, time,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

pub type Broken = Box<dyn Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Broken>;

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// How a server serves.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub tls: bool,
    pub compress: bool,
    pub broadcast: bool,
}

/// A library under test.
pub trait Peer {
    /// Whether it has permessage-deflate.
    const COMPRESSES: bool;

    /// Serves one connection, from the upgrade on.
    fn serve<S: Stream>(stream: S, options: Options) -> impl Future<Output = Result<()>> + Send + 'static;

    /// Keeps `depth` messages of `size` bytes in flight; returns only with what broke.
    fn load(url: String, size: usize, depth: usize) -> impl Future<Output = Result<()>> + Send + 'static;
}

pub fn run<P: Peer>() -> Result<()> {
    let mut options = Options::default();
    let mut pem = None;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--client" => return client::<P>(iter::once(argument).chain(arguments)),
            "--tls" => {
                let (Some(certificate), Some(key)) = (arguments.next(), arguments.next()) else {
                    refuse("--tls needs CERT and KEY");
                };
                options.tls = true;
                pem = Some((certificate, key));
            }
            "--compress" if P::COMPRESSES => options.compress = true,
            "--compress" => refuse("the library has no permessage-deflate"),
            "--broadcast" => options.broadcast = true,
            _ => refuse(&format!("unknown option {argument}")),
        }
    }
    let acceptor = pem.map(|(certificate, key)| acceptor(&certificate, &key)).transpose()?;
    Builder::new_current_thread().enable_io().build()?.block_on(listen::<P>(acceptor, options))
}

fn refuse(why: &str) -> ! {
    eprintln!("{why}");
    exit(2)
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<std::result::Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    Ok(Arc::new(config).into())
}

async fn listen<P: Peer>(acceptor: Option<TlsAcceptor>, options: Options) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("LISTENING {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        // Nagle's algorithm stays on, as in the libraries' examples: where each message is a write
        // of its own, the kernel makes fewer packets of them, which costs a third of the time.
        match acceptor.clone() {
            None => spawn(P::serve(stream, options)),
            Some(acceptor) => spawn(async move { P::serve(acceptor.accept(stream).await?, options).await }),
        }
    }
}

/// A task for a connection, without tokio's budget: so do three of the four libraries' examples.
pub fn spawn(connection: impl Future<Output = Result<()>> + Send + 'static) {
    // How a connection ends is of no interest here: the load generator counts errors.
    task::spawn(task::unconstrained(async { drop(connection.await) }));
}

/// The connections that are open, for broadcasts: a queue of messages for each.
pub struct Room<M>(Mutex<BTreeMap<u64, mpsc::UnboundedSender<M>>>);

impl<M: Clone> Room<M> {
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The connection is in the room until the guard is dropped.
    pub fn enter(&self) -> (Guest<'_, M>, mpsc::UnboundedReceiver<M>) {
        let (sender, receiver) = mpsc::unbounded();
        let mut members = self.members();
        let key = members.last_key_value().map_or(0, |(last, _)| last + 1);
        members.insert(key, sender.clone());
        (Guest { room: self, key, sender }, receiver)
    }

    pub fn send(&self, message: &M) {
        for member in self.members().values() {
            // A receiver that is gone leaves the room soon.
            let _ = member.unbounded_send(message.clone());
        }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<u64, mpsc::UnboundedSender<M>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Clone> Default for Room<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection's place in a room.
pub struct Guest<'a, M: Clone> {
    room: &'a Room<M>,
    key: u64,
    sender: mpsc::UnboundedSender<M>,
}

impl<M: Clone> Guest<'_, M> {
    /// Sends to this connection alone.
    pub fn send(&self, message: M) {
        let _ = self.sender.unbounded_send(message);
    }
}

impl<M: Clone> Drop for Guest<'_, M> {
    fn drop(&mut self) {
        self.room.members().remove(&self.key);
    }
}

thread_local! {
    static RECEIVED: Cell<u64> = const { Cell::new(0) };
}

/// Counts a message that came back, of `length` bytes where `size` were sent.
pub fn count(length: usize, size: usize) -> Result<()> {
    if length != size {
        return Err(format!("{length} bytes came back for {size}").into());
    }
    RECEIVED.set(RECEIVED.get() + 1);
    Ok(())
}

fn client<P: Peer>(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut given = BTreeMap::new();
    while let Some(name) = arguments.next() {
        let Some(value) = arguments.next() else { refuse(&format!("{name} needs a value")) };
        given.insert(name, value);
    }
    let url: String = take(&mut given, "--client");
    let (size, depth) = (take(&mut given, "--size"), take(&mut given, "--depth"));
    let connections: usize = take(&mut given, "--connections");
    let [warmup, seconds] =
        ["--warmup", "--seconds"].map(|name| Duration::from_secs_f64(take(&mut given, name)));
    if let Some(name) = given.keys().next() {
        refuse(&format!("unknown option {name}"));
    }
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        for _ in 0..connections {
            let load = P::load(url.clone(), size, depth);
            task::spawn(task::unconstrained(async {
                let end = load.await;
                eprintln!("a connection ended: {end:?}");
                exit(1);
            }));
        }
        time::sleep(warmup).await;
        let (messages, cpu, start) = (RECEIVED.get(), cpu_us(), Instant::now());
        time::sleep(seconds).await;
        let (messages, cpu) = (RECEIVED.get() - messages, cpu_us() - cpu);
        let seconds = start.elapsed().as_secs_f64();
        println!(r#"{{"messages": {messages}, "cpu_us": {cpu}, "seconds": {seconds:.6}}}"#);
    });
    Ok(())
}

fn take<T: FromStr>(given: &mut BTreeMap<String, String>, name: &str) -> T {
    let value = given.remove(name).and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| refuse(&format!("{name} is missing, or not of the right kind")))
}

fn cpu_us() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}
