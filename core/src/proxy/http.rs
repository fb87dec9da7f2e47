//! HTTP CONNECT (RFC 9110, 9.3.6).

use std::io;

use httparse::EMPTY_HEADER;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{
    address::Address,
    error::{Error, Kind, Result, io_text},
    handshake::read_head,
    limits,
    protocol::{parse_response, shown_status},
};

/// Asks for a tunnel to an address.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    address: &Address,
    authorization: Option<&str>,
) -> Result<()> {
    let lost = |e: io::Error| match e.kind() {
        io::ErrorKind::InvalidData => Error::new(Kind::Handshake, e.to_string()),
        io::ErrorKind::UnexpectedEof => Error::new(Kind::Tcp, "it ended the connection without an answer"),
        _ => Error::new(Kind::Tcp, io_text(&e)),
    };
    let Address { host, port, .. } = address;
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let authorization = authorization.map_or(String::new(), |v| format!("Proxy-Authorization: {v}\r\n"));
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    let mut rest = Vec::new();
    for _ in 0..=limits::MAX_INTERIM_ANSWERS {
        let head = read_head(stream, &mut rest).await.map_err(lost)?;
        let mut headers = [EMPTY_HEADER; limits::MAX_HEADERS];
        let response = parse_response(&head, &mut headers).map_err(|e| Error::new(Kind::Handshake, e))?;
        let status = response.code.unwrap_or_default();
        match status {
            100..=199 => {}
            // Servers wait for us, be it TLS or the request: such bytes can't be theirs.
            200..=299 if !rest.is_empty() => {
                return Err(Error::new(Kind::Handshake, "there are bytes behind the head of its answer"));
            }
            200..=299 => return Ok(()),
            _ => {
                let text =
                    format!("answered with HTTP status {} to CONNECT {target}", shown_status(&response));
                return Err(Error { http_status: status, ..Error::new(Kind::Http, text) });
            }
        }
    }
    Err(Error::new(Kind::Handshake, "it sends one interim answer after the other"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// The request, and what became of it when this came for an answer.
    fn run(address: &str, authorization: Option<&str>, answer: &[u8]) -> (String, Result<()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let address = Address::parse(address.as_bytes()).unwrap();
        let (mut ours, mut proxys) = duplex(1 << 20);
        runtime.block_on(async {
            proxys.write_all(answer).await.unwrap();
            proxys.shutdown().await.unwrap();
            let result = connect(&mut ours, &address, authorization).await;
            drop(ours);
            let mut request = String::new();
            proxys.read_to_string(&mut request).await.unwrap();
            (request, result)
        })
    }

    #[test]
    fn s06_connect_asks_for_host_and_port() {
        let (request, result) = run("ws://a.test/p", None, b"HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(request, "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n");
        result.unwrap();
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 299 \r\nContent-Length: 9\r\n\r\n";
        let (request, result) = run("wss://[::1]/", Some("Basic eA=="), answer);
        let expected = "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\
            Proxy-Authorization: Basic eA==\r\n\r\n";
        assert_eq!(request, expected);
        result.unwrap();
    }

    #[test]
    fn s06_whatever_else_a_proxy_answers_is_an_error() {
        for (answer, kind) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".into(), Kind::Http),
            ("HTTP/1.1 302 Found\r\nLocation: ws://b/\r\n\r\n".into(), Kind::Http),
            ("HTTP/1.1 200 OK\r\n\r\nmore".into(), Kind::Handshake),
            ("nonsense\r\n\r\n".into(), Kind::Handshake),
            ("HTTP/1.1 200 OK\r\n".into(), Kind::Tcp),
            (String::new(), Kind::Tcp),
            ("HTTP/1.1 102 Wait\r\n\r\n".repeat(limits::MAX_INTERIM_ANSWERS + 2), Kind::Handshake),
            (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(limits::MAX_HEAD)), Kind::Handshake),
        ] {
            let error = run("ws://a/", Some("Basic secret"), answer.as_bytes()).1.expect_err(&answer);
            assert_eq!(error.kind, kind, "{answer:.60} {error}");
            assert!(!error.text.contains("secret"));
        }
    }
}
