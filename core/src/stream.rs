//! A socket with TLS or without, for the opening handshake. Afterwards the connection's driver
//! owns the session.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    error::{Error, Kind, Result, io_text},
    protocol::Role,
    socket::Socket,
    tls::{self, Tls},
};

/// A connected stream.
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

/// A socket with its TLS session, and what was opened and not read yet.
pub(crate) struct TlsStream {
    socket: Socket,
    tls: Box<Tls>,
    plain: Vec<u8>,
    start: usize,
}

impl Stream {
    /// Does the TLS handshake. The caller bounds its time.
    pub(crate) async fn secure(socket: Socket, tls: Tls, role: Role) -> Result<Stream> {
        let mut stream = TlsStream { socket, tls: Box::new(tls), plain: Vec::new(), start: 0 };
        match poll_fn(|cx| stream.poll_handshake(cx)).await {
            Ok(()) => Ok(Stream::Tls(Box::new(stream))),
            Err(e) => {
                if role == Role::Server && stream.tls.met_http() {
                    stream.answer_http().await;
                }
                let ended = matches!(
                    e.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                );
                Err(match tls::in_io(&e) {
                    Some(e) => e,
                    None if ended => tls::ended_early(role),
                    None => Error::new(Kind::Tcp, format!("during the TLS handshake: {}", io_text(&e))),
                })
            }
        }
    }

    /// The peer's IP address; a Unix socket has none.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Stream::Plain(s) => s.peer(),
            Stream::Tls(s) => s.socket.peer(),
        }
    }

    /// The socket, its session, and what was opened and not read.
    pub(crate) fn into_parts(self) -> (Socket, Option<Box<Tls>>, Vec<u8>) {
        match self {
            Stream::Plain(socket) => (socket, None, Vec::new()),
            Stream::Tls(s) => {
                let TlsStream { socket, tls, mut plain, start } = *s;
                plain.drain(..start);
                (socket, Some(tls), plain)
            }
        }
    }
}

impl TlsStream {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_open(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sends what is sealed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.tls.pending().is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, self.tls.pending()))?;
            self.tls.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and opens it. Returns how many sealed bytes came, 0 at the end.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; 4096];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let came = buffer.filled_mut();
        if let Err(e) = self.tls.open(came, &mut self.plain) {
            // The alert may leave, if it can at once.
            let _ = self.poll_send(cx);
            return Poll::Ready(Err(tls::to_io(e)));
        }
        Poll::Ready(Ok(came.len()))
    }

    /// Tells a client of plain HTTP in its own words what it met.
    async fn answer_http(&mut self) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let body = "This port speaks TLS: use wss:// or https://.\n";
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let socket = &mut self.socket;
        let _ = tokio::time::timeout(crate::limits::REFUSAL_TIMEOUT, async {
            socket.write_all(answer.as_bytes()).await?;
            socket.shutdown().await?;
            let mut rest = [0; 1024];
            while socket.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Plain(s) => s.as_fd(),
            Stream::Tls(s) => s.socket.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let s = match self.get_mut() {
            Stream::Plain(s) => return Pin::new(s).poll_read(cx, out),
            Stream::Tls(s) => s,
        };
        // What is sealed leaves meanwhile.
        if let Poll::Ready(Err(e)) = s.poll_send(cx) {
            return Poll::Ready(Err(e));
        }
        while s.start == s.plain.len() {
            s.plain.clear();
            s.start = 0;
            if s.tls.peer_closed() || ready!(s.poll_open(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let part = out.remaining().min(s.plain.len() - s.start);
        out.put_slice(&s.plain[s.start..][..part]);
        s.start += part;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let s = match self.get_mut() {
            Stream::Plain(s) => return Pin::new(s).poll_write(cx, bytes),
            Stream::Tls(s) => s,
        };
        ready!(s.poll_send(cx))?;
        let part = &bytes[..bytes.len().min(16 * 1024)];
        s.tls.seal(part).map_err(tls::to_io)?;
        match s.poll_send(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            // What the socket did not take leaves with the next read, write or flush.
            _ => Poll::Ready(Ok(part.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_flush(cx),
            Stream::Tls(s) => s.poll_send(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let s = match self.get_mut() {
            Stream::Plain(s) => return Pin::new(s).poll_shutdown(cx),
            Stream::Tls(s) => s,
        };
        let _ = s.tls.close_notify(); // once; there is no more to say on a failure
        ready!(s.poll_send(cx))?;
        Pin::new(&mut s.socket).poll_shutdown(cx)
    }
}
