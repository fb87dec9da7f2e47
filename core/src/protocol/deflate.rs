//! Compression of messages (RFC 7692, 7.2): one payload in, one out. The trailing 00 00 ff ff is
//! neither written nor read.
//!
//! What it costs in memory, on a 64-bit machine:
//!
//! | window bits | compressing | inflated, kept |
//! |---|---|---|
//! | 8, 9 | 245 KiB | 0.5 KiB |
//! | 10 | 247 KiB | 1 KiB |
//! | 11 | 251 KiB | 2 KiB |
//! | 12 | 259 KiB | 4 KiB |
//! | 13 | 275 KiB | 8 KiB |
//! | 14 | 307 KiB | 16 KiB |
//! | 15 | 371 KiB | 32 KiB |
//!
//! With context takeover, each connection that has sent a compressed message keeps the first, and
//! one that has received some keeps at most the second: it grows with what came. Without takeover
//! nothing is kept. While a message is being inflated it costs 47 KiB more, whatever the window.

use flate2::{Compress, FlushCompress};

use super::extension::Window;
use crate::error::{Error, Kind, Result};

/// What a flush ends with, and what is left out on the wire (RFC 7692, 7.2.1).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A compressor without a connection. Connections without context takeover that share one, one
/// after the other, need not make theirs for each message.
#[derive(Default)]
pub(crate) struct Spare(Option<((u8, u8), Box<Compress>)>);

/// Compresses what one side sends.
pub(crate) struct Deflater {
    window: Window,
    level: u8,
    /// What earlier messages left behind; only with context takeover.
    stream: Option<Box<Compress>>,
}

impl Deflater {
    pub(crate) fn new(send: Window, level: u8) -> Deflater {
        // zlib has no window of 8 bits. Its window of 9 serves: it never refers farther back than
        // 262 bytes less than its window, 250 bytes.
        let window = Window { bits: send.bits.clamp(9, 15), ..send };
        Deflater { window, level: level.clamp(1, 9), stream: None }
    }

    /// Window bits and level.
    pub(super) fn setting(&self) -> (u8, u8) {
        (self.window.bits, self.level)
    }

    /// What follows does not refer to what was before.
    pub(super) fn reset(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.reset();
        }
    }

    /// Whether what follows a message may refer to it.
    pub(crate) fn takes_over(&self) -> bool {
        self.window.takeover
    }

    /// Appends the compressed payload of a whole message to `out`. With context takeover it must
    /// then be sent: what follows refers to it.
    pub(crate) fn message(&mut self, payload: &[u8], out: &mut Vec<u8>, spare: &mut Spare) -> Result<()> {
        if payload.is_empty() {
            out.push(0x00); // RFC 7692, 7.2.3.6
            return Ok(());
        }
        let start = out.len();
        self.fragment(payload, out, spare)?;
        let end = out.len().saturating_sub(TAIL.len());
        if end <= start || out[end..] != TAIL {
            out.truncate(start);
            self.stream = None;
            return Err(Error::new(Kind::Internal, "compress a message: no end of a block"));
        }
        out.truncate(end);
        self.end_fragments(spare);
        Ok(())
    }

    /// Appends the compressed payload of a part of a message, up to the end of a block.
    pub(super) fn fragment(&mut self, payload: &[u8], out: &mut Vec<u8>, spare: &mut Spare) -> Result<()> {
        let setting = self.setting();
        let mut stream = match (self.stream.take(), spare.0.take_if(|_| !self.window.takeover)) {
            (Some(stream), _) => stream,
            (None, Some((of, mut stream))) if of == setting => {
                stream.reset();
                stream
            }
            _ => {
                let level = flate2::Compression::new(self.level.into());
                Box::new(Compress::new_with_window_bits(level, false, self.window.bits))
            }
        };
        let start = out.len();
        if let Err(error) = compress(&mut stream, payload, out) {
            out.truncate(start);
            return Err(error);
        }
        self.stream = Some(stream);
        Ok(())
    }

    /// The message is complete: without context takeover, nothing is kept of it.
    pub(super) fn end_fragments(&mut self, spare: &mut Spare) {
        if !self.window.takeover
            && let Some(stream) = self.stream.take()
        {
            spare.0 = Some((self.setting(), stream));
        }
    }
}

fn compress(stream: &mut Compress, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let start = stream.total_in();
    loop {
        let taken = usize::try_from(stream.total_in() - start).unwrap_or(usize::MAX);
        let rest = payload.get(taken..).unwrap_or_default();
        // Room for a block's own bytes, so that most messages take one turn.
        out.reserve(rest.len() / 2 + 64);
        stream
            .compress_vec(rest, out, FlushCompress::Sync)
            .map_err(|e| Error::new(Kind::Internal, format!("compress a message: {e}")))?;
        if out.len() < out.capacity() {
            return Ok(());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::inflate::{History, InflateError, Inflater},
        *,
    };

    pub(crate) const MAX: usize = 1 << 20;
    pub(crate) const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    pub(crate) fn window(bits: u8, takeover: bool) -> Window {
        Window { bits, takeover }
    }

    pub(crate) fn inflate(
        inflater: &mut Inflater,
        bytes: &[u8],
        max: usize,
    ) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        inflater.feed(bytes, &mut out, max)?;
        inflater.finish(&mut out, max)?;
        Ok(out)
    }

    pub(crate) fn once(bytes: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
        inflate(&mut Inflater::new(window(15, false)), bytes, max)
    }

    pub(crate) fn deflate(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        deflater.message(payload, &mut out, &mut Spare::default()).unwrap();
        assert!(out.starts_with(b"before"));
        out.split_off(6)
    }

    /// Numbers that look random and are the same in each run.
    pub(crate) struct Random(pub u64);
    impl Random {
        pub(crate) fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % n
        }
        /// Words from an alphabet of some size, so that payloads range from noise to repetition.
        pub(crate) fn payload(&mut self, most: usize) -> Vec<u8> {
            let (length, letters) = (self.below(most + 1), [1, 2, 16, 256][self.below(4)]);
            let mut out: Vec<u8> = Vec::new();
            while out.len() < length {
                if out.is_empty() || self.below(3) > 0 {
                    out.push(self.below(letters) as u8);
                } else {
                    let (from, n) = (self.below(out.len()), self.below(300));
                    let end = (from + n).min(out.len());
                    out.extend_from_within(from..end);
                }
            }
            out.truncate(length);
            out
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_made() {
        let mut fresh = Deflater::new(window(15, false), 6);
        assert_eq!(deflate(&mut fresh, b"Hello"), HELLO);
        assert_eq!(deflate(&mut fresh, b"Hello"), HELLO);
        assert!(fresh.stream.is_none());
        let mut going_on = Deflater::new(window(15, true), 6);
        assert_eq!(deflate(&mut going_on, b"Hello"), HELLO);
        assert_eq!(deflate(&mut going_on, b"Hello"), [0xf2, 0x00, 0x11, 0x00, 0x00]);
        for deflater in [&mut fresh, &mut going_on] {
            assert_eq!(deflate(deflater, b""), [0x00]);
            assert_eq!(deflate(deflater, b""), [0x00]);
        }
    }

    #[test]
    fn round_trips_in_every_window_level_and_takeover_split_anywhere() {
        let mut random = Random(1);
        let mut spare = Spare::default();
        for (bits, level, takeover) in
            (8..=15).flat_map(|b| [1, 2, 6, 9].into_iter().flat_map(move |l| [(b, l, true), (b, l, false)]))
        {
            let mut deflater = Deflater::new(window(bits, takeover), level);
            let mut inflater = Inflater::new(window(bits, takeover));
            for round in 0..16 {
                let payload = random.payload([3, 40, 3000, 70_000][if round == 0 { 3 } else { round % 3 }]);
                let mut bytes = Vec::new();
                deflater.message(&payload, &mut bytes, &mut spare).unwrap();
                let mut out = Vec::new();
                let step = 1 + random.below(bytes.len());
                for part in bytes.chunks(step) {
                    inflater.feed(part, &mut out, payload.len()).unwrap();
                }
                inflater.finish(&mut out, payload.len()).unwrap();
                assert!(out == payload, "bits {bits} level {level} takeover {takeover} round {round}");
            }
            assert_eq!((deflater.stream.is_some(), inflater.history.bytes.is_empty()), (takeover, !takeover));
            assert!(inflater.stream.is_none());
            assert!(inflater.history.bytes.capacity() <= 1 << bits.max(9));
        }
    }

    #[test]
    fn a_split_at_every_byte_changes_nothing() {
        let mut random = Random(2);
        let payloads: Vec<_> = (0..4).map(|_| random.payload(400)).collect();
        let mut deflater = Deflater::new(window(15, true), 6);
        let messages: Vec<_> = payloads.iter().map(|p| deflate(&mut deflater, p)).collect();
        for at in 0..=messages.iter().map(Vec::len).max().unwrap() {
            let mut inflater = Inflater::new(window(15, true));
            for (message, payload) in messages.iter().zip(&payloads) {
                let (a, b) = message.split_at(at.min(message.len()));
                let mut out = Vec::new();
                inflater.feed(a, &mut out, MAX).unwrap();
                inflater.feed(b, &mut out, MAX).unwrap();
                inflater.finish(&mut out, MAX).unwrap();
                assert_eq!(&out, payload);
            }
        }
    }

    #[test]
    fn what_fills_its_buffer_exactly_is_flushed_once_more_and_no_worse() {
        let payload = Random(3).payload(5000);
        for spare_room in 0..200 {
            let mut out = Vec::with_capacity(2500 + spare_room);
            Deflater::new(window(15, false), 6).message(&payload, &mut out, &mut Spare::default()).unwrap();
            assert_eq!(once(&out, MAX).unwrap(), payload);
        }
    }

    #[test]
    fn a_window_of_8_bits_is_never_exceeded() {
        let mut random = Random(4);
        for level in 1..=9 {
            let mut deflater = Deflater::new(window(8, true), level);
            let mut inflater = Inflater::new(window(8, true));
            for _ in 0..1500 {
                // Small messages: what lies before one is cut to 256 bytes, so little more is in reach.
                let payload: Vec<u8> = (0..4).map(|_| random.below(3) as u8).collect();
                let bytes = deflate(&mut deflater, &payload);
                assert_eq!(inflate(&mut inflater, &bytes, MAX).unwrap(), payload);
                inflater.history = keep(&inflater.history, 256);
            }
        }
    }

    fn keep(history: &History, most: usize) -> History {
        let (older, newer) = history.halves();
        let all = [older, newer].concat();
        History { bytes: all[all.len().saturating_sub(most)..].to_vec(), oldest: 0 }
    }

    #[test]
    fn a_spare_compressor_carries_nothing_over() {
        let mut spare = Spare::default();
        let mut random = Random(6);
        for (bits, level) in [(15, 6), (15, 6), (9, 6), (9, 1), (15, 1), (15, 1)] {
            let payload = random.payload(2000);
            let mut out = Vec::new();
            Deflater::new(window(bits, false), level).message(&payload, &mut out, &mut spare).unwrap();
            assert_eq!(out, deflate(&mut Deflater::new(window(bits, false), level), &payload));
            assert_eq!(spare.0.as_ref().unwrap().0, (bits, level));
        }
        let mut going_on = Deflater::new(window(9, true), 1);
        going_on.message(b"Hello", &mut Vec::new(), &mut spare).unwrap();
        assert_eq!(spare.0.as_ref().unwrap().0, (15, 1));
    }

    #[test]
    fn both_halves_are_small_when_idle_and_go_between_threads() {
        fn check<T: Send>(most: usize) {
            assert!(size_of::<T>() <= most);
        }
        check::<Deflater>(16);
        check::<Inflater>(64);
        check::<Spare>(16);
    }
}
