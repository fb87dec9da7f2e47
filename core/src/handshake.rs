//! The opening handshake of both sides (RFC 6455, 4). Heads are read here and parsed once they are
//! whole; what follows them is kept for the connection. tungstenite writes a client's requests.

use std::io;

use rustix::net::Shutdown;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::http::{HeaderMap, Uri};

use crate::{
    error::{Error, Kind, Result},
    limits,
    protocol::Agreed,
    request::Request,
    stream::Stream,
};

pub(crate) mod client;
pub(crate) mod server;

/// What a TLS record with a handshake begins with (RFC 8446, 5.1), and no head does.
const TLS_HANDSHAKE: u8 = 22;

/// A socket in its handshake: the head that came over it, and what came behind that.
pub(crate) struct Head {
    /// None when the connection has taken it over.
    socket: Option<Stream>,
    head: Vec<u8>,
    leftover: Vec<u8>,
}

impl Head {
    fn new(socket: Stream) -> Head {
        Head { socket: Some(socket), head: Vec::new(), leftover: Vec::new() }
    }

    fn socket(&mut self) -> io::Result<&mut Stream> {
        self.socket.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads until the head is whole, and no more than `MAX_HEAD` bytes.
    async fn read(&mut self) -> io::Result<()> {
        loop {
            let mut bytes = [0; 1024];
            let seen = self.head.len();
            let room = bytes.len().min(limits::MAX_HEAD.saturating_sub(seen));
            if room == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is larger than 16 KiB"));
            }
            let got = self.socket()?.read(&mut bytes[..room]).await?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if seen + got > self.head.capacity() {
                // Not more than a head can be: a vector by itself would double what it has.
                let wanted = (2 * seen).clamp(bytes.len(), limits::MAX_HEAD);
                self.head.reserve_exact(wanted.max(seen + got) - seen);
            }
            self.head.extend_from_slice(&bytes[..got]);
            if self.head.first() == Some(&TLS_HANDSHAKE) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the peer speaks TLS here"));
            }
            // Its end may have arrived split.
            let from = seen.saturating_sub(2);
            if let Some(end) = end_of_head(&self.head[from..]) {
                self.leftover = self.head.split_off(from + end);
                return Ok(());
            }
        }
    }

    /// Hands the socket over to its connection, with the bytes behind the head.
    fn release(mut self) -> io::Result<(Stream, Vec<u8>)> {
        let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok((socket, std::mem::take(&mut self.leftover)))
    }

    /// Hands the socket over to its connection.
    fn upgraded(self, request: Request) -> Result<Upgraded> {
        let (stream, leftover) = self.release().map_err(|_| Kind::Internal)?;
        Ok(Upgraded { stream, leftover, request, agreed: None })
    }
}

impl Drop for Head {
    /// A child of fork may hold the descriptor as well: the peer shall see the end now.
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
    }
}

/// The place behind the first empty line, whether its lines end with CR LF, as they should, or with
/// LF: who sends the latter shall not wait in vain for an answer.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut lines = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    lines.find_map(|start| match bytes.get(start..)? {
        [b'\n', ..] => Some(start + 1),
        [b'\r', b'\n', ..] => Some(start + 2),
        _ => None,
    })
}

/// What a handshake leaves: the socket, the bytes behind the head, and the request.
pub(crate) struct Upgraded {
    pub stream: Stream,
    pub leftover: Vec<u8>,
    pub request: Request,
    /// The compression that was agreed on.
    pub agreed: Option<Agreed>,
}

fn bad(what: &str) -> Error {
    Error::new(Kind::Handshake, format!("the handshake is not that of RFC 6455: {what}"))
}

fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |target| target.as_str())
}

fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_behind_its_first_empty_line() {
        for (bytes, end) in [
            ("GET / HTTP/1.1\r\nA: b\r\n\r\nmore\r\n\r\n", Some(24)),
            ("\r\nGET / HTTP/1.1\r\n\r\n", Some(20)),
            ("\r\n\r\n", Some(4)),
            ("a\n\nb", Some(3)),
            ("a\r\n\nb", Some(4)),
            ("a\n\r\nb", Some(4)),
            ("a\r\rb\r\n", None),
            ("a\r\n\r", None),
            ("\n", None),
            ("", None),
        ] {
            assert_eq!(end_of_head(bytes.as_bytes()), end, "{bytes:?}");
        }
    }
}
