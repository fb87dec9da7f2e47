//! Dialing: from an address to a connected socket. Names are looked up, and what they stand for is
//! raced as in RFC 8305.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    address::Address,
    error::{Error, Kind, Result, io_text},
    limits,
    proxy::Proxy,
    socket::Socket,
};

/// How far a connect has come, for the text of a timeout.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Step {
    Lookup,
    Tcp,
    Proxy,
    Tls,
    Handshake,
}

impl Step {
    pub(crate) const ALL: [Step; 5] = [Step::Lookup, Step::Tcp, Step::Proxy, Step::Tls, Step::Handshake];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Step::Lookup => "looking up the name",
            Step::Tcp => "connecting over TCP",
            Step::Proxy => "waiting for the proxy",
            Step::Tls => "in the TLS handshake",
            Step::Handshake => "waiting for the server's handshake",
        }
    }
}

/// Connects to an address, directly or through a proxy, and tells each step that it takes.
pub(crate) async fn dial(address: &Address, proxy: Option<&Proxy>, at: impl Fn(Step)) -> Result<Socket> {
    if let Some(path) = &address.unix {
        let socket = UnixStream::connect(path).await.map_err(|e| Error::new(Kind::Tcp, io_text(&e)))?;
        return Ok(Socket::Unix(socket));
    }
    let Some(proxy) = proxy else { return reach(&address.host, address.port, &at).await };
    let socket = reach(&proxy.host, proxy.port, &at).await.map_err(|e| proxy.blamed(e))?;
    at(Step::Proxy);
    proxy.tunnel(socket, address).await
}

async fn reach(host: &str, port: u16, at: impl Fn(Step)) -> Result<Socket> {
    at(Step::Lookup);
    let addresses = resolve(host, port).await?;
    at(Step::Tcp);
    let socket = race(addresses, limits::ATTEMPT_DELAY).await?;
    let _ = socket.set_nodelay(true);
    Ok(Socket::Tcp(socket))
}

/// What a name stands for, in the order of the system (RFC 6724); at least one address.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let fail = |what: &str| Error::new(Kind::Dns, format!("look up {host:?}: {what}"));
    let found: Vec<_> = lookup_host((host, port)).await.map_err(|e| fail(&lookup_text(&e)))?.collect();
    if found.is_empty() { Err(fail("it has no address")) } else { Ok(found) }
}

/// Connects to one of these. The next is tried when the one before has failed, or has had `delay`;
/// whichever stands first wins, and the others are dropped (RFC 8305, 5).
async fn race(addresses: Vec<SocketAddr>, delay: Duration) -> Result<TcpStream> {
    let count = addresses.len();
    let mut waiting = interleaved(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut failure: Option<(SocketAddr, io::Error)> = None;
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next
            && let Some(address) = waiting.next()
        {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            next = Instant::now() + delay;
        }
        tokio::select! {
            biased;
            ended = attempts.join_next() => match ended {
                Some(Ok((_, Ok(socket)))) => return Ok(socket),
                Some(Ok((address, Err(e)))) => {
                    if failure.as_ref().is_none_or(|(_, old)| !tells_more(old, &e)) {
                        failure = Some((address, e));
                    }
                    next = Instant::now();
                }
                Some(Err(_)) => return Err(Kind::Internal.into()), // a panic
                None => break,
            },
            () = sleep_until(next), if waiting.len() > 0 => {}
        }
    }
    Err(match failure {
        Some((_, e)) if count == 1 => Error::new(Kind::Tcp, io_text(&e)),
        Some((address, e)) => {
            Error::new(Kind::Tcp, format!("{} ({address}, one of {count} addresses)", io_text(&e)))
        }
        None => Kind::Internal.into(),
    })
}

/// The families by turns, that of the first address first (RFC 8305, 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(|a| a.is_ipv6());
    let (mut ours, mut others): (Vec<_>, Vec<_>) =
        addresses.into_iter().rev().partition(|a| a.is_ipv6() == first_is_ipv6);
    let mut sorted = Vec::with_capacity(ours.len() + others.len());
    while let Some(address) = ours.pop() {
        sorted.push(address);
        if !others.is_empty() {
            std::mem::swap(&mut ours, &mut others);
        }
    }
    sorted
}

/// Whether the old failure says more than the new one: that this machine has no such network says
/// the least.
fn tells_more(old: &io::Error, new: &io::Error) -> bool {
    let says_little = |e: &io::Error| {
        use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable, Unsupported};
        matches!(e.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable | Unsupported)
    };
    !says_little(old) && says_little(new)
}

/// What the resolver says, without the words that Rust puts before it.
fn lookup_text(error: &io::Error) -> String {
    let text = io_text(error);
    text.strip_prefix("failed to lookup address information: ").map_or(text.clone(), |t| t.to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const NEVER: Duration = Duration::from_secs(3600);

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let patience = Duration::from_secs(30);
        runtime.block_on(async { tokio::time::timeout(patience, work).await.unwrap() })
    }

    fn listen(ip: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn refusing(ip: &str) -> SocketAddr {
        listen(ip).1
    }

    /// A listener whose queue is full: the system drops further attempts.
    fn stalling(ip: &str) -> (TcpListener, SocketAddr, Vec<std::net::TcpStream>) {
        let (listener, address) = listen(ip);
        rustix::net::listen(&listener, 0).unwrap();
        let mut full = Vec::new();
        while let Ok(socket) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            full.push(socket);
            assert!(full.len() < 8, "its queue never fills");
        }
        (listener, address, full)
    }

    #[test]
    fn s06_families_take_turns() {
        let list = |all: &str| all.split(' ').map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        for (sorted, expected) in [
            ("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1", "[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1"),
            ("1.1.1.1:1 [::1]:1 [::2]:1 [::3]:1", "1.1.1.1:1 [::1]:1 [::2]:1 [::3]:1"),
            ("1.1.1.1:1 2.2.2.2:1", "1.1.1.1:1 2.2.2.2:1"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(interleaved(list(sorted)), list(expected));
        }
        assert!(interleaved(Vec::new()).is_empty());
    }

    #[test]
    fn s06_the_next_address_is_tried_at_once_when_one_fails() {
        let (_listener, good) = listen("127.0.0.1");
        let addresses = vec![refusing("127.0.0.1"), refusing("127.0.0.2"), good];
        // The delay would never end.
        let socket = run(race(addresses, NEVER)).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), good);
    }

    #[test]
    fn s06_the_next_address_is_tried_while_one_stalls() {
        let (_first, stalled, _full) = stalling("127.0.0.1");
        let (_listener, good) = listen("127.0.0.2");
        let socket = run(race(vec![stalled, refusing("127.0.0.3"), good], Duration::from_millis(20)));
        assert_eq!(socket.unwrap().peer_addr().unwrap(), good);
        // Without the delay's end there is no second attempt.
        let alone = async {
            let attempt = race(vec![stalled, good], NEVER);
            tokio::time::timeout(Duration::from_millis(300), attempt).await
        };
        assert!(run(alone).is_err());
    }

    #[test]
    fn s06_ipv4_wins_where_ipv6_fails() {
        let (_listener, good) = listen("127.0.0.1");
        let ipv6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], good.port()));
        let socket = run(race(vec![ipv6, good], NEVER)).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), good);
    }

    #[test]
    fn s06_the_most_useful_failure_is_told() {
        let refused = refusing("127.0.0.1");
        let error = run(race(vec![refused], NEVER)).unwrap_err();
        assert_eq!((error.kind, &*error.text), (Kind::Tcp, "connection refused"));
        let error = run(race(vec![refused, "127.0.0.1:1".parse().unwrap()], NEVER)).unwrap_err();
        assert!(error.text.starts_with("connection refused (127.0.0.1:1, one of 2"), "{error}");
        let [little, much] = [libc::ENETUNREACH, libc::ECONNREFUSED].map(io::Error::from_raw_os_error);
        assert!(tells_more(&much, &little) && !tells_more(&little, &much) && !tells_more(&much, &much));
    }
}
