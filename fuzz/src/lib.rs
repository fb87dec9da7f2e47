//! What the targets share: reading their input, feeding a decoder in pieces, counting memory.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use coromega_ws_core::{MessageKind, fuzzing::Decoding};

/// An input: the first bytes steer, the rest is what the target is about.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// So many of the next bytes, or what there is.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (first, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        first
    }

    /// Bits of a window, 8 to 15, and whether there is context takeover.
    pub fn direction(&mut self) -> (u8, bool) {
        let byte = self.byte();
        (8 + (byte & 7), byte & 8 != 0)
    }
}

/// How a stream is cut into reads.
pub enum Cuts<'a> {
    /// All at once.
    Whole,
    /// In two, at this place.
    At(usize),
    /// Byte by byte.
    Bytes,
    /// Into pieces of so many bytes and one more, over and over. A number of 200 and more stands
    /// for the same piece, 64 times as long.
    Pieces(&'a [u8]),
}

impl Cuts<'_> {
    fn next(&self, turn: usize) -> usize {
        match *self {
            Cuts::Whole => usize::MAX,
            Cuts::At(at) => {
                if turn == 0 {
                    at
                } else {
                    usize::MAX
                }
            }
            Cuts::Bytes | Cuts::Pieces([]) => 1,
            Cuts::Pieces(sizes) => {
                let size = usize::from(sizes[turn % sizes.len()]);
                if size >= 200 { 64 * (size - 199) } else { 1 + size }
            }
        }
    }
}

/// Feeds a stream in pieces, as a connection reads: `in_place` where that can be, and messages are
/// taken away where they are `enough`. Checks what holds for every stream.
pub fn feed(decoding: &mut Decoding, stream: &[u8], cuts: &Cuts<'_>, in_place: bool, enough: usize) {
    let mut rest = stream;
    let mut turn = 0;
    while !rest.is_empty() && !decoding.has_ended() {
        let (piece, later) = rest.split_at(cuts.next(turn).min(rest.len()));
        (rest, turn) = (later, turn + 1);
        let mut piece = piece.to_vec();
        let mut bytes = &mut piece[..];
        while !bytes.is_empty() && !decoding.has_ended() {
            let placed = if in_place { decoding.feed_in_place(bytes) } else { 0 };
            if placed > 0 {
                bytes = &mut bytes[placed..];
                continue;
            }
            let had = decoding.messages.len();
            let taken = decoding.feed(bytes, enough);
            let new = &decoding.messages[had..];
            // What comes before the last message is not yet enough, but for the first, of which some
            // may have come before.
            let between = new.get(1..new.len().max(2) - 1).unwrap_or_default();
            assert!(between.iter().map(|m| m.payload.len() + 64).sum::<usize>() <= enough);
            assert!(taken > 0, "no progress");
            bytes = &mut bytes[taken..];
        }
    }
    for message in &decoding.messages {
        assert!(message.kind == MessageKind::Binary || str::from_utf8(&message.payload).is_ok());
    }
    if let Some((code, _)) = decoding.violation {
        assert!(matches!(code, 1002 | 1007..=1009), "{code}");
    }
}

/// Counts what Rust code has allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn add(size: usize) {
    PEAK.fetch_max(NOW.fetch_add(size, Relaxed) + size, Relaxed);
}

// SAFETY: all is left to the system's allocator, and counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were allocated at one time while this ran, beside those from before.
pub fn peak_of(run: impl FnOnce()) -> usize {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    run();
    PEAK.load(Relaxed) - before
}
