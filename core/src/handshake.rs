//! The opening handshake of both sides (RFC 6455, 4). Heads are read here and parsed once they are
//! whole; what follows them is kept for the connection. tungstenite writes requests and answers
//! them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::http::{HeaderMap, Uri};

use crate::{
    error::{Error, Kind, Result},
    limits,
    protocol::Agreed,
    request::Request,
    socket::Socket,
};

pub(crate) mod client;
pub(crate) mod server;

/// A socket in its handshake: the head that came over it, and what came behind that.
pub(crate) struct Head {
    /// None when the connection has taken it over.
    socket: Option<Socket>,
    head: Vec<u8>,
    leftover: Vec<u8>,
}

impl Head {
    fn new(socket: Socket) -> Head {
        Head { socket: Some(socket), head: Vec::new(), leftover: Vec::new() }
    }

    fn socket(&mut self) -> io::Result<&mut Socket> {
        self.socket.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads until the head is whole.
    async fn read(&mut self) -> io::Result<()> {
        loop {
            let seen = self.head.len();
            let mut bytes = [0; 1024];
            let got = self.socket()?.read(&mut bytes).await?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.head.extend_from_slice(&bytes[..got]);
            // Its end may have arrived split.
            let from = seen.saturating_sub(3);
            let end = self.head[from..].windows(4).position(|w| w == b"\r\n\r\n").map(|at| from + at + 4);
            if end.unwrap_or(self.head.len()) > limits::MAX_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is larger than 16 KiB"));
            }
            if let Some(end) = end {
                self.leftover = self.head.split_off(end);
                return Ok(());
            }
        }
    }

    /// Hands the socket over to its connection.
    fn upgraded(mut self, request: Request) -> Result<Upgraded> {
        let socket = self.socket.take().ok_or(Kind::Internal)?;
        Ok(Upgraded { stream: socket, leftover: std::mem::take(&mut self.leftover), request, agreed: None })
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

/// For tungstenite: a stream on which there is the head, and nothing behind it.
impl AsyncRead for Head {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let part = out.remaining().min(self.head.len());
        out.put_slice(&self.head[..part]);
        self.head.drain(..part);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Head {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.socket()?).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket()?).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.socket()?).poll_shutdown(cx)
    }
}

/// What a handshake leaves: the socket, the bytes behind the head, and the request.
pub(crate) struct Upgraded {
    pub stream: Socket,
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
