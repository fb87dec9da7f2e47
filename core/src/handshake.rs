//! The opening handshake of both sides (RFC 6455, 4). Heads are read here and parsed once they are
//! whole; what follows them is kept for the connection. tungstenite writes requests and answers
//! them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use httparse::{EMPTY_HEADER, Response};
use rustix::net::Shutdown;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        self,
        error::ProtocolError,
        handshake::{
            client, derive_accept_key,
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

/// A socket in its handshake: the head that came over it, and what came behind that.
pub(crate) struct Head {
    /// None when the connection has taken it over.
    socket: Option<TcpStream>,
    head: Vec<u8>,
    leftover: Vec<u8>,
}

impl Head {
    fn new(socket: TcpStream) -> Head {
        Head { socket: Some(socket), head: Vec::new(), leftover: Vec::new() }
    }

    fn socket(&mut self) -> io::Result<&mut TcpStream> {
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
        Ok(Upgraded { socket, leftover: std::mem::take(&mut self.leftover), request })
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
    pub socket: TcpStream,
    pub leftover: Vec<u8>,
    pub request: Request,
}

/// A client's part, over a TCP connection that stands.
pub(crate) async fn connect(socket: TcpStream, request: client::Request) -> Result<Upgraded> {
    let lost = |e: io::Error| match e.kind() {
        io::ErrorKind::InvalidData => Error::new(Kind::Handshake, e.to_string()),
        io::ErrorKind::UnexpectedEof => {
            Error::new(Kind::Handshake, "the peer ended the connection during the handshake")
        }
        _ => Error::new(Kind::Tcp, format!("during the handshake: {}", io_text(&e))),
    };
    let peer = socket.peer_addr().ok();
    let (bytes, key) = client::generate_request(request.clone()).map_err(|e| bad(&e.to_string()))?;
    let mut stream = Head::new(socket);
    stream.socket().map_err(lost)?.write_all(&bytes).await.map_err(lost)?;
    stream.read().await.map_err(lost)?;
    let subprotocol = check_response(&stream.head, &key, request.headers())?;
    let request = Request::new(target(request.uri()), fields(request.headers()), &subprotocol, peer);
    stream.upgraded(request)
}

fn bad(what: &str) -> Error {
    Error::new(Kind::Handshake, format!("the handshake is not that of RFC 6455: {what}"))
}

/// Checks the server's answer (RFC 6455, 4.1) and returns the subprotocol that it chose, if any.
fn check_response(head: &[u8], key: &str, asked: &HeaderMap) -> Result<Vec<u8>> {
    let mut headers = [EMPTY_HEADER; limits::MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("the answer's head has no end")),
        Err(e) => return Err(bad(&format!("the answer is not HTTP: {e}"))),
    }
    let status = response.code.unwrap_or_default();
    if status != 101 {
        let reason = response.reason.unwrap_or_default();
        let text = format!("the server answered with HTTP status {status} {reason} instead of 101");
        return Err(Error { http_status: status, ..Error::new(Kind::Http, text) });
    }
    let all = |name: &'static str| {
        response.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    };
    let tokens = |name| all(name).flat_map(|v| v.split(|b| *b == b',')).map(|t| t.trim_ascii());
    if !tokens("Upgrade").any(|t| t.eq_ignore_ascii_case(b"websocket")) {
        return Err(bad("the answer has no \"Upgrade: websocket\""));
    }
    if !tokens("Connection").any(|t| t.eq_ignore_ascii_case(b"upgrade")) {
        return Err(bad("the answer has no \"Connection: Upgrade\""));
    }
    if !all("Sec-WebSocket-Accept").eq([derive_accept_key(key.as_bytes()).as_bytes()]) {
        return Err(bad("the answer's Sec-WebSocket-Accept does not belong to the request's key"));
    }
    if tokens("Sec-WebSocket-Extensions").any(|t| !t.is_empty()) {
        return Err(bad("the answer has an extension that was not asked for"));
    }
    let mut chosen = all("Sec-WebSocket-Protocol");
    let Some(subprotocol) = chosen.next() else { return Ok(Vec::new()) };
    let offered = asked.get_all("sec-websocket-protocol").iter();
    let mut offered = offered.flat_map(|v| v.as_bytes().split(|b| *b == b',')).map(|t| t.trim_ascii());
    if chosen.next().is_some() || !offered.any(|t| t == subprotocol) {
        return Err(bad("the answer has a subprotocol that was not asked for"));
    }
    Ok(subprotocol.to_vec())
}

/// Reads the head of a client's request, to be parsed once it is whole. None if that fails: then
/// the client has been answered, if it is still there.
pub(crate) async fn read_request(socket: TcpStream, limit: Duration) -> Option<Head> {
    let mut stream = Head::new(socket);
    let refusal = match timeout(limit, stream.read()).await {
        Ok(Ok(())) => return Some(stream),
        Ok(Err(e)) if e.kind() == io::ErrorKind::InvalidData => "431 Request Header Fields Too Large",
        Ok(Err(_)) => return None,
        Err(_) => "408 Request Timeout",
    };
    refuse(stream, refusal).await;
    None
}

/// A server's part, after `read_request`. A client that asks for something else, or asks badly,
/// gets an HTTP answer.
pub(crate) async fn accept(mut stream: Head) -> Result<Upgraded> {
    let peer = stream.socket.as_ref().and_then(|s| s.peer_addr().ok());
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
            refuse(stream, answer).await;
        }
        return Err(bad(&error.to_string()));
    }
    stream.upgraded(request.unwrap_or_default())
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
async fn refuse(mut stream: Head, answer: &str) {
    let answer = format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let _ = timeout(limits::REFUSAL_TIMEOUT, async {
        let socket = stream.socket()?;
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await?;
        let mut rest = [0; 1024];
        while socket.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
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

    // RFC 6455, 1.3
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    fn check(head: &str, asked: &[&'static str]) -> Result<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for value in asked {
            headers.append("sec-websocket-protocol", value.parse().unwrap());
        }
        check_response(format!("{head}\r\n").as_bytes(), KEY, &headers)
    }

    #[test]
    fn s06_an_answer_as_the_rfc_has_it_passes() {
        assert_eq!(check(GOOD, &[]).unwrap(), b"");
        assert_eq!(check(GOOD, &["chat"]).unwrap(), b""); // the server need not choose
        let chosen = format!("{GOOD}Sec-WebSocket-Protocol: b\r\n");
        assert_eq!(check(&chosen, &["a, b"]).unwrap(), b"b");
        assert_eq!(check(&chosen, &["a", "b"]).unwrap(), b"b");
    }

    #[test]
    fn s06_any_other_answer_is_refused() {
        for (bad, asked) in [
            ("nonsense\r\n".into(), &[][..]),
            (GOOD.replace("WebSocket\r", "h2c\r"), &[]),
            (GOOD.replace(", Upgrade", ""), &[]),
            (GOOD.replace("s3pP", "s3pQ"), &[]),
            (format!("{GOOD}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), &[]),
            (format!("{GOOD}Sec-WebSocket-Extensions: permessage-deflate\r\n"), &[]),
            (format!("{GOOD}Sec-WebSocket-Protocol: chat\r\n"), &[]),
            (format!("{GOOD}Sec-WebSocket-Protocol: chat\r\n"), &["other"]),
            (format!("{GOOD}Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n"), &["a, b"]),
        ] {
            assert_eq!(check(&bad, asked).expect_err(&bad).kind, Kind::Handshake, "{bad}");
        }
        let refused = check("HTTP/1.1 403 Forbidden\r\n", &[]).unwrap_err();
        assert_eq!((refused.kind, refused.http_status), (Kind::Http, 403));
    }
}
