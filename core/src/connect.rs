//! A client's way to an open connection: name, TCP, TLS, handshake, all within `open_timeout`.

use std::{
    future::poll_fn,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    handshake::client::Request,
    http::{HeaderValue, header},
};

use crate::{
    address::Address,
    connection::Connection,
    driver::Driver,
    error::{Error, Kind, Result, io_text},
    handshake::{self, Upgraded},
    headers::{self, Header},
    options::Options,
    process::Process,
    protocol::Role,
    socket::Socket,
    stream::Stream,
    tls,
};

/// A connect whose address and headers are good.
pub(crate) struct Attempt {
    address: Address,
    request: Request,
    tls: Option<tls::Client>,
}

impl Attempt {
    /// Checks everything that can be checked before any network activity.
    pub(crate) fn new(address: &[u8], extra: &[Header<'_>], options: &Options) -> Result<Attempt> {
        let address = Address::parse(address)?;
        let tls = if address.tls { Some(tls::Client::new(options, &address.host)?) } else { None };
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)
            .map_err(|e| Error::new(Kind::Resources, format!("no random numbers for a key: {e}")))?;
        let bad =
            |what: String| Error::new(Kind::InvalidAddress, format!("connect to {}: {what}", address.shown));
        let mut request = Request::builder()
            .uri(&*address.shown)
            .header(header::HOST, &*address.authority)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, STANDARD.encode(nonce))
            .body(())
            .map_err(|e| bad(e.to_string()))?;
        if let Some(basic) = &address.authorization {
            let mut value = HeaderValue::from_str(basic).map_err(|e| bad(e.to_string()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        headers::add(request.headers_mut(), extra)?;
        Ok(Attempt { address, request, tls })
    }
}

/// How far an attempt has come, for the text of a timeout.
const STEPS: [&str; 4] = [
    "looking up the name",
    "connecting over TCP",
    "in the TLS handshake",
    "waiting for the server's handshake",
];

/// Makes the connection, and then drives it; or tells why it can't be made.
pub(crate) async fn run(connection: Arc<Connection>, attempt: Attempt) {
    let Attempt { address, request, tls } = attempt;
    let process = connection.mailbox.process();
    let (limit, step) = (connection.options.open_timeout(), AtomicU8::new(0));
    // Closed or let go of by the guest before it opened.
    let given_up = poll_fn(|cx| {
        connection.waker.register(cx.waker());
        if connection.first_close.get().is_some() { Poll::Ready(()) } else { Poll::Pending }
    });
    let result = tokio::select! {
        biased;
        () = given_up => Err(Error::new(Kind::Closed, "closed before it was open")),
        result = timeout(limit, caught(upgrade(&address, request, tls, process, &step))) => result.unwrap_or_else(|_| {
            let step = STEPS.get(usize::from(step.load(Ordering::Relaxed))).unwrap_or(&STEPS[0]);
            Err(Error::new(Kind::Timeout, format!("timed out after {} s, {step}", limit.as_secs_f64())))
        }),
    };
    let runtime = process.runtime();
    match (result, runtime) {
        (Ok(upgraded), Ok(runtime)) => {
            let _ = connection.request.set(upgraded.request);
            Driver::start(connection.clone(), upgraded.stream, upgraded.leftover, upgraded.agreed, runtime);
            connection.announce();
        }
        (Err(error), _) | (_, Err(error)) => {
            connection.inbox().announced = true;
            connection.ended(Some(error.within(format_args!("connect to {}", address.shown))));
            connection.give_up();
        }
    }
}

/// A panic on the way (where no thread can be started to look up a name, for one) is a failure.
async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))).unwrap_or_else(|_| {
            Poll::Ready(Err(Error::new(Kind::Internal, "internal error: a panic was caught")))
        })
    })
    .await
}

async fn upgrade(
    address: &Address,
    request: Request,
    tls: Option<tls::Client>,
    process: &'static Process,
    step: &AtomicU8,
) -> Result<Upgraded> {
    let addresses: Vec<SocketAddr> = lookup_host((&*address.host, address.port))
        .await
        .map_err(|e| Error::new(Kind::Dns, format!("look up {:?}: {}", address.host, lookup_text(&e))))?
        .collect();
    step.store(1, Ordering::Relaxed);
    let mut last = Error::new(Kind::Dns, format!("look up {:?}: it has no address", address.host));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                let _ = socket.set_nodelay(true);
                let socket = Socket::Tcp(socket);
                let stream = match &tls {
                    Some(tls) => {
                        step.store(2, Ordering::Relaxed);
                        Stream::secure(socket, tls.session(process).await?, Role::Client).await?
                    }
                    None => Stream::Plain(socket),
                };
                step.store(3, Ordering::Relaxed);
                return handshake::client::connect(stream, request).await;
            }
            Err(e) => last = Error::new(Kind::Tcp, io_text(&e)),
        }
    }
    Err(last)
}

/// What the resolver says, without the words that Rust puts before it.
fn lookup_text(error: &std::io::Error) -> String {
    let text = io_text(error);
    text.strip_prefix("failed to lookup address information: ").map_or(text.clone(), |t| t.to_lowercase())
}
