//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, 9.1), and what permessage-deflate's
//! parameters are (RFC 7692, 7.1).

use std::borrow::Cow;

use crate::headers::is_token_byte;

/// A `Sec-WebSocket-Extensions` that is not of the grammar of RFC 6455, 9.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The parameters of an extension, read as those of permessage-deflate.
#[derive(Clone, Copy, Default)]
pub(super) struct Parameters {
    pub server_no_takeover: bool,
    pub client_no_takeover: bool,
    pub server_bits: Option<u8>,
    /// In an offer it may stand without a value.
    pub client_bits: Option<Option<u8>>,
    /// What makes them invalid.
    pub fault: Option<&'static str>,
}

impl Parameters {
    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        if let Err(fault) = self.try_add(name, value) {
            self.fault = self.fault.or(Some(fault));
        }
    }

    fn try_add(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), &'static str> {
        let twice = match name {
            b"server_no_context_takeover" => flag(&mut self.server_no_takeover, value)?,
            b"client_no_context_takeover" => flag(&mut self.client_no_takeover, value)?,
            b"server_max_window_bits" => {
                let bits = value.ok_or("server_max_window_bits has no value")?;
                self.server_bits.replace(window_bits(bits)?).is_some()
            }
            b"client_max_window_bits" => {
                self.client_bits.replace(value.map(window_bits).transpose()?).is_some()
            }
            _ => return Err("permessage-deflate has an unknown parameter"),
        };
        if twice { Err("permessage-deflate has a parameter twice") } else { Ok(()) }
    }
}

/// Sets a parameter without a value, and tells whether it was set before.
fn flag(set: &mut bool, value: Option<&[u8]>) -> Result<bool, &'static str> {
    if value.is_some() {
        return Err("a no_context_takeover parameter has a value");
    }
    Ok(std::mem::replace(set, true))
}

/// A decimal number from 8 to 15, without leading zeros (RFC 7692, 7.1.2).
fn window_bits(value: &[u8]) -> Result<u8, &'static str> {
    match value {
        [digit @ b'8'..=b'9'] => Ok(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Ok(10 + digit - b'0'),
        _ => Err("a max_window_bits parameter is not a number from 8 to 15"),
    }
}

/// Calls `found` for each extension of each value. Each byte is looked at once. Whitespace may
/// stand between all parts, and elements of a list may be empty (RFC 9110, 5.6.1.2).
pub(super) fn read<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    mut found: impl FnMut(&[u8], Parameters),
) -> Result<(), Malformed> {
    for value in values {
        let mut text = Text(value);
        loop {
            while text.take(b',') {}
            if text.0.is_empty() {
                break;
            }
            let name = text.token()?;
            let mut parameters = Parameters::default();
            while text.take(b';') {
                let name = text.token()?;
                let value = if text.take(b'=') { Some(text.value()?) } else { None };
                parameters.add(name, value.as_deref());
            }
            if !text.0.is_empty() && text.0.first() != Some(&b',') {
                return Err(Malformed);
            }
            found(name, parameters);
        }
    }
    Ok(())
}

/// What is left of a field's value. Whitespace is skipped before each part.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn skip_space(&mut self) {
        let space = self.0.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        self.0 = &self.0[space..];
    }

    /// Takes this byte if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        self.skip_space();
        let length = self.0.iter().take_while(|b| is_token_byte(**b)).count();
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        self.skip_space();
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, or a quoted string that is one when unquoted.
    fn value(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        if !self.take(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = Vec::new();
        loop {
            let (byte, rest) = match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    self.skip_space();
                    return if value.is_empty() { Err(Malformed) } else { Ok(Cow::Owned(value)) };
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (*byte, rest),
                [] => return Err(Malformed),
            };
            if !is_token_byte(byte) {
                return Err(Malformed);
            }
            value.push(byte);
            self.0 = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The extensions of some fields: their names and parameters.
    fn all(values: &[&str]) -> Result<Vec<(String, Parameters)>, Malformed> {
        let mut found = Vec::new();
        let each = |name: &[u8], p: Parameters| found.push((String::from_utf8_lossy(name).into(), p));
        read(values.iter().map(|v| v.as_bytes()), each)?;
        Ok(found)
    }

    #[test]
    fn whitespace_and_quotes_may_stand_wherever_the_grammar_has_them() {
        let odd =
            "\t, permessage-deflate\t;server_max_window_bits = \"1\\0\" ;client_max_window_bits=\"9\" ,";
        let found = all(&[" ", "first;a, second", odd]).unwrap();
        assert_eq!(
            found.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(),
            ["first", "second", "permessage-deflate"]
        );
        let last = found[2].1;
        assert_eq!((last.server_bits, last.client_bits, last.fault), (Some(10), Some(Some(9)), None));
    }

    #[test]
    fn a_value_that_breaks_the_grammar_is_malformed_wherever_it_does() {
        for bad in [
            ";",
            "=",
            "permessage-deflate;",
            "permessage-deflate; ;",
            "permessage-deflate; =10",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=\"\"",
            "permessage-deflate; server_max_window_bits=\"10",
            "permessage-deflate; server_max_window_bits=\"10\\",
            "permessage-deflate; server_max_window_bits=\"1 0\"",
            "permessage-deflate; server_max_window_bits=\"10\"1",
            "permessage-deflate; a=b=c",
            "permessage-deflate foo",
            "permessage-deflate=1",
            "foo; \"a\"",
            "\"permessage-deflate\"",
            "permessage-deflate/1",
            "foo\0",
            "caf\u{e9}",
            "a\r",
            "(",
        ] {
            for list in [bad.to_string(), format!("permessage-deflate, {bad}"), format!("{bad}, a")] {
                assert!(all(&[&list]).is_err(), "{list}");
                assert!(all(&["a", &list, "b"]).is_err(), "{list}");
            }
        }
    }

    #[test]
    fn long_fields_take_one_pass() {
        for part in ["a,", "a;b,", ",", "a; b=\"c\",", " "] {
            let long = part.repeat((1 << 18) / part.len());
            assert_eq!(all(&[&long]).unwrap().len(), long.matches("a").count());
        }
        let parameters = format!("a{}", "; client_max_window_bits".repeat(1 << 15));
        assert_eq!(all(&[&parameters]).unwrap()[0].1.fault, Some("permessage-deflate has a parameter twice"));
        assert!(all(&[&format!("a;b=\"{}", "\\c".repeat(1 << 17))]).is_err());
    }
}
