//! WebSocket addresses (RFC 6455, 3): `ws://user:password@host:port/path?query`, or `wss://`.

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::error::{Error, Kind, Result};

/// Where a connect goes to.
#[derive(Debug)]
pub(crate) struct Address {
    /// The address as it may be shown: without user and password.
    pub shown: String,
    /// A name, or an IP address without brackets.
    pub host: String,
    pub port: u16,
    /// Whether it is `wss://`.
    pub tls: bool,
    /// The `Host` header: with brackets, and with the port unless it is the default.
    pub authority: String,
    /// `Basic ...`, from user and password.
    pub authorization: Option<String>,
}

impl Address {
    /// Takes an address apart. No network is touched.
    pub(crate) fn parse(text: &[u8]) -> Result<Address> {
        let shown: String = String::from_utf8_lossy(text).chars().take(200).collect();
        let fail = |what: &str| {
            Error::new(Kind::InvalidAddress, format!("connect to {:?}: {what}", without_user(&shown)))
        };
        let text = std::str::from_utf8(text).map_err(|_| fail("the address is not UTF-8"))?;
        if text.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') {
            return Err(fail("spaces, control characters and backslashes can't stand in an address"));
        }
        let scheme = text.split("://").next().unwrap_or_default().to_ascii_lowercase();
        if !text.contains("://") || !matches!(&*scheme, "ws" | "wss") {
            return Err(fail("not a ws:// or wss:// address"));
        }
        let rest = &text[scheme.len() + 3..];
        if rest.starts_with(['/', '?', '#']) || rest.is_empty() {
            return Err(fail("there is no host"));
        }
        let url = Url::parse(text).map_err(|e| fail(&e.to_string()))?;
        if url.fragment().is_some() {
            return Err(fail("a fragment (#) can't stand in a WebSocket address"));
        }
        let tls = scheme == "wss";
        let (host, in_authority) = match url.host() {
            Some(Host::Domain(name)) => (name.to_string(), name.to_string()),
            Some(Host::Ipv4(ip)) => (ip.to_string(), ip.to_string()),
            Some(Host::Ipv6(ip)) => (ip.to_string(), format!("[{ip}]")),
            None => return Err(fail("there is no host")),
        };
        let port = url.port().unwrap_or(if tls { 443 } else { 80 });
        if port == 0 {
            return Err(fail("port 0 can't be connected to"));
        }
        let authority = match url.port() {
            Some(port) => format!("{in_authority}:{port}"),
            None => in_authority,
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_string(),
        };
        let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
            pair.push(b':');
            pair.extend(percent_decode_str(url.password().unwrap_or_default()));
            format!("Basic {}", STANDARD.encode(pair))
        });
        let shown = format!("{scheme}://{authority}{target}");
        Ok(Address { shown, host, port, tls, authority, authorization })
    }
}

/// An address that may be no address, without what may be a password.
fn without_user(text: &str) -> String {
    let start = text.find("://").map_or(0, |i| i + 3);
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |i| start + i);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}{}", &text[..start], &text[start + at + 1..]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s07_addresses_are_taken_apart() {
        let a = Address::parse(b"ws://127.0.0.1:1042").unwrap();
        assert_eq!((&*a.host, a.port, &*a.authority), ("127.0.0.1", 1042, "127.0.0.1:1042"));
        assert_eq!(a.shown, "ws://127.0.0.1:1042/");
        let a = Address::parse(b"WS://[::1]/path/to/ws_api?x=1&y=%20").unwrap();
        assert_eq!((&*a.host, a.port, &*a.authority), ("::1", 80, "[::1]"));
        assert_eq!(a.shown, "ws://[::1]/path/to/ws_api?x=1&y=%20");
        let a = Address::parse(b"wss://example.test/x").unwrap();
        assert_eq!((a.tls, a.port, &*a.authority), (true, 443, "example.test"));
        assert_eq!(a.shown, "wss://example.test/x");
        let a = Address::parse(b"WSS://[::1]:8443").unwrap();
        assert_eq!((a.tls, a.port, &*a.authority), (true, 8443, "[::1]:8443"));
        let a = Address::parse(b"ws://Aladdin:open%20sesame@example.test?q").unwrap();
        // RFC 7617, 2
        assert_eq!(a.authorization.as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(a.shown, "ws://example.test/?q");
    }

    #[test]
    fn s07_anything_else_is_a_clear_error() {
        for bad in [
            "",
            "x",
            "127.0.0.1:1042",
            "http://127.0.0.1",
            "ws:/127.0.0.1",
            "ws:127.0.0.1",
            "ws://",
            "ws:///path",
            "ws://?q",
            "ws://:80/",
            "ws://127.0.0.1:port",
            "ws://127.0.0.1:65536",
            "ws://127.0.0.1:0",
            "ws://127.0.0.1/ a",
            " ws://127.0.0.1",
            "ws://127.0.0.1\n",
            "ws://127.0.0.1/\0",
            "ws://[::1",
            "ws://a b",
            "ws://127.0.0.1/#fragment",
            "ws:\\\\127.0.0.1",
            "ws://user@",
            "wsx://127.0.0.1",
            "ws://1.2.3.4.5.6/",
        ] {
            let error = Address::parse(bad.as_bytes()).expect_err(bad);
            assert_eq!(error.kind, Kind::InvalidAddress, "{bad}");
            assert!(error.text.starts_with("connect to "), "{}", error.text);
        }
        assert_eq!(Address::parse(b"ws://\xff").unwrap_err().kind, Kind::InvalidAddress);
    }

    #[test]
    fn a_password_is_never_shown() {
        for text in ["http://u:secret@h/", "ws://u:secret@h:0/", "ws://u:secret@h/#f", "wss://u:secret@h/#f"]
        {
            let error = Address::parse(text.as_bytes()).unwrap_err();
            assert!(!error.text.contains("secret"), "{}", error.text);
        }
    }
}
