//! What a server asks of the requests that it upgrades, made of its options once.

use url::{Origin, Url};

use super::answer::lines;
use crate::{
    error::{Error, Kind, Result},
    headers::{Header, is_token},
    options::Options,
};

/// A listener's own wishes, checked.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// In the order of preference.
    subprotocols: Vec<String>,
    /// As browsers write them (RFC 6454, 6.2); empty: any.
    origins: Vec<String>,
    /// Empty: any.
    path: String,
    /// Empty: none.
    health_path: String,
    /// Header lines for every 101.
    pub lines: Vec<u8>,
}

impl Rules {
    pub(crate) fn new(options: &Options) -> Result<Rules> {
        let texts = &options.texts;
        if let Some(bad) = texts.subprotocols.iter().find(|s| !is_token(s.as_bytes())) {
            return Err(invalid("subprotocols", bad, "a subprotocol is a token (RFC 6455, 4.1)"));
        }
        for (option, path) in [("path", &texts.path), ("health_path", &texts.health_path)] {
            let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
            let good = path.is_empty() || (path.starts_with('/') && plain);
            if !good {
                let what = "a path begins with / and is as it stands in a request, without a query";
                return Err(invalid(option, path, what));
            }
        }
        let origins = texts.origins.iter().map(|text| {
            let what = "an origin is scheme://host or scheme://host:port, and no more";
            origin(text).ok_or_else(|| invalid("origins", text, what))
        });
        let fields = texts.response_headers.iter().map(|line| {
            let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            let (name, value) = line.split_at(colon);
            Header { name, value: value.get(1..).unwrap_or_default().trim_ascii() }
        });
        if let Some(bad) = texts.response_headers.iter().find(|line| !line.contains(&b':')) {
            let text =
                format!("option response_headers: {:?} is not Name: value", String::from_utf8_lossy(bad));
            return Err(Error::new(Kind::InvalidHeader, text));
        }
        Ok(Rules {
            subprotocols: texts.subprotocols.clone(),
            origins: origins.collect::<Result<_>>()?,
            path: texts.path.clone(),
            health_path: texts.health_path.clone(),
            lines: lines(fields).map_err(|e| e.within("option response_headers"))?,
        })
    }

    pub(crate) fn is_health_path(&self, path: &str) -> bool {
        !path.is_empty() && self.health_path == path
    }

    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.path.is_empty() || self.path == path
    }

    pub(crate) fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.is_empty() || self.origins.iter().any(|o| o.as_bytes() == origin)
    }

    /// The first of our subprotocols that the client offers, or nothing (RFC 6455, 4.2.2).
    pub(crate) fn choose<'a>(&self, offers: impl Iterator<Item = &'a [u8]> + Clone) -> &[u8] {
        let ours = self.subprotocols.iter().map(|s| s.as_bytes());
        ours.into_iter().find(|s| offers.clone().any(|o| o == *s)).unwrap_or_default()
    }
}

fn invalid(option: &str, value: &str, what: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("option {option} is {value:?}: {what}"))
}

/// An origin as a browser would write it: lower case, without the port that the scheme implies.
fn origin(text: &str) -> Option<String> {
    if text == "null" {
        return Some(text.into());
    }
    let (scheme, host) = text.split_once("://")?;
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@,".contains(&b)) {
        return None;
    }
    match Url::parse(text).ok()?.origin() {
        tuple @ Origin::Tuple(..) => Some(tuple.ascii_serialization()),
        // Schemes of one browser, such as chrome-extension://
        Origin::Opaque(_) => Some(format!("{scheme}://{host}").to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(set: &[(&str, &[u8])]) -> Result<Rules> {
        let mut options = Options::default();
        for (name, value) in set {
            options.set_text(name, value).unwrap();
        }
        Rules::new(&options)
    }

    #[test]
    fn s13_origins_are_compared_as_browsers_write_them() {
        let rules = rules(&[
            ("origins", b"HTTPS://Example.com:443/"),
            ("origins", b"http://localhost:8080"),
            ("origins", b"chrome-extension://ABC"),
            ("origins", b"http://[::1]"),
            ("origins", b"null"),
        ])
        .unwrap();
        for good in
            ["https://example.com", "http://localhost:8080", "chrome-extension://abc", "http://[::1]", "null"]
        {
            assert!(rules.allows_origin(good.as_bytes()), "{good}");
        }
        for bad in ["http://example.com", "https://example.com:444", "https://example.com.evil", "", "\u{e4}"]
        {
            assert!(!rules.allows_origin(bad.as_bytes()), "{bad}");
        }
        assert!(Rules::default().allows_origin(b"http://anywhere"));
    }

    #[test]
    fn s13_the_servers_preference_decides() {
        let rules = rules(&[("subprotocols", b"b"), ("subprotocols", b"a")]).unwrap();
        let choose = |offers: &'static [&[u8]]| rules.choose(offers.iter().copied());
        assert_eq!(choose(&[b"a", b"b"]), b"b");
        assert_eq!(choose(&[b"c", b"a"]), b"a");
        assert_eq!(choose(&[b"A"]), b"");
        assert_eq!(choose(&[]), b"");
    }

    #[test]
    fn wishes_that_make_no_sense_are_told() {
        for (name, value, kind) in [
            ("subprotocols", &b"a b"[..], Kind::InvalidArgument),
            ("subprotocols", b"a,b", Kind::InvalidArgument),
            ("path", b"chat", Kind::InvalidArgument),
            ("path", b"/chat?x", Kind::InvalidArgument),
            ("health_path", b"/\xc3\xa4", Kind::InvalidArgument),
            ("origins", b"example.com", Kind::InvalidArgument),
            ("origins", b"http://example.com/path", Kind::InvalidArgument),
            ("origins", b"http://", Kind::InvalidArgument),
            ("origins", b"http://a b", Kind::InvalidArgument),
            ("response_headers", b"no colon", Kind::InvalidHeader),
            ("response_headers", b"Upgrade: h2c", Kind::InvalidHeader),
            ("response_headers", b"A: b\r\nC: d", Kind::InvalidHeader),
        ] {
            let error = rules(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind, kind, "{name}");
            assert!(error.text.contains(name), "{}", error.text);
        }
        let lines =
            rules(&[("response_headers", b"Server:  \xe4 "), ("response_headers", b"A:")]).unwrap().lines;
        assert_eq!(lines, b"Server: \xe4\r\nA: \r\n");
    }
}
