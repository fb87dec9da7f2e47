//! The extra headers of a request: what may be sent, and what may not.

use crate::error::{Error, Kind, Result};

/// A header field: ASCII name, value of any bytes that HTTP allows.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// A header field that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub name: String,
    pub value: Vec<u8>,
}

impl Field {
    pub(crate) fn new(name: &str, value: impl Into<Vec<u8>>) -> Field {
        Field { name: name.into(), value: value.into() }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
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

/// Checks the headers that a guest wants to send, and keeps them.
pub(crate) fn check(headers: &[Header<'_>]) -> Result<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::with_capacity(headers.len());
    for &Header { name, value } in headers {
        let fail = |what: &str| {
            let name: String = String::from_utf8_lossy(name).chars().take(64).collect();
            Err(Error::new(Kind::InvalidHeader, format!("header {name:?}: {what}")))
        };
        let name = match std::str::from_utf8(name) {
            Ok(text) if is_token(name) => text,
            _ => return fail("its name is not a token (RFC 9110, 5.1)"),
        };
        let field = Field::new(name, value);
        if RESERVED.iter().any(|reserved| field.is(reserved)) {
            return fail("it belongs to the handshake and can't be given");
        }
        if !value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)) {
            return fail("its value holds a line break, a NUL or another control character");
        }
        if (field.is("host") || field.is("sec-websocket-protocol"))
            && !value.iter().all(|b| *b == b'\t' || (b' '..=b'~').contains(b))
        {
            return fail("its value can only be of visible ASCII characters");
        }
        if field.is("host") && fields.iter().any(|f| f.is("host")) {
            return fail("it is given twice");
        }
        fields.push(field);
    }
    Ok(fields)
}

/// Whether this is a token (RFC 9110, 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| is_token_byte(*b))
}

/// A byte of a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s08_what_would_break_the_head_is_refused() {
        for (name, value) in [
            (&b"X-A"[..], &b"a\r\nX-B: b"[..]),
            (b"X-A", b"a\nb"),
            (b"X-A", b"a\0b"),
            (b"X-A", b"a\x7fb"),
            (b"X A", b"a"),
            (b"X-A\r\n", b"a"),
            (b"X-\xff", b"a"),
            (b"", b"a"),
            (b"Connection", b"close"),
            (b"upgrade", b"h2c"),
            (b"Sec-WebSocket-Key", b"a"),
            (b"Sec-WebSocket-Version", b"8"),
            (b"sec-websocket-extensions", b"a"),
            (b"Sec-WebSocket-Accept", b"a"),
            (b"Sec-WebSocket-Protocol", b"caf\xc3\xa9"),
            (b"Host", b"\xff"),
        ] {
            let error = check(&[Header { name, value }]).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidHeader, "{name:?} {value:?}");
        }
        let host = Header { name: b"Host", value: b"a" };
        assert_eq!(check(&[host, host]).unwrap_err().kind, Kind::InvalidHeader);
    }

    #[test]
    fn s08_any_bytes_that_http_allows_pass_unchanged_and_lists_repeat() {
        let every: Vec<u8> = (0..=255).filter(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f)).collect();
        let [a, b] = [b"1", b"2"].map(|v| Header { name: b"Cookie", value: v });
        let fields = check(&[Header { name: b"X-A", value: &every }, a, b]).unwrap();
        assert_eq!(fields[0], Field::new("X-A", every));
        assert_eq!(fields[1..], [Field::new("Cookie", "1"), Field::new("Cookie", "2")]);
    }
}
