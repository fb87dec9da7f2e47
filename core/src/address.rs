//! WebSocket addresses (RFC 6455, 3): `ws://user:password@host:port/path?query`, and
//! `ws+unix:///path/to/socket:/path?query` for a Unix socket.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::{
    error::{Error, Kind, Result},
    limits,
};

/// Where a connect goes to.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// The address without user and password.
    pub shown: String,
    /// Whether it is `wss://`.
    pub secure: bool,
    /// A name, or an IP address without brackets.
    pub host: String,
    pub port: u16,
    /// The `Host` header: with brackets, and with the port unless it is the default.
    pub authority: String,
    /// The path with its query, as requests have it.
    pub target: String,
    /// `Basic ...`, from user and password.
    pub authorization: Option<String>,
    /// The Unix socket to connect to instead of host and port.
    pub unix: Option<PathBuf>,
}

fn told(verb: &str, shown: &str, what: &str) -> String {
    let shown: String = without_user(shown).chars().take(200).collect();
    format!("{verb} to {shown:?}: {what}")
}

impl Address {
    /// Takes an address apart. No network is touched.
    pub(crate) fn parse(text: &[u8]) -> Result<Address> {
        let shown = String::from_utf8_lossy(text);
        let fail = |what: &str| Error::new(Kind::InvalidAddress, told("connect", &shown, what));
        let text = std::str::from_utf8(text).map_err(|_| fail("the address is not UTF-8"))?;
        if text.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') {
            return Err(fail("spaces, control characters and backslashes can't stand in an address"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(fail("not a ws:// or wss:// address"));
        };
        match &*scheme.to_ascii_lowercase() {
            "ws+unix" => return Address::parse_unix(rest).map_err(fail),
            "ws" | "wss" => {}
            _ => return Err(fail("not a ws:// or wss:// address")),
        }
        if rest.starts_with(['/', '?', '#']) || rest.is_empty() {
            return Err(fail("there is no host"));
        }
        let url = Url::parse(text).map_err(|e| fail(&e.to_string()))?;
        if url.fragment().is_some() {
            return Err(fail("a fragment (#) can't stand in a WebSocket address"));
        }
        let authorization = basic(&url);
        let address = Address::from_url(&url).map_err(fail)?;
        Ok(Address { authorization, ..address })
    }

    /// The part behind `ws+unix://`.
    fn parse_unix(rest: &str) -> Result<Address, &'static str> {
        let (path, target) = rest.split_once(':').unwrap_or((rest, "/"));
        if !path.starts_with('/') || path.contains(['?', '#']) || !target.starts_with('/') {
            return Err("a Unix socket's address is ws+unix:///path/to/socket:/path?query");
        }
        let path: Vec<u8> = percent_decode_str(path).collect();
        if path.contains(&0) || path.len() > limits::MAX_SOCKET_PATH {
            return Err("the path of a Unix socket has at most 107 bytes and no NUL");
        }
        let url = format!("ws://localhost{target}");
        let url = Url::parse(&url).map_err(|_| "what stands behind the socket's path is no path")?;
        if url.fragment().is_some() {
            return Err("a fragment (#) can't stand in a WebSocket address");
        }
        let address = Address::from_url(&url)?;
        let shown = format!("ws+unix://{}:{}", String::from_utf8_lossy(&path), address.target);
        Ok(Address { shown, unix: Some(OsString::from_vec(path).into()), ..address })
    }

    /// Without user and password.
    fn from_url(url: &Url) -> Result<Address, &'static str> {
        let (host, in_authority) = match url.host() {
            Some(Host::Domain(name)) => (name.to_string(), name.to_string()),
            Some(Host::Ipv4(ip)) => (ip.to_string(), ip.to_string()),
            Some(Host::Ipv6(ip)) => (ip.to_string(), format!("[{ip}]")),
            None => return Err("there is no host"),
        };
        let secure = url.scheme() == "wss";
        let port = url.port_or_known_default().unwrap_or(0);
        if port == 0 {
            return Err("port 0 can't be connected to");
        }
        let authority = match url.port() {
            Some(port) => format!("{in_authority}:{port}"),
            None => in_authority,
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_string(),
        };
        let shown = format!("{}://{authority}{target}", url.scheme());
        Ok(Address { shown, secure, host, port, authority, target, authorization: None, unix: None })
    }

    /// Where a `Location` leads from here (RFC 9110, 10.2.2). User and password of this address go
    /// along to the same origin only; those in the location are not used. Fails with a text.
    pub(crate) fn redirected(&self, location: &[u8]) -> Result<Address, String> {
        let shown = shown_location(location);
        let fail = |what: &str| told("redirect", &shown, what);
        let location = std::str::from_utf8(location).map_err(|_| fail("the address is not UTF-8"))?;
        let scheme = if self.secure { "wss" } else { "ws" };
        let base = format!("{scheme}://{}{}", self.authority, self.target);
        let joined = Url::parse(&base).and_then(|base| base.join(location));
        let mut url = joined.map_err(|e| fail(&e.to_string()))?;
        // `http` and `ws` are the same to a client that speaks WebSocket (the Fetch standard has
        // it so). A new text is parsed anew, for a default port to be seen as such.
        let scheme = match url.scheme() {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return Err(fail("not an address that WebSocket can be spoken to")),
        };
        if self.secure && scheme == "ws" {
            return Err(fail("a redirect from wss:// to ws:// is not followed"));
        }
        url.set_fragment(None);
        let text = format!("{scheme}{}", url.as_str().trim_start_matches(|c| c != ':'));
        let url = Url::parse(&text).map_err(|e| fail(&e.to_string()))?;
        let mut address = Address::from_url(&url).map_err(fail)?;
        if self.is_same_origin(&address) {
            address.authorization.clone_from(&self.authorization);
            if let Some(path) = &self.unix {
                address.unix = Some(path.clone());
                address.shown = format!("ws+unix://{}:{}", path.to_string_lossy(), address.target);
            }
        }
        Ok(address)
    }

    /// Whether scheme, host and port are the same.
    pub(crate) fn is_same_origin(&self, other: &Address) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
    }
}

/// `Basic ...`, from user and password (RFC 7617).
pub(crate) fn basic(url: &Url) -> Option<String> {
    (!url.username().is_empty() || url.password().is_some()).then(|| {
        let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(url.password().unwrap_or_default()));
        format!("Basic {}", STANDARD.encode(pair))
    })
}

/// An address that may be no address, without what may be a password: all between the scheme and
/// the last `@`, for a password that is not encoded as it should be has any character.
pub(crate) fn without_user(text: &str) -> String {
    let Some(at) = text.rfind('@') else { return text.to_string() };
    let is_scheme = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let start = text.find("://").filter(|end| is_scheme(&text[..*end])).map_or(0, |end| end + 3);
    format!("{}...{}", &text[..start], &text[at..])
}

/// An address, or what may be one, without its query and fragment: there may be a token in them.
pub(crate) fn without_query(text: &str) -> String {
    match text.find(['?', '#']) {
        Some(at) => format!("{}...", &text[..=at]),
        None => text.into(),
    }
}

/// A `Location` as it may be shown: the server may have put a token into it.
pub(crate) fn shown_location(location: &[u8]) -> String {
    without_query(&without_user(&String::from_utf8_lossy(location))).chars().take(200).collect()
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
        let a = Address::parse(b"ws://Aladdin:open%20sesame@example.test?q").unwrap();
        // RFC 7617, 2
        assert_eq!(a.authorization.as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!((&*a.shown, &*a.target), ("ws://example.test/?q", "/?q"));
        let a = Address::parse(b"wss://example.test").unwrap();
        assert_eq!((&*a.shown, a.secure, a.port), ("wss://example.test/", true, 443));
        let a = Address::parse(b"wss://example.test:80/").unwrap();
        assert_eq!((&*a.authority, a.port), ("example.test:80", 80));
    }

    #[test]
    fn s07_unix_sockets_have_addresses() {
        let a = Address::parse(b"ws+unix:///run/a%20b.sock:/p:q?x=y:z").unwrap();
        assert_eq!(a.unix, Some("/run/a b.sock".into()));
        assert_eq!((&*a.target, &*a.authority, a.secure), ("/p:q?x=y:z", "localhost", false));
        assert_eq!(a.shown, "ws+unix:///run/a b.sock:/p:q?x=y:z");
        let a = Address::parse(b"WS+UNIX:///a").unwrap();
        assert_eq!((a.unix, &*a.target), (Some("/a".into()), "/"));
        let long = format!("ws+unix:///{}", "a".repeat(limits::MAX_SOCKET_PATH));
        for bad in ["", "a", "host/a", "/a:b", "/a?b", "/a#b", "/a:/#b", "/a%00b", &long[10..]] {
            let bad = format!("ws+unix://{bad}");
            assert_eq!(Address::parse(bad.as_bytes()).expect_err(&bad).kind, Kind::InvalidAddress, "{bad}");
        }
    }

    #[test]
    fn s07_redirects_lead_to_addresses() {
        for (from, location, to) in [
            ("ws://a/b/c?d", "e", "ws://a/b/e"),
            ("ws://a/b/c?d", "?e", "ws://a/b/c?e"),
            ("ws://a:81/b", "/e#f", "ws://a:81/e"),
            ("ws://a/b", "//c:1/d", "ws://c:1/d"),
            ("ws://a/b", "http://c/d", "ws://c/d"),
            ("ws://a/b", "http://c:80/d", "ws://c/d"),
            ("ws://a/b", "https://c:443/d", "wss://c/d"),
            ("ws://a/b", "https://c:80/d", "wss://c:80/d"),
            ("wss://a/b", "/c", "wss://a/c"),
            ("wss://a/b", "https://u:p@c/", "wss://c/"),
            ("ws+unix:///s:/a", "/b", "ws+unix:///s:/b"),
            ("ws+unix:///s:/a", "http://localhost/b", "ws+unix:///s:/b"),
            ("ws+unix:///s:/a", "http://localhost:1/b", "ws://localhost:1/b"),
        ] {
            let address = Address::parse(from.as_bytes()).unwrap().redirected(location.as_bytes());
            assert_eq!(address.unwrap().shown, to, "{from} {location}");
        }
        for bad in ["ws://c/", "http://a/", "ftp://a/", "file:///a", "https://a:0/", "mailto:a", "https://[/"]
        {
            let address = Address::parse(b"wss://a/b").unwrap().redirected(bad.as_bytes());
            assert!(address.expect_err(bad).contains(bad), "{bad}");
        }
        assert!(Address::parse(b"ws://a").unwrap().redirected(b"\xff").is_err());
    }

    #[test]
    fn s07_a_password_follows_to_the_same_origin_only() {
        let from = Address::parse(b"ws://u:p@a/b").unwrap();
        assert!(from.redirected(b"/c").unwrap().authorization.is_some());
        assert!(from.redirected(b"http://A:80/c").unwrap().authorization.is_some());
        for elsewhere in ["ws://b/", "ws://a:81/", "wss://a/", "//u:p@b/", "ws://u:p@a.b/"] {
            let to = from.redirected(elsewhere.as_bytes()).unwrap();
            assert_eq!((to.authorization, to.shown.contains('@')), (None, false), "{elsewhere}");
        }
    }

    #[test]
    fn s07_no_password_is_told() {
        for (bad, told) in [
            ("ws://u:secret@a:99999/b", "ws://...@a:99999/b"),
            ("ws://u:secret/?#@a:99999/b", "ws://...@a:99999/b"),
            ("u:secret@//x://a", "...@//x://a"),
            ("u:secret@a:1", "...@a:1"),
            ("ws:u:secret@a", "...@a"),
            ("ws://u:secret@", "ws://...@"),
            ("ws://a:99999/b", "ws://a:99999/b"),
        ] {
            let text = Address::parse(bad.as_bytes()).expect_err(bad).text;
            assert!(text.contains(&format!("\"{told}\"")), "{text}");
        }
    }

    #[test]
    fn s38_no_query_of_a_location_is_told() {
        let from = Address::parse(b"ws://a/").unwrap();
        for (bad, told) in [
            (&b"ftp://u:secret@h/p?secret"[..], "ftp://...@h/p?..."),
            (b"ws://h:99999/#secret", "ws://h:99999/#..."),
            (b"ws://[::1/?secret#secret", "ws://[::1/?..."),
            (b"/\xff?secret", "/\u{fffd}?..."),
            (b"ftp://u:secret/?@h/?secret", "ftp://...@h/?..."),
        ] {
            let text = from.redirected(bad).expect_err(told);
            assert!(text.contains(&format!("\"{told}\"")), "{text}");
        }
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
        for text in ["http://u:secret@h/", "ws://u:secret@h:0/", "ws://u:secret@h/#f", "//u:secret@h/"] {
            let error = Address::parse(text.as_bytes()).unwrap_err();
            assert!(!error.text.contains("secret"), "{}", error.text);
        }
    }
}
