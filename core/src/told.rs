//! What a connection is called in its mailbox, and the kinds of events that wait there under that
//! name: one word, because both change when it moves.

use std::sync::atomic::Ordering;

use crate::{event::EventKind, sync::AtomicU64};

/// The handle, above a bit for each kind. Handles have 53 bits.
pub(crate) struct Told(AtomicU64);

const KINDS: u32 = 11;

fn bit(kind: EventKind) -> u64 {
    1 << kind as u32
}

impl Told {
    pub(crate) fn new(handle: u64) -> Told {
        Told(AtomicU64::new(handle << KINDS))
    }

    pub(crate) fn handle(&self) -> u64 {
        self.0.load(Ordering::Acquire) >> KINDS
    }

    /// It has another handle from now on; no event waits under it.
    pub(crate) fn rename(&self, handle: u64) {
        self.0.swap(handle << KINDS, Ordering::AcqRel);
    }

    /// The handle under which an event of this kind is to be queued; None if one waits already.
    pub(crate) fn tell(&self, kind: EventKind) -> Option<u64> {
        let word = self.0.fetch_or(bit(kind), Ordering::AcqRel);
        (word & bit(kind) == 0).then_some(word >> KINDS)
    }

    /// An event has been heard: the next of its kind is news. False if it was told under another
    /// handle than this.
    pub(crate) fn heard(&self, kind: EventKind, handle: u64) -> bool {
        let without = |word| (word >> KINDS == handle).then_some(word & !bit(kind));
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, without).is_ok()
    }

    /// Whether an event of any kind waits.
    #[cfg(modelled)]
    pub(crate) fn waits(&self) -> bool {
        self.0.load(Ordering::Acquire) & ((1 << KINDS) - 1) != 0
    }
}
