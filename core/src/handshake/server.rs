//! A server's part of the opening handshake.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        self,
        error::ProtocolError,
        handshake::server::{self, ErrorResponse},
    },
};

use super::{Head, Upgraded, bad, fields, target};
use crate::{error::Result, limits, request::Request, socket::Socket};

/// Reads the head of a client's request, to be parsed once it is whole. None if that fails: then
/// the client has been answered, if it is still there.
pub(crate) async fn read_request(socket: Socket, limit: Duration) -> Option<Head> {
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
    let peer = stream.socket.as_ref().and_then(|s| s.peer());
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
