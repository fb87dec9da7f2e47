//! The opening handshake of both sides (RFC 6455, 4). Heads are read here and parsed once they are
//! whole; what follows them is kept for the connection.

use std::{io, os::fd::AsFd};

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    error::{Kind, Result},
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
pub(crate) struct Head<S: AsFd> {
    /// None when the connection has taken it over.
    socket: Option<S>,
    head: Vec<u8>,
    leftover: Vec<u8>,
}

impl<S: AsFd + AsyncRead + Unpin> Head<S> {
    pub(crate) fn new(socket: S) -> Head<S> {
        Head { socket: Some(socket), head: Vec::new(), leftover: Vec::new() }
    }

    pub(crate) fn socket(&mut self) -> io::Result<&mut S> {
        self.socket.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads until the head is whole. What came behind the last one is read first.
    async fn read(&mut self) -> io::Result<()> {
        let socket = self.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        self.head = read_head(socket, &mut self.leftover).await?;
        Ok(())
    }

    /// Hands the socket over to its connection, with the bytes behind the head.
    pub(crate) fn release(mut self) -> io::Result<(S, Vec<u8>)> {
        let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok((socket, std::mem::take(&mut self.leftover)))
    }
}

impl Head<Stream> {
    /// Hands the socket over to its connection.
    fn upgraded(self, request: Request, agreed: Option<Agreed>) -> Result<Upgraded> {
        let (stream, leftover) = self.release().map_err(|_| Kind::Internal)?;
        Ok(Upgraded { stream, leftover, request, agreed })
    }
}

/// Reads a head of HTTP until it is whole, and no more than `MAX_HEAD` bytes of it. `rest` are the
/// bytes that came before; it gets those that come behind the head.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    rest: &mut Vec<u8>,
) -> io::Result<Vec<u8>> {
    let mut head = std::mem::take(rest);
    let mut from = 0;
    loop {
        if let Some(end) = end_of_head(&head[from..]) {
            *rest = head.split_off(from + end);
            return Ok(head);
        }
        let mut bytes = [0; 1024];
        let seen = head.len();
        let room = bytes.len().min(limits::MAX_HEAD.saturating_sub(seen));
        if room == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is larger than 16 KiB"));
        }
        let got = stream.read(&mut bytes[..room]).await?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if seen + got > head.capacity() {
            // Not more than a head can be: a vector by itself would double what it has.
            let wanted = (2 * seen).clamp(bytes.len(), limits::MAX_HEAD);
            head.reserve_exact(wanted.max(seen + got) - seen);
        }
        head.extend_from_slice(&bytes[..got]);
        if head.first() == Some(&TLS_HANDSHAKE) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the peer speaks TLS here"));
        }
        // The end may arrive split.
        from = seen.saturating_sub(2);
    }
}

impl<S: AsFd> Drop for Head<S> {
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
