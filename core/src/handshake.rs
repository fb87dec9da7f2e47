//! The opening handshake of both sides (RFC 6455, 4), done by tungstenite over a stream that
//! hands it the head and keeps what follows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_tungstenite::{
    accept_hdr_async, client_async,
    tungstenite::{
        self,
        error::ProtocolError,
        handshake::{
            client,
            server::{self, ErrorResponse},
        },
        http::{HeaderMap, Uri},
    },
};

use crate::{
    error::{Error, Kind, Result, io_text},
    limits,
    request::Request,
};

/// A socket of which only the head of a handshake is read on; what came behind it is kept.
pub(crate) struct HeadStream {
    socket: TcpStream,
    /// Bytes of the head so far.
    seen: usize,
    /// The last of them: the end of a head may arrive split.
    tail: [u8; 4],
    done: bool,
    /// A head that was read before, to be handed out.
    head: Vec<u8>,
    leftover: Vec<u8>,
}

impl HeadStream {
    fn new(socket: TcpStream) -> HeadStream {
        HeadStream { socket, seen: 0, tail: [0; 4], done: false, head: Vec::new(), leftover: Vec::new() }
    }

    /// How many of these bytes belong to the head.
    fn head_part(&mut self, bytes: &[u8]) -> usize {
        for (i, byte) in bytes.iter().enumerate() {
            self.tail.rotate_left(1);
            self.tail[3] = *byte;
            if self.tail == *b"\r\n\r\n" {
                self.done = true;
                return i + 1;
            }
        }
        bytes.len()
    }
}

impl AsyncRead for HeadStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.head.is_empty() {
            let part = out.remaining().min(self.head.len());
            out.put_slice(&self.head[..part]);
            self.head.drain(..part);
            return Poll::Ready(Ok(()));
        }
        if self.done {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0u8; 1024];
        let room = out.remaining().min(bytes.len());
        let mut buffer = ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        let head = self.head_part(bytes);
        self.seen += head;
        if self.seen > limits::MAX_HEAD {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TOO_LARGE)));
        }
        self.leftover.extend_from_slice(&bytes[head..]);
        out.put_slice(&bytes[..head]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HeadStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

const TOO_LARGE: &str = "the head is larger than 16 KiB";

/// What a handshake leaves: the socket, the bytes behind the head, and the request.
pub(crate) struct Upgraded {
    pub socket: TcpStream,
    pub leftover: Vec<u8>,
    pub request: Request,
}

impl Upgraded {
    fn new(stream: HeadStream, request: Request) -> Upgraded {
        Upgraded { socket: stream.socket, leftover: stream.leftover, request }
    }
}

/// A client's part, over a TCP connection that stands.
pub(crate) async fn connect(socket: TcpStream, request: client::Request) -> Result<Upgraded> {
    let peer = socket.peer_addr().ok();
    let sent = request.clone();
    let mut stream = HeadStream::new(socket);
    let response = match client_async(request, &mut stream).await {
        Ok((_, response)) => response,
        Err(error) => return Err(explain(&error)),
    };
    let subprotocol = response.headers().get("sec-websocket-protocol").map_or(&b""[..], |v| v.as_bytes());
    let request = Request::new(target(sent.uri()), fields(sent.headers()), subprotocol, peer);
    Ok(Upgraded::new(stream, request))
}

/// Reads the head of a client's request, to be parsed once it is whole.
pub(crate) async fn read_head(socket: TcpStream) -> io::Result<HeadStream> {
    let mut stream = HeadStream::new(socket);
    let mut head = Vec::new();
    while !stream.done {
        match stream.read_buf(&mut head).await {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(e) => {
                if e.kind() == io::ErrorKind::InvalidData {
                    refuse(&mut stream.socket, "431 Request Header Fields Too Large").await;
                }
                return Err(e);
            }
        }
    }
    stream.head = head;
    Ok(stream)
}

/// A server's part, after `read_head`. A client that asks for something else, or asks badly, gets
/// an HTTP answer.
pub(crate) async fn accept(mut stream: HeadStream) -> Result<Upgraded> {
    let peer = stream.socket.peer_addr().ok();
    let mut request = None;
    // The size of the error is tungstenite's choice.
    #[allow(clippy::result_large_err)]
    let take =
        |head: &server::Request, response: server::Response| -> Result<server::Response, ErrorResponse> {
            request = Some(Request::new(target(head.uri()), fields(head.headers()), b"", peer));
            Ok(response)
        };
    if let Err(error) = accept_hdr_async(&mut stream, take).await {
        if let Some(answer) = answer(&error) {
            refuse(&mut stream.socket, answer).await;
        }
        return Err(explain(&error));
    }
    Ok(Upgraded::new(stream, request.unwrap_or_default()))
}

/// The HTTP answer to a request that can't be upgraded; None where nobody is left to read it.
fn answer(error: &tungstenite::Error) -> Option<&'static str> {
    use ProtocolError::{
        MissingConnectionUpgradeHeader, MissingSecWebSocketVersionHeader, MissingUpgradeWebSocketHeader,
        WrongHttpMethod,
    };
    match error {
        tungstenite::Error::Io(_) => None,
        tungstenite::Error::Protocol(WrongHttpMethod) => Some("405 Method Not Allowed\r\nAllow: GET"),
        tungstenite::Error::Protocol(
            MissingConnectionUpgradeHeader | MissingUpgradeWebSocketHeader | MissingSecWebSocketVersionHeader,
        ) => Some("426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"),
        _ => Some("400 Bad Request"),
    }
}

/// Sends an answer without a body, and reads on until the client has it.
async fn refuse(socket: &mut TcpStream, answer: &str) {
    let answer = format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    if socket.write_all(answer.as_bytes()).await.is_ok() && socket.shutdown().await.is_ok() {
        let mut rest = [0; 1024];
        while socket.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    }
}

fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |target| target.as_str())
}

fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

fn explain(error: &tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Http(response) => {
            let status = response.status();
            let text = format!("the server answered with HTTP status {status} instead of 101");
            Error { http_status: status.as_u16(), ..Error::new(Kind::Http, text) }
        }
        tungstenite::Error::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
            Error::new(Kind::Handshake, e.to_string())
        }
        tungstenite::Error::Io(e) => Error::new(Kind::Tcp, format!("during the handshake: {}", io_text(e))),
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            Error::new(Kind::Handshake, "the peer ended the connection during the handshake")
        }
        other => Error::new(Kind::Handshake, format!("the handshake is not that of RFC 6455: {other}")),
    }
}
