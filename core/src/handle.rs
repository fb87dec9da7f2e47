//! Handles: numbers that carry their kind, and the table that knows what they name.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::lock::RwLock;

/// The kinds, as the two low bits of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandleKind {
    Mailbox = 1,
    Connection = 2,
    Listener = 3,
}

/// The next serial number. It outlives a fork: a child goes on where its parent was.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that was never used before in this process or its parents.
pub(crate) fn new(kind: HandleKind) -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed) << 2 | kind as u64
}

/// The serial number that comes next.
pub(crate) fn next_serial() -> u64 {
    NEXT.load(Ordering::Relaxed)
}

/// The serial number of a handle of this kind, or None if it is none.
pub(crate) fn serial(handle: u64, kind: HandleKind) -> Option<u64> {
    (handle & 3 == kind as u64 && handle >> 2 != 0).then_some(handle >> 2)
}

/// Spreads serial numbers; they need no protection against crafted keys.
#[derive(Default)]
pub(crate) struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.write_u64(self.0 << 8 | u64::from(*b));
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type Shard<T> = RwLock<HashMap<u64, Arc<T>, BuildHasherDefault<SerialHasher>>>;

/// What the handles of one kind name.
pub(crate) struct Table<T>([Shard<T>; 16]);

impl<T> Table<T> {
    pub(crate) fn new() -> Table<T> {
        Table(std::array::from_fn(|_| RwLock::default()))
    }

    fn shard(&self, handle: u64) -> &Shard<T> {
        &self.0[(handle >> 2) as usize % 16]
    }

    pub(crate) fn insert(&self, handle: u64, object: Arc<T>) {
        let mut shard = self.shard(handle).write();
        shard.insert(handle, object);
    }

    /// Has a handle name another object. False if it names none.
    pub(crate) fn replace(&self, handle: u64, object: Arc<T>) -> bool {
        let mut shard = self.shard(handle).write();
        shard.get_mut(&handle).map(|place| *place = object).is_some()
    }

    pub(crate) fn get(&self, handle: u64) -> Option<Arc<T>> {
        let shard = self.shard(handle).read();
        shard.get(&handle).cloned()
    }

    /// Those for which this holds.
    pub(crate) fn select(&self, holds: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let mut selected = Vec::new();
        for shard in &self.0 {
            let shard = shard.read();
            selected.extend(shard.values().filter(|object| holds(object)).cloned());
        }
        selected
    }

    pub(crate) fn remove(&self, handle: u64) -> Option<Arc<T>> {
        let mut shard = self.shard(handle).write();
        shard.remove(&handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s35_a_handle_carries_its_kind_and_is_never_used_twice() {
        let a = new(HandleKind::Mailbox);
        let b = new(HandleKind::Connection);
        assert!(a < 1 << 53 && b < 1 << 53 && a >> 2 != b >> 2);
        assert!(serial(a, HandleKind::Mailbox).is_some());
        assert!(serial(a, HandleKind::Connection).is_none());
        for invented in [0, 1, 2, 3] {
            assert!(serial(invented, HandleKind::Mailbox).is_none());
        }
    }

    #[test]
    fn a_table_forgets_what_was_removed() {
        let table = Table::new();
        table.insert(9, Arc::new("a"));
        assert_eq!(table.get(9).as_deref(), Some(&"a"));
        assert_eq!(table.select(|object| *object == "a").len(), 1);
        assert!(table.select(|object| *object == "b").is_empty());
        assert!(table.replace(9, Arc::new("c")) && !table.replace(10, Arc::new("d")));
        assert_eq!(table.get(9).as_deref(), Some(&"c"));
        assert!(table.remove(9).is_some());
        assert!(table.get(9).is_none() && table.remove(9).is_none());
    }
}
