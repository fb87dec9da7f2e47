//! The options of a connect or a listener, set by name.

use std::time::Duration;

use crate::{
    error::{Error, Kind, Result},
    limits::{self, Limit, Side, Unit},
    protocol::{Compression, Role},
};

/// What a connection is allowed, and how it is made. Times are in milliseconds and sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `max_callbacks`
    pub max_callbacks: u32,
    /// `open_timeout`
    pub open_timeout_ms: u32,
    /// `close_timeout`
    pub close_timeout_ms: u32,
    /// `max_message_size`
    pub max_message_size: u64,
    /// `read_limit`
    pub read_limit: u64,
    /// `write_limit`
    pub write_limit: u64,
    pub(crate) message_timeout_ms: u32,
    pub(crate) ping_interval_ms: u32,
    pub(crate) ping_timeout_ms: u32,
    /// None: as the side has it.
    pub(crate) compression: Option<bool>,
    pub(crate) context_takeover: bool,
    pub(crate) window_bits: u8,
    pub(crate) compression_level: u8,
    pub(crate) compression_min_size: usize,
    pub(crate) max_redirects: u32,
    pub(crate) insecure: bool,
    pub(crate) review: bool,
    /// `fragments`
    pub fragments: bool,
    pub(crate) max_lifetime_ms: u32,
    pub(crate) max_message_rate: u32,
    pub(crate) max_byte_rate: u32,
    pub(crate) max_connections: u32,
    pub(crate) max_connections_per_address: u32,
    pub(crate) max_handshakes: u32,
    pub(crate) reconnect: bool,
    pub(crate) reconnect_delay_ms: u32,
    pub(crate) reconnect_max_delay_ms: u32,
    pub(crate) reconnect_buffer: u64,
    pub(crate) texts: Texts,
}

/// The options that are texts. Lists have the order in which their elements were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Texts {
    /// What a client offers and a server speaks, in order of preference: the first of the server's
    /// that the client offers is chosen (RFC 6455, 4.2.2).
    pub subprotocols: Vec<String>,
    /// `scheme://host:port` of pages that may connect to a server, compared as browsers write it
    /// (RFC 6454, 6.2); empty: any. A request without an origin comes from no page, and passes.
    pub origins: Vec<String>,
    /// The only path that a server upgrades, byte for byte as it stands in the request, without
    /// the query; empty: any. Others are answered with 404.
    pub path: String,
    /// A path on which a server answers GET and HEAD with 200; empty: none. Requests for a
    /// WebSocket are not health checks, so that it may be the same as `path`.
    pub health_path: String,
    /// Extra fields of a server's answer 101, as `Name: value`.
    pub response_headers: Vec<Vec<u8>>,
    /// A client's proxy; empty: what the environment says.
    pub proxy: String,
    /// The name that a server's certificate is checked for; empty: the address's.
    pub server_name: String,
    /// PEM files: our certificate chain and its key; those who may sign the peer's.
    pub certificate_file: String,
    pub key_file: String,
    pub ca_files: Vec<String>,
    /// `1.2` or `1.3`.
    pub min_tls_version: String,
}

/// The names of the options that are texts, and whom they are for.
const TEXTS: &[(&str, Side)] = &[
    ("subprotocols", Side::Both),
    ("origins", Side::Server),
    ("path", Side::Server),
    ("health_path", Side::Server),
    ("response_headers", Side::Server),
    ("proxy", Side::Client),
    ("server_name", Side::Client),
    ("certificate_file", Side::Both),
    ("key_file", Side::Both),
    ("ca_files", Side::Both),
    ("min_tls_version", Side::Both),
];

impl Default for Options {
    fn default() -> Options {
        Options {
            max_callbacks: limits::MAX_CALLBACKS.default as u32,
            open_timeout_ms: milliseconds(limits::OPEN_TIMEOUT.default),
            close_timeout_ms: milliseconds(limits::CLOSE_TIMEOUT.default),
            max_message_size: limits::MAX_MESSAGE_SIZE.default as u64,
            read_limit: limits::READ_LIMIT.default as u64,
            write_limit: limits::WRITE_LIMIT.default as u64,
            message_timeout_ms: milliseconds(limits::MESSAGE_TIMEOUT.default),
            ping_interval_ms: milliseconds(limits::PING_INTERVAL.default),
            ping_timeout_ms: milliseconds(limits::PING_TIMEOUT.default),
            compression: None,
            context_takeover: limits::CONTEXT_TAKEOVER.default != 0.0,
            window_bits: limits::WINDOW_BITS.default as u8,
            compression_level: limits::COMPRESSION_LEVEL.default as u8,
            compression_min_size: limits::COMPRESSION_MIN_SIZE.default as usize,
            max_redirects: limits::MAX_REDIRECTS.default as u32,
            insecure: limits::INSECURE.default != 0.0,
            review: limits::REVIEW.default != 0.0,
            fragments: limits::FRAGMENTS.default != 0.0,
            max_lifetime_ms: milliseconds(limits::MAX_LIFETIME.default),
            max_message_rate: limits::MAX_MESSAGE_RATE.default as u32,
            max_byte_rate: limits::MAX_BYTE_RATE.default as u32,
            max_connections: limits::MAX_CONNECTIONS.default as u32,
            max_connections_per_address: limits::MAX_CONNECTIONS_PER_ADDRESS.default as u32,
            max_handshakes: limits::MAX_HANDSHAKES.default as u32,
            reconnect: limits::RECONNECT.default != 0.0,
            reconnect_delay_ms: milliseconds(limits::RECONNECT_DELAY.default),
            reconnect_max_delay_ms: milliseconds(limits::RECONNECT_MAX_DELAY.default),
            reconnect_buffer: limits::RECONNECT_BUFFER.default as u64,
            texts: Texts::default(),
        }
    }
}

fn milliseconds(seconds: f64) -> u32 {
    (seconds * 1000.0).ceil() as u32
}

fn fail(text: String) -> Error {
    Error::new(Kind::InvalidArgument, text)
}

fn unknown(name: &str) -> Error {
    let numbers = limits::LIMITS.iter().map(|l| l.name);
    let known: Vec<_> = numbers.chain(TEXTS.iter().map(|t| t.0)).collect();
    fail(format!("unknown option {name:?}: this version has {}", known.join(", ")))
}

impl Options {
    /// Sets the option of this name to seconds, bytes, a count, or 0 and 1 for no and yes.
    pub fn set(&mut self, name: &str, value: f64) -> Result<()> {
        let Some(limit) = limits::LIMITS.iter().find(|l| l.name == name) else {
            if TEXTS.iter().any(|t| t.0 == name) {
                return Err(fail(format!("option {name} is {value}: it takes text")));
            }
            return Err(unknown(name));
        };
        check(limit, value)?;
        match name {
            "open_timeout" => self.open_timeout_ms = milliseconds(value),
            "close_timeout" => self.close_timeout_ms = milliseconds(value),
            "message_timeout" => self.message_timeout_ms = milliseconds(value),
            "ping_interval" => self.ping_interval_ms = milliseconds(value),
            "ping_timeout" => self.ping_timeout_ms = milliseconds(value),
            "max_message_size" => self.max_message_size = value as u64,
            "read_limit" => self.read_limit = value as u64,
            "write_limit" => self.write_limit = value as u64,
            "max_callbacks" => self.max_callbacks = value as u32,
            "compression" => self.compression = Some(value != 0.0),
            "context_takeover" => self.context_takeover = value != 0.0,
            "window_bits" => self.window_bits = value as u8,
            "compression_level" => self.compression_level = value as u8,
            "compression_min_size" => self.compression_min_size = value as usize,
            "max_redirects" => self.max_redirects = value as u32,
            "insecure" => self.insecure = value != 0.0,
            "review" => self.review = value != 0.0,
            "fragments" => self.fragments = value != 0.0,
            "max_lifetime" => self.max_lifetime_ms = milliseconds(value),
            "max_message_rate" => self.max_message_rate = value as u32,
            "max_byte_rate" => self.max_byte_rate = value as u32,
            "max_connections" => self.max_connections = value as u32,
            "max_connections_per_address" => self.max_connections_per_address = value as u32,
            "max_handshakes" => self.max_handshakes = value as u32,
            "reconnect" => self.reconnect = value != 0.0,
            "reconnect_delay" => self.reconnect_delay_ms = milliseconds(value),
            "reconnect_max_delay" => self.reconnect_max_delay_ms = milliseconds(value),
            "reconnect_buffer" => self.reconnect_buffer = value as u64,
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// Sets the option of this name to a text, or adds the text to a list.
    pub fn set_text(&mut self, name: &str, value: &[u8]) -> Result<()> {
        if let Some(limit) = limits::LIMITS.iter().find(|l| l.name == name) {
            return Err(fail(format!("option {} is a text: it takes {}", limit.name, takes(limit.unit))));
        }
        if !TEXTS.iter().any(|t| t.0 == name) {
            return Err(unknown(name));
        }
        let texts = &mut self.texts;
        if name == "response_headers" {
            texts.response_headers.push(value.to_vec());
            return Ok(());
        }
        let text = match std::str::from_utf8(value) {
            Ok(text) if !text.is_empty() && !text.contains('\0') => text.to_string(),
            _ => return Err(fail(format!("option {name} is empty, or not UTF-8 without NULs"))),
        };
        match name {
            "subprotocols" => texts.subprotocols.push(text),
            "origins" => texts.origins.push(text),
            "path" => texts.path = text,
            "health_path" => texts.health_path = text,
            "proxy" => texts.proxy = text,
            "server_name" => texts.server_name = text,
            "certificate_file" => texts.certificate_file = text,
            "key_file" => texts.key_file = text,
            "ca_files" => texts.ca_files.push(text),
            "min_tls_version" => texts.min_tls_version = text,
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// Checks fields that were not set by name, and that the other side's options are not used.
    pub(crate) fn check(&self, role: Role) -> Result<()> {
        check(&limits::OPEN_TIMEOUT, f64::from(self.open_timeout_ms) / 1000.0)?;
        check(&limits::CLOSE_TIMEOUT, f64::from(self.close_timeout_ms) / 1000.0)?;
        check(&limits::MAX_MESSAGE_SIZE, self.max_message_size as f64)?;
        check(&limits::READ_LIMIT, self.read_limit as f64)?;
        check(&limits::WRITE_LIMIT, self.write_limit as f64)?;
        check(&limits::MAX_CALLBACKS, f64::from(self.max_callbacks))?;
        let (texts, unset) = (&self.texts, Options::default());
        let (wrong, whose) = match role {
            Role::Client => {
                let wrong = [
                    (!texts.origins.is_empty(), "origins"),
                    (!texts.path.is_empty(), "path"),
                    (!texts.health_path.is_empty(), "health_path"),
                    (!texts.response_headers.is_empty(), "response_headers"),
                    (self.review, limits::REVIEW.name),
                    (self.max_connections > 0, limits::MAX_CONNECTIONS.name),
                    (self.max_connections_per_address > 0, limits::MAX_CONNECTIONS_PER_ADDRESS.name),
                    (self.max_handshakes != unset.max_handshakes, limits::MAX_HANDSHAKES.name),
                ];
                (wrong.to_vec(), "a listener")
            }
            Role::Server => {
                let wrong = [
                    (!texts.proxy.is_empty(), "proxy"),
                    (!texts.server_name.is_empty(), "server_name"),
                    (self.max_redirects > 0, limits::MAX_REDIRECTS.name),
                    (self.insecure, limits::INSECURE.name),
                    (self.reconnect, limits::RECONNECT.name),
                    (self.reconnect_delay_ms != unset.reconnect_delay_ms, limits::RECONNECT_DELAY.name),
                    (
                        self.reconnect_max_delay_ms != unset.reconnect_max_delay_ms,
                        limits::RECONNECT_MAX_DELAY.name,
                    ),
                    (self.reconnect_buffer > 0, limits::RECONNECT_BUFFER.name),
                ];
                (wrong.to_vec(), "a connect")
            }
        };
        if self.fragments && self.reconnect {
            // What follows a fragment of a message that was lost would be another message.
            return Err(fail("option fragments does not go with reconnect".into()));
        }
        match wrong.iter().find(|(set, _)| *set) {
            Some((_, name)) => Err(fail(format!("option {name} is {whose}'s"))),
            None => Ok(()),
        }
    }

    /// What compression is offered or accepted with, if it is.
    pub(crate) fn compression(&self, role: Role) -> Option<Compression> {
        self.compression.unwrap_or(role == Role::Client).then_some(Compression {
            context_takeover: self.context_takeover,
            window_bits: self.window_bits,
            level: self.compression_level,
            min_size: self.compression_min_size,
        })
    }

    pub(crate) fn open_timeout(&self) -> Duration {
        Duration::from_millis(self.open_timeout_ms.into())
    }

    pub(crate) fn close_timeout(&self) -> Duration {
        Duration::from_millis(self.close_timeout_ms.into())
    }

    pub(crate) fn message_timeout(&self) -> Duration {
        Duration::from_millis(self.message_timeout_ms.into())
    }

    /// None: no pings are sent.
    pub(crate) fn ping_interval(&self) -> Option<Duration> {
        (self.ping_interval_ms > 0).then(|| Duration::from_millis(self.ping_interval_ms.into()))
    }

    /// None: for ever.
    pub(crate) fn max_lifetime(&self) -> Option<Duration> {
        (self.max_lifetime_ms > 0).then(|| Duration::from_millis(self.max_lifetime_ms.into()))
    }

    pub(crate) fn ping_timeout(&self) -> Duration {
        Duration::from_millis(self.ping_timeout_ms.into())
    }
}

fn takes(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::Bytes => "whole bytes",
        Unit::Count => "a whole number",
        Unit::Flag => "0 or 1",
    }
}

/// Checks that a value is within an option's range.
pub(crate) fn check(limit: &Limit, value: f64) -> Result<()> {
    let Limit { name, unit, min, max, .. } = *limit;
    let whole = unit == Unit::Seconds || value.fract() == 0.0;
    if whole && (min..=max).contains(&value) {
        return Ok(());
    }
    Err(fail(format!("option {name} is {value}: it takes {} from {min} to {max}", takes(unit))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_and_its_range_holds() {
        for limit in limits::LIMITS {
            let mut options = Options::default();
            options.set(limit.name, limit.default).unwrap();
            if limit.name != "compression" {
                assert_eq!(options, Options::default(), "{}", limit.name); // its default is the side's
            }
            let other = if limit.default == limit.min { limit.max } else { limit.min };
            options.set(limit.name, other).unwrap();
            assert_ne!(options, Options::default(), "{}", limit.name);
            for bad in [-1.0, limit.max * 2.0, f64::NAN, f64::INFINITY] {
                assert!(options.set(limit.name, bad).is_err(), "{} = {bad}", limit.name);
            }
            assert!(options.set_text(limit.name, b"1").is_err());
        }
        let unknown = Options::default().set("no_such", 1.0).unwrap_err();
        assert!(unknown.text.contains("no_such") && unknown.text.contains("read_limit"));
    }

    #[test]
    fn every_text_can_be_set_and_belongs_to_its_side() {
        for (name, side) in TEXTS {
            let mut options = Options::default();
            options.set_text(name, b"x").unwrap();
            assert_ne!(options, Options::default(), "{name}");
            assert_eq!(options.check(Role::Client).is_ok(), *side != Side::Server, "{name}");
            assert_eq!(options.check(Role::Server).is_ok(), *side != Side::Client, "{name}");
            assert!(options.set(name, 1.0).unwrap_err().text.contains("text"));
        }
        assert!(Options::default().set_text("path", b"\xff").is_err());
        assert!(Options::default().set_text("no_such", b"x").unwrap_err().text.contains("proxy"));
    }

    #[test]
    fn numbers_belong_to_their_side() {
        for limit in limits::LIMITS.iter().filter(|l| l.side != Side::Both) {
            let mut options = Options::default();
            options.set(limit.name, 1.0).unwrap();
            assert_eq!(options.check(Role::Client).is_ok(), limit.side == Side::Client, "{}", limit.name);
            assert_eq!(options.check(Role::Server).is_ok(), limit.side == Side::Server, "{}", limit.name);
        }
    }
}
