//! Inflation of messages (RFC 7692, 7.2.2), bounded while it runs. `deflate.rs` says what it costs.

use flate2::{Decompress, FlushDecompress, Status};

use super::{deflate::TAIL, extension::Window};
use crate::limits;

/// A last block without content.
const EMPTY_FINAL_BLOCK: [u8; 2] = [0x03, 0x00];
/// Deflate refers no farther back.
const FARTHEST: usize = 32 * 1024;

/// Why a message can't be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It is larger than it may be.
    TooBig,
    /// It is not of the format, or refers to what was never sent.
    Corrupt,
    /// It restarts more often than any compressor would.
    FinalBlocks,
}

impl InflateError {
    /// The code to close with (RFC 6455, 7.4.1); RFC 7692 has none of its own.
    pub(crate) fn code(self) -> u16 {
        match self {
            InflateError::TooBig => 1009,
            InflateError::Corrupt => 1007,
            InflateError::FinalBlocks => 1008,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            InflateError::TooBig => "message too big when inflated",
            InflateError::Corrupt => "compressed message is corrupt",
            InflateError::FinalBlocks => "compressed message has too many final blocks",
        }
    }
}

/// Inflates what one side receives. After an error it is of no more use.
///
/// Each message has a stream of its own that begins with what is kept of the earlier ones. So a
/// message that ends within a block can be told, and does not spoil the next; and an idle
/// connection keeps a window and nothing else.
pub(crate) struct Inflater {
    window: Window,
    pub(super) history: History,
    /// The stream of the message at hand, until its final block if it has one.
    pub(super) stream: Option<Box<Decompress>>,
    /// The compressed bytes of the message at hand.
    taken: usize,
    final_blocks: usize,
}

impl Inflater {
    pub(crate) fn new(receive: Window) -> Inflater {
        Inflater { window: receive, history: History::default(), stream: None, taken: 0, final_blocks: 0 }
    }

    /// Inflates some more of a message and appends it to `out`, which holds the message from its
    /// first byte on, or what follows the part that was `passed_on`, and never grows beyond `max`
    /// bytes. The bytes may end anywhere.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), InflateError> {
        self.taken = self.taken.saturating_add(bytes.len());
        // A full buffer may have left something in the stream.
        let mut full = false;
        while !bytes.is_empty() || full {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => self.start(out)?,
            };
            let before = (stream.total_in(), out.len());
            grow(out, bytes.len(), max);
            let status = stream.decompress_vec(bytes, out, FlushDecompress::None);
            if out.len() > max {
                out.truncate(max);
                return Err(InflateError::TooBig);
            }
            let status = status.map_err(|_| InflateError::Corrupt)?;
            let taken = usize::try_from(stream.total_in() - before.0).unwrap_or(usize::MAX);
            bytes = bytes.get(taken..).unwrap_or_default();
            full = out.len() == out.capacity() && out.len() > before.1;
            if status == Status::StreamEnd {
                self.final_blocks += 1;
                full = false;
                continue;
            }
            self.stream = Some(stream);
            if taken == 0 && out.len() == before.1 && !bytes.is_empty() {
                return Err(InflateError::Corrupt);
            }
        }
        Ok(())
    }

    /// Ends a message, whose last bytes may be appended to `out` now. Without context takeover,
    /// nothing is kept of it.
    ///
    /// A message without a single byte passes as an empty one, and so does one that ends with a
    /// final block and lacks the empty block after it (RFC 7692, 7.2.3.4): what they mean is clear.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, max: usize) -> Result<(), InflateError> {
        if self.stream.is_some() {
            self.feed(&TAIL, out, max)?;
            // Only between two blocks does this end the stream.
            let blocks = self.final_blocks;
            let length = out.len();
            self.feed(&EMPTY_FINAL_BLOCK, out, max)?;
            if self.final_blocks != blocks + 1 || self.stream.is_some() || out.len() != length {
                return Err(InflateError::Corrupt);
            }
        }
        if self.window.takeover {
            self.passed_on(out);
        } else {
            self.history = History::default();
        }
        (self.stream, self.taken, self.final_blocks) = (None, 0, 0);
        Ok(())
    }

    /// What was inflated is not in `out` any more: from now on it counts as what came before.
    pub(crate) fn passed_on(&mut self, part: &[u8]) {
        self.history.append(part, 1 << self.window.bits.clamp(9, 15));
    }

    /// The stream after what was inflated so far, as context takeover and final blocks want it: the
    /// window goes on (RFC 7692, 7.2.2).
    fn start(&self, message: &[u8]) -> Result<Box<Decompress>, InflateError> {
        if self.final_blocks > limits::FREE_FINAL_BLOCKS + self.taken / limits::FINAL_BLOCK_BYTES {
            return Err(InflateError::FinalBlocks);
        }
        let mut stream = Box::new(Decompress::new(false));
        let message = &message[message.len().saturating_sub(FARTHEST)..];
        // What a long message pushes out of the window need not be copied.
        let (older, newer) =
            if message.len() < FARTHEST { self.history.halves() } else { (&[][..], &[][..]) };
        for part in [older, newer, message] {
            stream.set_dictionary(part).map_err(|_| InflateError::Corrupt)?;
        }
        Ok(stream)
    }
}

/// Makes room in `out` if it has none, but no more than it takes to see that it passes `max`.
fn grow(out: &mut Vec<u8>, compressed: usize, max: usize) {
    if out.len() == out.capacity() {
        let step = compressed.saturating_mul(4).clamp(256, limits::INFLATE_STEP).max(out.len());
        let most = max.saturating_add(1).saturating_sub(out.len());
        out.reserve_exact(step.min(most));
    }
}

/// The last bytes that were inflated: a ring, once it is full.
#[derive(Default)]
pub(super) struct History {
    pub bytes: Vec<u8>,
    /// Where the oldest byte is.
    pub oldest: usize,
}

impl History {
    /// Both parts of it, the older one first.
    pub fn halves(&self) -> (&[u8], &[u8]) {
        let (newer, older) = self.bytes.split_at(self.oldest);
        (older, newer)
    }

    /// Appends a message and forgets what is more than `most` bytes, the same in each call.
    fn append(&mut self, message: &[u8], most: usize) {
        let mut message = &message[message.len().saturating_sub(most)..];
        let free = most.saturating_sub(self.bytes.len());
        if free > 0 {
            let (first, rest) = message.split_at(free.min(message.len()));
            let length = self.bytes.len() + first.len();
            if length > self.bytes.capacity() {
                // At most twice what is in use, and never more than the window.
                self.bytes.reserve_exact(length.next_power_of_two().min(most) - self.bytes.len());
            }
            self.bytes.extend_from_slice(first);
            message = rest;
        }
        while !message.is_empty() {
            let length = message.len().min(self.bytes.len() - self.oldest);
            let (first, rest) = message.split_at(length);
            self.bytes[self.oldest..][..length].copy_from_slice(first);
            self.oldest = (self.oldest + length) % self.bytes.len();
            message = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::deflate::tests::*, *};
    use crate::protocol::deflate::Deflater;

    #[test]
    fn the_examples_of_the_rfc_are_inflated() {
        let mut fresh = Inflater::new(window(15, false));
        for bytes in [
            &HELLO[..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], // 7.2.3.3
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],                   // 7.2.3.4
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], // 7.2.3.5
        ] {
            assert_eq!(inflate(&mut fresh, bytes, MAX).unwrap(), b"Hello");
        }
        assert_eq!(inflate(&mut fresh, &[0x00], MAX).unwrap(), b""); // 7.2.3.6
        let mut going_on = Inflater::new(window(15, true));
        assert_eq!(inflate(&mut going_on, &HELLO, MAX).unwrap(), b"Hello");
        assert_eq!(inflate(&mut going_on, &[0xf2, 0x00, 0x11, 0x00, 0x00], MAX).unwrap(), b"Hello"); // 7.2.3.2
        assert_eq!(inflate(&mut fresh, &[0xf2, 0x00, 0x11, 0x00, 0x00], MAX), Err(InflateError::Corrupt));
    }

    #[test]
    fn final_blocks_end_the_stream_and_the_window_goes_on() {
        // Hello, final; then a reference five bytes back, across the final block (7.2.1, 7.2.2).
        let parts =
            [&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x00, 0x11, 0x00, 0x00]].concat();
        assert_eq!(once(&parts, MAX).unwrap(), b"HelloHello");
        // The same across messages, and with the empty block after the final one left out.
        let mut inflater = Inflater::new(window(9, true));
        assert_eq!(inflate(&mut inflater, &parts[..7], MAX).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &parts[7..], MAX).unwrap(), b"Hello");
        // Byte by byte, twice final.
        let twice = [&parts[..7], &parts[..7], &HELLO].concat();
        let mut out = Vec::new();
        for byte in twice {
            inflater.feed(&[byte], &mut out, MAX).unwrap();
        }
        inflater.finish(&mut out, MAX).unwrap();
        assert_eq!(out, b"HelloHelloHello");
    }

    #[test]
    fn final_blocks_are_bounded_by_what_was_sent() {
        let empty = EMPTY_FINAL_BLOCK.repeat(limits::FREE_FINAL_BLOCKS);
        assert_eq!(once(&[&empty[..], &[0]].concat(), MAX).unwrap(), b"");
        let many = EMPTY_FINAL_BLOCK.repeat(500_000);
        let mut inflater = Inflater::new(window(15, true));
        for part in many.chunks(1000) {
            if let Err(error) = inflater.feed(part, &mut Vec::new(), MAX) {
                assert_eq!((error, error.code()), (InflateError::FinalBlocks, 1008));
                assert!(inflater.final_blocks < 10);
                return;
            }
        }
        panic!("never refused");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 4 * MAX];
        let bomb = deflate(&mut Deflater::new(window(15, false), 9), &zeros);
        assert!(bomb.len() < zeros.len() / 900);
        for max in [0, 1, 1000, MAX] {
            let mut out = Vec::new();
            let mut inflater = Inflater::new(window(15, false));
            let error = inflater.feed(&bomb, &mut out, max).unwrap_err();
            assert_eq!((error, error.code()), (InflateError::TooBig, 1009));
            assert_eq!(out.len(), max);
            assert!(out.capacity() <= max + 1);
        }
        assert_eq!(once(&bomb, zeros.len()).unwrap().len(), zeros.len());
    }

    #[test]
    fn what_is_too_big_and_corrupt_as_well_is_cut_off_too() {
        for max in [0, 1, 2] {
            let mut out = Vec::new();
            // The letter a three times, then a symbol that there is not.
            let bytes = [0x4b, 0x4c, 0x4c, 0x1c, 0x03];
            let error = Inflater::new(window(15, true)).feed(&bytes, &mut out, max).unwrap_err();
            assert_eq!((error, out.len()), (InflateError::TooBig, max));
        }
    }

    #[test]
    fn a_bomb_spread_over_messages_leaves_no_more_than_the_window() {
        let mut deflater = Deflater::new(window(15, true), 1);
        let mut inflater = Inflater::new(window(15, true));
        let zeros = vec![0; MAX];
        for _ in 0..8 {
            let bytes = deflate(&mut deflater, &zeros);
            assert_eq!(inflate(&mut inflater, &bytes, MAX).unwrap(), zeros);
            assert_eq!(inflate(&mut inflater, &[], MAX).unwrap(), b"");
            assert!(inflater.stream.is_none() && inflater.history.bytes.capacity() == 32 * 1024);
        }
        let over = deflate(&mut deflater, &vec![0; MAX + 1]);
        assert_eq!(inflate(&mut inflater, &over, MAX), Err(InflateError::TooBig));
    }

    #[test]
    fn the_limit_is_exact_and_memory_follows_what_came() {
        for length in [0, 1, 255, 256, 257, 4096, 100_000] {
            let payload: Vec<u8> = (0..length).map(|i| (i * i / 7) as u8).collect();
            let bytes = deflate(&mut Deflater::new(window(15, false), 6), &payload);
            assert_eq!(once(&bytes, length).unwrap(), payload);
            if length > 0 {
                assert_eq!(once(&bytes, length - 1), Err(InflateError::TooBig));
            }
            let mut out = Vec::new();
            Inflater::new(window(15, false)).feed(&bytes, &mut out, 1 << 30).unwrap();
            assert!(out.capacity() <= 2 * length + limits::INFLATE_STEP, "{} for {length}", out.capacity());
        }
    }

    #[test]
    fn messages_that_are_corrupt_or_end_within_a_block_fail() {
        let mut random = Random(5);
        for bytes in [
            &[0x06][..],                           // a block of the reserved type
            &[0x00, 0x05, 0x00, 0x00, 0x00, 0x41], // a stored block whose lengths differ
            &HELLO[..4],
            &[0xf2],
            &[0x00, 0x06, 0x00, 0xf9, 0xff, 0x48],
            &[0x00, 0x00],
        ] {
            let mut inflater = Inflater::new(window(15, true));
            assert_eq!(inflate(&mut inflater, bytes, MAX), Err(InflateError::Corrupt), "{bytes:?}");
        }
        assert_eq!(InflateError::Corrupt.code(), 1007);
        // Noise ends somehow, within the limit.
        for _ in 0..5000 {
            let noise: Vec<u8> = (0..random.below(60)).map(|_| random.below(256) as u8).collect();
            let mut inflater = Inflater::new(window(12, true));
            let mut out = Vec::new();
            for _ in 0..20 {
                if inflater.feed(&noise, &mut out, 5000).is_err() || inflater.finish(&mut out, 5000).is_err()
                {
                    break;
                }
            }
            assert!(out.len() <= 5000);
        }
    }

    #[test]
    fn a_message_without_a_byte_is_empty_and_spoils_nothing() {
        let mut inflater = Inflater::new(window(15, true));
        assert_eq!(inflate(&mut inflater, &HELLO, MAX).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &[], MAX).unwrap(), b"");
        assert_eq!(inflate(&mut inflater, &[0xf2, 0x00, 0x11, 0x00, 0x00], MAX).unwrap(), b"Hello");
    }
}
