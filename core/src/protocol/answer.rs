//! A server's HTTP answers to an opening handshake, as bytes (RFC 6455, 4.2.2; RFC 9110).

use std::{borrow::Cow, fmt::Write};

use crate::{
    error::{Error, Kind, Result},
    headers::{Header, is_token},
    limits,
};

/// Any answer but 101. The connection ends behind it.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    pub status: u16,
    /// Header lines beside those that every answer has, each with its CR LF.
    pub lines: Vec<u8>,
    pub body: Cow<'static, [u8]>,
    /// HEAD asked: the body stays here (RFC 9110, 9.3.2).
    pub without_body: bool,
}

impl Refusal {
    /// An answer that says in words what is wrong.
    pub(crate) fn new(status: u16, text: &'static str) -> Refusal {
        let lines = b"Content-Type: text/plain; charset=utf-8\r\n".to_vec();
        Refusal { status, lines, body: Cow::Borrowed(text.as_bytes()), without_body: false }
    }

    pub(crate) fn with(mut self, line: &str) -> Refusal {
        self.lines.extend_from_slice(line.as_bytes());
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        // 426 names the protocol that it asks for (RFC 9110, 7.8 and 15.5.22; RFC 6455, 4.4).
        let connection = match self.status {
            426 => "close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
            _ => "close",
        };
        let mut head = String::new();
        let _ = write!(
            head,
            "HTTP/1.1 {} {}\r\nConnection: {connection}\r\nContent-Length: {}\r\n",
            self.status,
            reason(self.status),
            self.body.len()
        );
        let body = if self.without_body { &[] } else { &*self.body };
        [head.as_bytes(), &self.lines, b"\r\n", body].concat()
    }
}

/// The answer that opens the connection. An empty subprotocol or extension is none.
pub(crate) fn switching(accept: &str, subprotocol: &[u8], extensions: &str, lines: &[u8]) -> Vec<u8> {
    let mut head =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".to_vec();
    for (name, value) in [
        ("Sec-WebSocket-Accept", accept.as_bytes()),
        ("Sec-WebSocket-Protocol", subprotocol),
        ("Sec-WebSocket-Extensions", extensions.as_bytes()),
    ] {
        if !value.is_empty() {
            head.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
    }
    head.extend_from_slice(lines);
    head.extend_from_slice(b"\r\n");
    head
}

/// Fields of an answer that only the library can know.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "transfer-encoding",
    "upgrade",
];

/// Checks the header fields that a guest wants in an answer, and makes lines of them.
pub(crate) fn lines<'a>(headers: impl IntoIterator<Item = Header<'a>>) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for Header { name, value } in headers {
        let fail = |what: &str| {
            let name: String = String::from_utf8_lossy(name).chars().take(64).collect();
            Err(Error::new(Kind::InvalidHeader, format!("header {name:?}: {what}")))
        };
        if !is_token(name) {
            return fail("its name is not a token (RFC 9110, 5.1)");
        }
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved.as_bytes())) {
            return fail("it belongs to the handshake and can't be given");
        }
        if !value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)) {
            return fail("its value holds a line break, a NUL or another control character");
        }
        lines.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        if lines.len() > limits::MAX_HEAD {
            return fail("more than 16 KiB of headers");
        }
    }
    Ok(lines)
}

/// The words behind a status; they may be missing (RFC 9112, 4).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(name: &'a str, value: &'a [u8]) -> Header<'a> {
        Header { name: name.as_bytes(), value }
    }

    #[test]
    fn a_refusal_is_a_whole_answer() {
        let mut refusal = Refusal::new(405, "no").with("Allow: GET\r\n");
        let head = "HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 2\r\n\
            Content-Type: text/plain; charset=utf-8\r\nAllow: GET\r\n\r\n";
        assert_eq!(refusal.bytes(), format!("{head}no").as_bytes());
        refusal.without_body = true;
        assert_eq!(refusal.bytes(), head.as_bytes());
        let text = String::from_utf8(Refusal::new(426, "").bytes()).unwrap();
        assert!(text.contains("\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n"));
        assert!(text.contains("\r\nSec-WebSocket-Version: 13\r\n"));
        let unnamed = Refusal { status: 599, ..Refusal::default() };
        assert!(unnamed.bytes().starts_with(b"HTTP/1.1 599 \r\n"));
    }

    #[test]
    fn an_upgrade_names_only_what_there_is() {
        let start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: k\r\n";
        assert_eq!(switching("k", b"", "", b""), format!("{start}\r\n").as_bytes());
        let all = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: x; y\r\nA: b\r\n\r\n";
        assert_eq!(switching("k", b"chat", "x; y", b"A: b\r\n"), format!("{start}{all}").as_bytes());
    }

    #[test]
    fn s08_lines_that_would_break_an_answer_are_refused() {
        for (name, value) in [
            ("", &b"a"[..]),
            ("A B", b"a"),
            ("A:", b"a"),
            ("\u{e4}", b"a"),
            ("A", b"a\r\nB: c"),
            ("A", b"a\n"),
            ("A", b"\0"),
            ("A", b"\x7f"),
            ("connection", b"keep-alive"),
            ("Content-Length", b"5"),
            ("Transfer-Encoding", b"chunked"),
            ("Upgrade", b"h2c"),
            ("SEC-WEBSOCKET-PROTOCOL", b"chat"),
            ("Sec-WebSocket-Accept", b"x"),
            ("Sec-WebSocket-Extensions", b"x"),
            ("A", &[b'a'; limits::MAX_HEAD]),
        ] {
            assert_eq!(lines([header(name, value)]).unwrap_err().kind, Kind::InvalidHeader, "{name:?}");
        }
    }

    #[test]
    fn s08_any_bytes_that_http_allows_leave_unchanged() {
        let every: Vec<u8> = (0..=255).filter(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)).collect();
        let made = lines([header("X-A", &every), header("Set-Cookie", b"1"), header("Set-Cookie", b"2")]);
        let expected = [b"X-A: ", &every[..], b"\r\nSet-Cookie: 1\r\nSet-Cookie: 2\r\n"].concat();
        assert_eq!(made.unwrap(), expected);
    }
}
