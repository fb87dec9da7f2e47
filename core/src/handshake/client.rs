//! A client's part of the opening handshake.

use std::io;

use httparse::{EMPTY_HEADER, Response};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{
    handshake::{client, derive_accept_key},
    http::HeaderMap,
};

use super::{Head, Upgraded, bad, fields, target};
use crate::{
    error::{Error, Kind, Result, io_text},
    limits,
    request::Request,
    stream::Stream,
    tls,
};

/// A client's part, over a stream that stands.
pub(crate) async fn connect(socket: Stream, request: client::Request) -> Result<Upgraded> {
    let lost = |e: io::Error| match e.kind() {
        io::ErrorKind::Other => tls::in_io(&e).unwrap_or_else(|| Kind::Internal.into()),
        io::ErrorKind::InvalidData => Error::new(Kind::Handshake, e.to_string()),
        io::ErrorKind::UnexpectedEof => {
            Error::new(Kind::Handshake, "the peer ended the connection during the handshake")
        }
        _ => Error::new(Kind::Tcp, format!("during the handshake: {}", io_text(&e))),
    };
    let peer = socket.peer();
    let (bytes, key) = client::generate_request(request.clone()).map_err(|e| bad(&e.to_string()))?;
    let mut stream = Head::new(socket);
    stream.socket().map_err(lost)?.write_all(&bytes).await.map_err(lost)?;
    stream.read().await.map_err(lost)?;
    let subprotocol = check_response(&stream.head, &key, request.headers())?;
    let request = Request::new(target(request.uri()), fields(request.headers()), &subprotocol, peer);
    stream.upgraded(request)
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
