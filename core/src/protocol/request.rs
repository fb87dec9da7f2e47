//! A client's request to open a connection: its head, parsed and checked (RFC 6455, 4.2.1).

use std::{borrow::Cow, net::SocketAddr};

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use httparse::{EMPTY_HEADER, Header, Status};

use super::{answer::Refusal, key::accept_key, rules::Rules};
use crate::{headers::is_token, limits, request::Request};

/// Keys are decoded to see their length; what the last digit has too much is not ours to judge.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A request that may be upgraded.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What the connection keeps of it.
    pub request: Request,
    /// The `Sec-WebSocket-Accept` that belongs to its key.
    pub accept: String,
}

/// The elements of a field that is a list, over all its lines; empty ones count as none
/// (RFC 9110, 5.6.1).
pub(crate) fn elements<'a>(
    values: impl Iterator<Item = &'a [u8]> + Clone,
) -> impl Iterator<Item = &'a [u8]> + Clone {
    values.flat_map(|v| v.split(|b| *b == b',')).map(|e| e.trim_ascii()).filter(|e| !e.is_empty())
}

fn bad(text: &'static str) -> Refusal {
    Refusal::new(400, text)
}

/// Parses a whole head, once, and checks it against what the server wants.
pub(crate) fn parse(head: &[u8], rules: &Rules, peer: Option<SocketAddr>) -> Result<Asked, Refusal> {
    let mut fields = [EMPTY_HEADER; limits::MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(head) {
        // httparse lets lines end with LF alone.
        Ok(Status::Complete(_)) if !lines_end_with_crlf(head) => {
            Err(bad("A line does not end with CR LF.\n"))
        }
        Ok(Status::Complete(_)) => check(&parsed, rules, peer)
            .map_err(|refusal| Refusal { without_body: parsed.method == Some("HEAD"), ..refusal }),
        Ok(Status::Partial) => Err(bad("This is not a whole HTTP request.\n")),
        Err(httparse::Error::TooManyHeaders) => {
            Err(Refusal::new(431, "The request has more than 100 header fields.\n"))
        }
        Err(httparse::Error::Version) => Err(bad("This server speaks HTTP/1.1.\n")),
        Err(_) => Err(bad("This is not an HTTP request.\n")),
    }
}

fn lines_end_with_crlf(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().all(|b| {
        let good = (*b == b'\n') == (before == b'\r');
        before = *b;
        good
    })
}

fn check(
    parsed: &httparse::Request<'_, '_>,
    rules: &Rules,
    peer: Option<SocketAddr>,
) -> Result<Asked, Refusal> {
    let fields = &*parsed.headers;
    let method = parsed.method.unwrap_or_default();
    let reads = matches!(method, "GET" | "HEAD");
    let Some(target) = path_and_query(parsed.path.unwrap_or_default()) else {
        return Err(match reads {
            true => bad("The request's target is neither a path nor a whole URL.\n"),
            false => not_allowed("GET"),
        });
    };
    let path = target.split('?').next().unwrap_or_default();
    let to_websocket = elements(all(fields, "Upgrade")).any(|p| p.eq_ignore_ascii_case(b"websocket"));
    // Health is asked for by simple programs as well: HTTP/1.0 will do.
    if rules.is_health_path(path) && !to_websocket {
        return Err(match reads {
            true => Refusal::new(200, "ok\n"),
            false => not_allowed("GET, HEAD"),
        });
    }
    if parsed.version != Some(1) {
        return Err(bad("This server speaks HTTP/1.1.\n"));
    }
    if !one(fields, "Host").is_some_and(is_host) {
        return Err(bad("The request needs one Host, a name or an address.\n"));
    }
    if !rules.has_path(path) {
        return Err(Refusal::new(404, "There is nothing here.\n"));
    }
    if method != "GET" {
        return Err(not_allowed("GET"));
    }
    let wants = elements(all(fields, "Connection")).any(|o| o.eq_ignore_ascii_case(b"upgrade"));
    if !to_websocket || !wants {
        return Err(Refusal::new(426, "This is a WebSocket server.\n"));
    }
    // What follows would be frames to us, and a body to whoever stands between.
    let has_body = all(fields, "Content-Length").any(|v| v != b"0");
    if has_body || all(fields, "Transfer-Encoding").next().is_some() {
        return Err(bad("A request with a body can't be upgraded.\n"));
    }
    if one(fields, "Sec-WebSocket-Version") != Some(b"13") {
        return Err(Refusal::new(426, "This server speaks version 13 of WebSocket (RFC 6455).\n"));
    }
    let key = one(fields, "Sec-WebSocket-Key").filter(|key| is_key(key));
    let key = key.ok_or_else(|| bad("The request needs one Sec-WebSocket-Key, 16 bytes in base64.\n"))?;
    check_origin(fields, rules)?;
    if !elements(all(fields, "Sec-WebSocket-Protocol")).all(is_token) {
        return Err(bad("Sec-WebSocket-Protocol is not a list of tokens.\n"));
    }
    let kept = fields.iter().map(|h| (h.name, h.value));
    Ok(Asked { request: Request::new(&target, kept, b"", peer), accept: accept_key(key) })
}

fn not_allowed(allow: &str) -> Refusal {
    Refusal::new(405, "This server takes GET.\n").with(&format!("Allow: {allow}\r\n"))
}

/// The page of a browser that connects must be one of those that may (RFC 6455, 10.2). A request
/// without an origin is not a browser's: such a program could name any origin it likes, so that
/// refusing it would protect nothing.
fn check_origin(fields: &[Header<'_>], rules: &Rules) -> Result<(), Refusal> {
    if all(fields, "Origin").all(|origin| rules.allows_origin(origin)) {
        return Ok(());
    }
    Err(Refusal::new(403, "Pages of this origin may not connect.\n"))
}

fn all<'a>(fields: &'a [Header<'a>], name: &'static str) -> impl Iterator<Item = &'a [u8]> + Clone {
    fields.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// The value of a field that there must be once.
fn one<'a>(fields: &'a [Header<'a>], name: &'static str) -> Option<&'a [u8]> {
    let mut values = all(fields, name);
    values.next().filter(|_| values.next().is_none())
}

/// The path and query of a target in origin-form or absolute-form (RFC 9112, 3.2).
fn path_and_query(target: &str) -> Option<Cow<'_, str>> {
    if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return None;
    }
    if target.starts_with('/') {
        return Some(target.into());
    }
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https", "ws", "wss"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) {
        return None;
    }
    match rest.find(['/', '?']) {
        Some(0) => None,
        None if rest.is_empty() => None,
        None => Some("/".into()),
        Some(at) if rest[at..].starts_with('/') => Some(rest[at..].into()),
        Some(at) => Some(format!("/{}", &rest[at..]).into()),
    }
}

/// What can stand for a host and port (RFC 9112, 3.2); empty where the client knows no name.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(b))
}

fn is_key(key: &[u8]) -> bool {
    let mut bytes = [0; 18];
    key.len() == 24 && BASE64.decode_slice(key, &mut bytes) == Ok(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    // RFC 6455, 1.2
    const GOOD: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn ask(head: impl AsRef<[u8]>) -> Result<Asked, Refusal> {
        parse(head.as_ref(), &Rules::default(), None)
    }

    fn status(head: impl AsRef<[u8]>, set: &[(&str, &str)]) -> u16 {
        let mut options = Options::default();
        for (name, value) in set {
            options.set_text(name, value.as_bytes()).unwrap();
        }
        parse(head.as_ref(), &Rules::new(&options).unwrap(), None).map_or_else(|r| r.status, |_| 101)
    }

    fn plain(line: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")
    }

    #[test]
    fn s13_the_request_of_the_rfc_is_taken_as_it_is() {
        let asked = ask(GOOD).unwrap();
        assert_eq!(asked.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!((asked.request.path(), asked.request.query()), (&b"/chat"[..], &b"room=1"[..]));
        assert_eq!(asked.request.header_count(), 7);
        let origin = asked.request.header(4).unwrap();
        assert_eq!((origin.name, origin.value), (&b"Origin"[..], &b"http://example.com"[..]));
    }

    #[test]
    fn s13_what_http_leaves_open_is_taken_too() {
        for (from, to) in [
            ("GET /chat", "\r\nGET /chat"), // RFC 9112, 2.2
            ("GET /chat?room=1", "GET ws://server.example.com/chat?room=1"),
            ("GET /chat?room=1", "GET http://a?room=1"),
            ("GET /chat?room=1", "GET HTTPS://a"),
            ("Connection: Upgrade", "connection: keep-alive,upgrade"),
            ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: ,UPGRADE"),
            ("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
            ("Host: server.example.com", "Host: [::1]:80"),
            ("Host: server.example.com", "Host:"),
            ("Host:", "Content-Length: 0\r\nHost:"),
            ("Origin: http://example.com\r\n", ""),
            ("chat, superchat", ",chat ,, superchat,"),
            ("bm9uY2U==", "bm9uY2V=="),
        ] {
            let head = GOOD.replacen(from, to, 1);
            assert_eq!(status(&head, &[]), 101, "{head}");
        }
    }

    #[test]
    fn s13_any_bytes_in_a_value_stay_what_they_are() {
        let every: Vec<u8> = (0x21..=255).filter(|b| *b != 0x7f).collect();
        let (start, end) = GOOD.as_bytes().split_at(GOOD.len() - 2);
        let head = [
            start,
            b"X-Bytes:\t",
            &every,
            b" \r\nUser-Agent: \xff\r\nSec-WebSocket-Extensions: \xfe\r\n",
            end,
        ];
        let request = ask(head.concat()).unwrap().request;
        assert_eq!(request.header(7).unwrap().value, every);
        assert_eq!(request.header(8).unwrap().value, b"\xff");
        for name in ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol"] {
            let at = GOOD.find(name).unwrap() + name.len() + 2;
            let head = [&GOOD.as_bytes()[..at], b"\xe4", &GOOD.as_bytes()[at + 1..]].concat();
            assert!(matches!(status(&head, &[]), 400 | 426), "{name}");
        }
    }

    #[test]
    fn s13_what_breaks_the_grammar_is_a_bad_request() {
        for (from, to) in [
            ("GET", "G T"),
            ("GET ", "GET  "),
            ("HTTP/1.1", "HTTP/1.0"),
            ("HTTP/1.1", "HTTP/2.0"),
            ("HTTP/1.1", "HTTP/1.1 "),
            (" HTTP/1.1", ""),
            ("/chat", "chat"),
            ("/chat", "*"),
            ("/chat", "/chat#part"),
            ("/chat", "/ch\u{e4}t"),
            ("/chat", "ftp://a/chat"),
            ("/chat", "ws:///chat"),
            ("Host: server.example.com\r\n", ""),
            ("Host: server.example.com\r\n", "Host: a\r\nHost: a\r\n"),
            ("server.example.com", "a/b"),
            ("server.example.com", "a, b"),
            ("server.example.com", "user@a"),
            ("Host:", "Host :"),
            ("Host:", " Host:"),
            ("Host:", ": a\r\nHost:"),
            ("Upgrade: websocket\r\n", "Upgrade: websocket\n"),
            ("Upgrade: websocket\r\n", "Upgrade: websocket\r\n folded\r\n"),
            ("Upgrade: websocket\r\n", "Upgrade: websocket\r"),
            ("Origin: http", "Origin: \rhttp"),
            ("Origin: http", "Origin: \0http"),
            ("Origin: http", "Origin\r\nA: http"),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
            ("Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key:"),
            ("dGhlIHNhbXBsZSBub25jZQ==", ""),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZXM="),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ!=="),
            ("dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            ("chat, superchat", "chat superchat"),
            ("chat, superchat", "\"chat\""),
            ("Host:", "Content-Length: 5\r\nHost:"),
            ("Host:", "Content-Length: 0\r\nContent-Length: 5\r\nHost:"),
            ("Host:", "Transfer-Encoding: chunked\r\nHost:"),
        ] {
            let head = GOOD.replacen(from, to, 1);
            assert_ne!(head, GOOD, "{from}");
            assert_eq!(status(&head, &[]), 400, "{head}");
        }
        for whole in ["GET /\r\n\r\n", "\r\n\r\n", "\x16\x03\x01\n\n", "PRI * HTTP/2.0\r\n\r\n"] {
            assert_eq!(status(whole, &[]), 400, "{whole:?}");
        }
    }

    #[test]
    fn s13_other_wishes_have_their_own_answers() {
        for method in ["POST /chat", "OPTIONS *", "CONNECT a:80", "PUT /", "HEAD /"] {
            let refusal = ask(plain(method)).unwrap_err();
            assert_eq!(refusal.status, 405, "{method}");
            assert!(refusal.lines.ends_with(b"\r\nAllow: GET\r\n"));
            assert_eq!(refusal.without_body, method == "HEAD /");
        }
        assert_eq!(status(plain("GET /"), &[]), 426);
        for (from, to) in [
            ("Connection: Upgrade", "Connection: close"),
            ("Connection: Upgrade", "Connection: \"upgrade\""),
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Version: 13", "Version: 8"),
            ("Version: 13", "Version: 8, 13"),
            ("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13"),
            ("Sec-WebSocket-Version: 13\r\n", ""),
        ] {
            assert_eq!(status(GOOD.replacen(from, to, 1), &[]), 426, "{to}");
        }
        let many = |n| GOOD.replace("Host:", &format!("{}Host:", "A: b\r\n".repeat(n)));
        assert_eq!(status(many(limits::MAX_HEADERS - 7), &[]), 101);
        assert_eq!(status(many(limits::MAX_HEADERS - 6), &[]), 431);
    }

    #[test]
    fn s13_paths_and_origins_are_those_of_the_options() {
        let set = &[("path", "/chat"), ("health_path", "/health"), ("origins", "http://example.com")];
        assert_eq!(status(GOOD, set), 101);
        assert_eq!(status(GOOD.replace("GET /chat", "GET http://x/chat"), set), 101);
        for other in ["/", "/chat/", "/chatter", "/Chat", "//chat", "/ch%61t"] {
            assert_eq!(status(GOOD.replace("/chat", other), set), 404, "{other}");
            assert_eq!(status(plain(&format!("HEAD {other}")), set), 404, "{other}");
            assert_eq!(status(plain(&format!("POST {other}")), set), 404, "{other}");
        }
        assert_eq!(status(plain("GET /health"), set), 200);
        assert_eq!(status(plain("HEAD /health?from=here"), set), 200);
        assert_eq!(status("GET /health HTTP/1.0\r\n\r\n", set), 200);
        assert_eq!(status(plain("POST /health"), set), 405);
        assert_eq!(status(GOOD.replace("/chat", "/health"), set), 404);
        assert_eq!(status(GOOD, &[("health_path", "/chat")]), 101);
        assert_eq!(status(plain("GET /chat"), &[("health_path", "/chat")]), 200);
        for other in
            ["https://example.com", "http://example.com:81", "null", "http://example.com http://b", ""]
        {
            assert_eq!(status(GOOD.replace("http://example.com", other), set), 403, "{other}");
        }
        let twice = GOOD.replace("Origin:", "Origin: http://evil.example\r\nOrigin:");
        assert_eq!(status(twice, set), 403);
        assert_eq!(status(GOOD.replace("Origin: http://example.com\r\n", ""), set), 101);
    }

    #[test]
    fn no_prefix_of_a_request_is_taken_and_no_byte_of_it_panics() {
        for end in 0..GOOD.len() {
            assert_eq!(status(&GOOD.as_bytes()[..end], &[]), 400);
        }
        let mut head = GOOD.as_bytes().to_vec();
        for at in 0..head.len() {
            let kept = head[at];
            for byte in [0, b'\t', b'\n', b'\r', b' ', b',', b':', b'=', 0x7f, 0x80, 0xff] {
                head[at] = byte;
                let _ = ask(&head).map_err(|r| r.bytes());
            }
            head[at] = kept;
        }
    }
}
