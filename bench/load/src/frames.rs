//! What is sent: frames that are complete, masked and compressed before the run.

use flate2::{Compress, Compression, FlushCompress};

/// The least that all frames of a [`Supply`] have together. It stays in the cache.
const SUPPLY: usize = 64 * 1024;

/// Pseudorandom numbers (xorshift64): the same in each run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Adds a frame as a client sends it (RFC 6455, section 5.2); `first` has FIN, RSV1 and the opcode.
pub fn add_frame(out: &mut Vec<u8>, first: u8, payload: &[u8], random: &mut Random) {
    out.push(first);
    match payload.len() {
        n @ 0..126 => out.push(0x80 | n as u8),
        n @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    let key = (random.next() as u32).to_le_bytes();
    out.extend(key);
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
}

/// The frames that every connection sends, over and over.
pub struct Supply {
    bytes: Vec<u8>,
    /// Where each frame ends in `bytes`.
    ends: Vec<usize>,
    /// What the first of them says.
    pub first: Vec<u8>,
}

impl Supply {
    pub fn new(size: usize, text: bool, compress: bool) -> Supply {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut supply = Supply { bytes: Vec::new(), ends: Vec::new(), first: Vec::new() };
        let opcode = if text { 1 } else { 2 };
        for i in 0..(SUPPLY / (size + 14)).clamp(4, 4096) {
            let payload = payload(size, text || compress, &mut random);
            if compress {
                add_frame(&mut supply.bytes, 0xc0 | opcode, &deflate(&payload), &mut random);
            } else {
                add_frame(&mut supply.bytes, 0x80 | opcode, &payload, &mut random);
            }
            supply.ends.push(supply.bytes.len());
            if i == 0 {
                supply.first = payload;
            }
        }
        supply
    }

    /// What is left to send: `place` says how far into which message a connection is; whole laps count.
    pub fn next(&self, place: &Place, target: u64) -> &[u8] {
        let frames = self.ends.len() as u64;
        let lap = place.message - place.message % frames;
        let last = (target - lap).min(frames) as usize;
        if last == 0 || place.message >= target {
            &[]
        } else {
            &self.bytes[place.offset..self.ends[last - 1]]
        }
    }

    /// `n` more bytes have gone: how many messages are whole with them.
    pub fn advance(&self, place: &mut Place, n: usize) -> u64 {
        let before = place.message;
        let (lap, mut index) = (self.bytes.len(), (before % self.ends.len() as u64) as usize);
        place.offset += n;
        loop {
            if self.ends[index] > place.offset {
                return place.message - before;
            }
            place.message += 1;
            index += 1;
            if index == self.ends.len() {
                index = 0;
                place.offset -= lap;
            }
        }
    }

    /// Whether a control frame may be put here.
    pub fn is_between(&self, place: &Place) -> bool {
        place.offset == 0 || self.ends.binary_search(&place.offset).is_ok()
    }
}

/// How much of a [`Supply`] has been sent.
#[derive(Default)]
pub struct Place {
    /// Messages that are gone whole.
    pub message: u64,
    /// In the bytes of the supply.
    offset: usize,
}

/// Text is words, so that it can be compressed, with a character of more than one byte now and then.
fn payload(size: usize, text: bool, random: &mut Random) -> Vec<u8> {
    const WORDS: [&str; 8] =
        ["price", "\"bid\": 1.0", "socket ", "42, ", "\u{4e2d}\u{6587}", "caf\u{e9} ", "{id: ", "0"];
    let mut payload = Vec::with_capacity(size);
    while payload.len() < size {
        if text {
            let word = WORDS[(random.next() >> 32) as usize % WORDS.len()].as_bytes();
            if payload.len() + word.len() <= size {
                payload.extend(word);
            } else {
                payload.push(b'.');
            }
        } else {
            payload.push((random.next() >> 24) as u8);
        }
    }
    payload
}

/// A message that refers to none before it (RFC 7692, section 7.2.1).
fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 128);
    Compress::new(Compression::default(), false)
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .expect("there is room for it");
    assert!(out.ends_with(&[0, 0, 255, 255]));
    out.truncate(out.len() - 4);
    out
}
