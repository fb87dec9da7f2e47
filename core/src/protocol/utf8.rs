//! UTF-8 that arrives in pieces (RFC 6455, 8.1): a wrong byte shows as soon as it is there.

/// What the pieces so far ended with: the beginning of a character, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8 {
    begun: [u8; 3],
    length: u8,
}

impl Utf8 {
    /// Takes the next piece; false if the text can't become UTF-8 any more.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> bool {
        while self.length > 0 {
            let Some((first, rest)) = piece.split_first() else { return true };
            let mut bytes = [0; 4];
            let begun = usize::from(self.length);
            bytes[..begun].copy_from_slice(&self.begun[..begun]);
            bytes[begun] = *first;
            piece = rest;
            match std::str::from_utf8(&bytes[..=begun]) {
                Ok(_) => self.length = 0,
                Err(e) if e.error_len().is_none() => {
                    self.begun[begun] = *first;
                    self.length += 1;
                }
                Err(_) => return false,
            }
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => true,
            Err(e) if e.error_len().is_none() => {
                let rest = &piece[e.valid_up_to()..];
                self.begun[..rest.len()].copy_from_slice(rest);
                self.length = rest.len() as u8;
                true
            }
            Err(_) => false,
        }
    }

    /// Whether the text may end here.
    pub(crate) fn is_complete(&self) -> bool {
        self.length == 0
    }

    /// How many bytes at the end of the last piece are the beginning of a character; all of it, where
    /// it is shorter.
    pub(crate) fn begun(&self) -> usize {
        self.length.into()
    }
}

/// Whether a whole text is UTF-8.
pub(crate) fn is_valid(text: &[u8]) -> bool {
    simdutf8::basic::from_utf8(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_says_the_same_as_the_whole() {
        let samples: [&[u8]; 12] = [
            b"plain",
            "κόσμε grüße 你好 🦀".as_bytes(),
            b"\xf4\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xed\xa0\x80",
            b"\xc0\xaf",
            b"\xe2\x82",
            b"\xf0\x9f\xa6",
            b"ok\xff",
            b"\x80",
            b"\xe0\x9f\xbf",
            b"",
        ];
        for sample in samples {
            for a in 0..=sample.len() {
                for b in a..=sample.len() {
                    let mut utf8 = Utf8::default();
                    let good = [&sample[..a], &sample[a..b], &sample[b..]].iter().all(|p| utf8.feed(p))
                        && utf8.is_complete();
                    assert_eq!(good, std::str::from_utf8(sample).is_ok(), "{sample:?} at {a} and {b}");
                }
            }
            assert_eq!(is_valid(sample), std::str::from_utf8(sample).is_ok());
        }
    }

    #[test]
    fn a_wrong_byte_shows_at_once() {
        let mut utf8 = Utf8::default();
        assert!(utf8.feed(b"\xf4"));
        assert!(!utf8.feed(b"\x90"), "above U+10FFFF, seen at its second byte");
        let mut utf8 = Utf8::default();
        assert!(!utf8.feed(b"\xed\xa0"), "a surrogate, seen at its second byte");
    }
}
