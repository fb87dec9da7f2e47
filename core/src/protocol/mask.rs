//! Masking (RFC 6455, 5.3): a new unpredictable key for each frame.

use crate::error::{Error, Kind, Result};

/// Keys from the system's generator, some at a time.
#[derive(Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
}

/// How many keys one system call fetches.
const BATCH: usize = 32;

impl Keys {
    /// A key that was never used.
    pub(crate) fn next(&mut self) -> Result<[u8; 4]> {
        if self.bytes.is_empty() {
            let mut fresh = vec![0; 4 * BATCH];
            getrandom::fill(&mut fresh).map_err(|e| {
                Error::new(Kind::Resources, format!("no random numbers for a masking key: {e}"))
            })?;
            self.bytes = fresh;
        }
        let mut key = [0; 4];
        for byte in &mut key {
            *byte = self.bytes.pop().unwrap_or_default();
        }
        Ok(key)
    }
}

/// Masks or unmasks a payload from its first byte on.
pub(crate) fn apply(payload: &mut [u8], key: [u8; 4]) {
    let word = u32::from_ne_bytes(key);
    let (words, rest) = payload.as_chunks_mut();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Appends a masked payload.
pub(crate) fn append(out: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    let start = out.len();
    out.extend_from_slice(payload);
    apply(&mut out[start..], key);
}

/// The key for what follows after so many bytes.
pub(crate) fn rotated(mut key: [u8; 4], count: usize) -> [u8; 4] {
    key.rotate_left(count % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_is_that_of_the_rfc_at_every_length() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut hello = *b"Hello";
        apply(&mut hello, key);
        assert_eq!(hello, [0x7f, 0x9f, 0x4d, 0x51, 0x58]); // RFC 6455, 5.7
        for length in 0..70usize {
            let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let slow: Vec<u8> = plain.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
            let mut fast = plain.clone();
            apply(&mut fast, key);
            assert_eq!(fast, slow);
        }
    }

    #[test]
    fn keys_do_not_repeat() {
        let mut keys = Keys::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            seen.insert(keys.next().unwrap());
        }
        assert!(seen.len() > 990);
    }
}
