//! SOCKS5 (RFC 1928) with user and password (RFC 1929), as a client.

use std::{io, net::IpAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    address::Address,
    error::{Error, Kind, Result, io_text},
};

/// User and password, 1 to 255 bytes each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Login {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;

fn fail(what: impl Into<String>) -> Error {
    Error::new(Kind::Tcp, what.into())
}

/// Asks for a tunnel to `ip`, or to the name of an address for the proxy to look up.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ip: Option<IpAddr>,
    address: &Address,
    login: Option<&Login>,
) -> Result<()> {
    let methods: &[u8] = if login.is_some() { &[NO_LOGIN, LOGIN] } else { &[NO_LOGIN] };
    write(stream, &[&[VERSION, methods.len() as u8], methods].concat()).await?;
    let [version, method] = read(stream).await?;
    match (version, method, login) {
        (VERSION, NO_LOGIN, _) => {}
        (VERSION, LOGIN, Some(login)) => log_in(stream, login).await?,
        (VERSION, ..) => return Err(fail("it wants another login than what it was offered")),
        _ => return Err(fail("it does not speak SOCKS5")),
    }
    let mut request = vec![VERSION, 1, 0];
    match ip {
        Some(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend(ip.octets());
        }
        Some(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend(ip.octets());
        }
        None => {
            let length = u8::try_from(address.host.len()).map_err(|_| fail("the name is too long for it"))?;
            request.extend([3, length]);
            request.extend(address.host.as_bytes());
        }
    }
    request.extend(address.port.to_be_bytes());
    write(stream, &request).await?;
    let [version, reply, _, kind] = read(stream).await?;
    if version != VERSION {
        return Err(fail("it does not speak SOCKS5"));
    }
    if reply != 0 {
        return Err(fail(refusal(reply)));
    }
    // The address that the proxy connects from, which tells us nothing.
    let length = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(read::<1, S>(stream).await?[0]),
        _ => return Err(fail("it does not speak SOCKS5")),
    };
    let mut rest = [0; 255 + 2];
    stream.read_exact(&mut rest[..length + 2]).await.map_err(lost)?;
    Ok(())
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, login: &Login) -> Result<()> {
    let mut message = vec![1];
    for part in [&login.user, &login.password] {
        message.push(part.len() as u8); // 255 at most, which was checked
        message.extend(part);
    }
    write(stream, &message).await?;
    match read(stream).await? {
        [1, 0] => Ok(()),
        [1, _] => Err(fail("it refuses this user and password")),
        _ => Err(fail("it does not speak SOCKS5")),
    }
}

/// The replies of RFC 1928, 6.
fn refusal(reply: u8) -> String {
    match reply {
        1 => "general failure".into(),
        2 => "its rules do not allow this connection".into(),
        3 => "network is unreachable from there".into(),
        4 => "host is unreachable from there".into(),
        5 => "connection refused there".into(),
        6 => "TTL expired".into(),
        7 => "it does not know the command CONNECT".into(),
        8 => "it does not know this type of address".into(),
        other => format!("it refuses with the unknown reply {other}"),
    }
}

fn lost(e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::UnexpectedEof => fail("it ended the connection during its handshake"),
        _ => fail(io_text(&e)),
    }
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await.map_err(lost)
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(lost)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What was sent, what stayed unread of the answer, and what became of it.
    fn run(address: &str, ip: Option<&str>, login: bool, answer: &[u8]) -> (Vec<u8>, Vec<u8>, Result<()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let address = Address::parse(address.as_bytes()).unwrap();
        let login = login.then(|| Login { user: b"me".into(), password: b"secret".into() });
        let (mut ours, mut proxys) = duplex(1 << 16);
        runtime.block_on(async {
            proxys.write_all(answer).await.unwrap();
            proxys.shutdown().await.unwrap();
            let result = connect(&mut ours, ip.map(|ip| ip.parse().unwrap()), &address, login.as_ref()).await;
            let (mut sent, mut rest) = (Vec::new(), Vec::new());
            ours.read_to_end(&mut rest).await.unwrap();
            drop(ours);
            proxys.read_to_end(&mut sent).await.unwrap();
            (sent, rest, result)
        })
    }

    #[test]
    fn s06_socks_asks_for_names_and_addresses() {
        let reply = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50more";
        let (sent, rest, result) = run("ws://a.test:258/", None, false, reply);
        result.unwrap();
        assert_eq!(sent, b"\x05\x01\x00\x05\x01\x00\x03\x06a.test\x01\x02");
        assert_eq!(rest, b"more"); // what comes behind belongs to the server
        let (sent, rest, result) = run("ws://a.test/", Some("1.2.3.4"), true, reply);
        result.unwrap();
        assert_eq!(sent, b"\x05\x02\x00\x02\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50");
        assert_eq!(rest, b"more");
        let mut reply = b"\x05\x02\x01\x00\x05\x00\x00\x03\xff".to_vec();
        reply.extend([b'x'; 257]);
        let (sent, rest, result) = run("ws://a.test/", Some("::1"), true, &reply);
        result.unwrap();
        let login = b"\x01\x02me\x06secret";
        let request =
            b"\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50";
        assert_eq!(sent, [&b"\x05\x02\x00\x02"[..], login, request].concat());
        assert_eq!(rest, b"");
    }

    #[test]
    fn s06_whatever_else_socks_answers_is_an_error() {
        for (login, answer, text) in [
            (false, &b""[..], "ended"),
            (false, b"\x05", "ended"),
            (false, b"HTTP/1.1 400 Bad Request", "speak"),
            (false, b"\x05\x02\x01\x00", "login"),
            (false, b"\x05\xff", "login"),
            (true, b"\x05\x01", "login"),
            (true, b"\x05\x02\x01\x01", "refuses"),
            (true, b"\x05\x02\x05\x00", "speak"),
            (false, b"\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "refused"),
            (false, b"\x05\x00\x05\x02\x00\x01", "rules"),
            (false, b"\x05\x00\x05\xee\x00\x01", "238"),
            (false, b"\x05\x00\x04\x00\x00\x01\x00\x00\x00\x00\x00\x00", "speak"),
            (false, b"\x05\x00\x05\x00\x00\x02\x00\x00\x00\x00\x00\x00", "speak"),
            (false, b"\x05\x00\x05\x00\x00\x03\xff\x00", "ended"),
        ] {
            let error = run("ws://a/", None, login, answer).2.expect_err(text);
            assert_eq!(error.kind, Kind::Tcp);
            assert!(error.text.contains(text) && !error.text.contains("secret"), "{text} {error}");
        }
        let long = format!("ws://{}/", "a.".repeat(150));
        assert!(run(&long, None, false, b"\x05\x00").2.unwrap_err().text.contains("too long"));
    }
}
