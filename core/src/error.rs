//! The error table: kind, number, name and text, once for every language.

use std::{borrow::Cow, fmt};

macro_rules! kinds {
    ($($number:literal $kind:ident $name:literal $text:literal;)*) => {
        /// What went wrong. The numbers are those of the C ABI; a retired one is never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`: ", $text, ".")] $kind = $number,)*
        }

        impl Kind {
            /// Every kind, in the order of the numbers.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The name, as in `CMWS_STATUS_<name>`.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            /// The fixed words that a script may compare.
            pub fn text(self) -> &'static str {
                match self { $(Kind::$kind => $text,)* }
            }
        }
    };
}

kinds! {
    1 WouldBlock "WOULD_BLOCK" "would block";
    2 Closed "CLOSED" "closed";
    3 Timeout "TIMEOUT" "timeout";
    4 Busy "BUSY" "busy";
    5 Forked "FORKED" "forked";
    6 InvalidHandle "INVALID_HANDLE" "invalid handle";
    7 InvalidArgument "INVALID_ARGUMENT" "invalid argument";
    8 InvalidAddress "INVALID_ADDRESS" "invalid address";
    9 InvalidHeader "INVALID_HEADER" "invalid header";
    10 InvalidText "INVALID_TEXT" "text is not UTF-8";
    11 InvalidClose "INVALID_CLOSE" "invalid close code or reason";
    12 TooBig "TOO_BIG" "message too big";
    13 Dns "DNS" "name lookup failed";
    14 Tcp "TCP" "TCP connection failed";
    15 Tls "TLS" "TLS failed";
    16 Http "HTTP" "refused with an HTTP status";
    17 Handshake "HANDSHAKE" "opening handshake failed";
    18 Listen "LISTEN" "cannot listen";
    19 Protocol "PROTOCOL" "protocol error";
    20 Resources "RESOURCES" "out of resources";
    21 Away "AWAY" "away";
    22 Internal "INTERNAL" "internal error";
    23 Moved "MOVED" "moved";
}

/// A failure: its kind, a text that says what was tried and what happened, and an HTTP status
/// where a server gave one.
#[derive(Clone, Debug)]
pub struct Error {
    /// What went wrong.
    pub kind: Kind,
    /// What was tried, what happened, what to do.
    pub text: Cow<'static, str>,
    /// The status of a server that refused, else 0.
    pub http_status: u16,
}

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure with a text of its own.
    pub fn new(kind: Kind, text: impl Into<Cow<'static, str>>) -> Error {
        Error { kind, text: text.into(), http_status: 0 }
    }

    /// The same failure, told as part of `what`: `what: text`.
    pub(crate) fn within(self, what: impl fmt::Display) -> Error {
        Error { text: format!("{what}: {}", self.text).into(), ..self }
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Error {
        Error::new(kind, kind.text())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// What the system says of a failure, without Rust's "(os error N)".
pub(crate) fn io_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "unknown error".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_texts_are_unique() {
        for (i, a) in Kind::ALL.iter().enumerate() {
            for b in &Kind::ALL[i + 1..] {
                assert!((*a as i32) < *b as i32);
                assert_ne!(a.name(), b.name());
                assert_ne!(a.text(), b.text());
            }
        }
    }

    #[test]
    fn io_errors_read_as_sentences() {
        let refused = std::io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(io_text(&refused), "connection refused");
    }
}
