//! The extra headers of a request: what may be sent, and what may not.

use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Error, Kind, Result};

/// A header field: ASCII name, value of any bytes that HTTP allows.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// Fields that belong to the handshake itself (RFC 6455, 4.1).
const RESERVED: [&str; 6] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-accept",
];

/// Checks the headers that a guest wants to send, and adds them.
pub(crate) fn add(to: &mut HeaderMap, headers: &[Header<'_>]) -> Result<()> {
    let fail = |shown: &[u8], what: &str| {
        let name: String = String::from_utf8_lossy(shown).chars().take(64).collect();
        Err(Error::new(Kind::InvalidHeader, format!("header {name:?}: {what}")))
    };
    for header in headers {
        let Ok(name) = HeaderName::from_bytes(header.name) else {
            return fail(header.name, "its name is not a token (RFC 9110, 5.1)");
        };
        if RESERVED.contains(&name.as_str()) {
            return fail(header.name, "it belongs to the handshake and can't be given");
        }
        let Ok(value) = HeaderValue::from_bytes(header.value) else {
            return fail(header.name, "its value holds a line break, a NUL or another control character");
        };
        if matches!(name.as_str(), "host" | "sec-websocket-protocol") && value.to_str().is_err() {
            return fail(header.name, "its value can only be of visible ASCII characters");
        }
        if name == "host" {
            to.insert(name, value);
        } else if to.try_append(name, value).is_err() {
            return Err(Error::new(Kind::InvalidHeader, "too many headers"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_one(name: &str, value: &[u8]) -> Result<HeaderMap> {
        let mut map = HeaderMap::new();
        add(&mut map, &[Header { name: name.as_bytes(), value }]).map(|()| map)
    }

    #[test]
    fn s08_what_would_break_the_head_is_refused() {
        for (name, value) in [
            ("X-A", &b"a\r\nX-B: b"[..]),
            ("X-A", b"a\nb"),
            ("X-A", b"a\0b"),
            ("X A", b"a"),
            ("X-A\r\n", b"a"),
            ("", b"a"),
            ("Connection", b"close"),
            ("upgrade", b"h2c"),
            ("Sec-WebSocket-Key", b"a"),
            ("Sec-WebSocket-Version", b"8"),
            ("sec-websocket-extensions", b"a"),
            ("Sec-WebSocket-Accept", b"a"),
            ("Sec-WebSocket-Protocol", b"caf\xc3\xa9"),
            ("Host", b"\xff"),
        ] {
            let error = try_one(name, value).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidHeader, "{name:?} {value:?}");
        }
    }

    #[test]
    fn s08_any_bytes_that_http_allows_pass_unchanged_and_lists_repeat() {
        let value = b"caf\xc3\xa9 \xff\t!";
        let map = try_one("X-A", value).unwrap();
        assert_eq!(map["x-a"].as_bytes(), value);
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static("old"));
        let [a, b] = [b"1", b"2"].map(|v| Header { name: b"Cookie", value: v });
        add(&mut map, &[a, b, Header { name: b"Host", value: b"new" }]).unwrap();
        assert_eq!(map.get_all("cookie").iter().count(), 2);
        assert_eq!(map.get_all("host").iter().collect::<Vec<_>>(), ["new"]);
    }
}
