//! Buffers for payloads that are used again: what a guest has released serves the messages that
//! come next, without a lock or an allocation for each.

use std::{
    mem,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{limits, lock::Mutex};

const SMALLEST: usize = 64;
/// Sizes between a power of two and the next.
const STEPS: usize = 4;

const PAGE: usize = 4096;
/// Where a large buffer begins in a page that the allocator got for it alone. Loopback keeps a large frame
/// from the start of a page on, so that its payload lies up to 14 bytes into one; and a copy by `rep movsb`
/// to up to 15 bytes behind its source, pages apart or not, takes some processors sixteen times as long.
/// What is given back comes from the middle of a page the next time.
const UNLUCKY: usize = 16;

/// The class of buffers for this many bytes, and what each of them holds: at most a quarter more,
/// from `SMALLEST` on.
fn class(length: usize) -> Option<(usize, usize)> {
    if length == 0 || length > limits::LARGEST_BUFFER {
        return None;
    }
    let last = length.max(SMALLEST) - 1;
    let power = last.ilog2() as usize;
    let step = power - STEPS.ilog2() as usize;
    let count = (last >> step) + 1;
    let first = (SMALLEST - 1).ilog2() as usize * STEPS + STEPS - 1;
    Some((power * STEPS + count - 1 - STEPS - first, count << step))
}

/// The buffers at hand, by class.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    classes: Vec<Vec<Vec<u8>>>,
    size: usize,
    /// Those that have just come back.
    returned: Vec<Vec<u8>>,
}

impl Stock {
    /// A copy of these bytes in memory of its own.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.room(bytes.len());
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// An empty buffer for so many bytes.
    #[inline(always)] // for each message
    pub(crate) fn room(&mut self, length: usize) -> Vec<u8> {
        let Some((class, capacity)) = class(length) else { return Vec::with_capacity(length) };
        match self.classes.get_mut(class).and_then(Vec::pop) {
            Some(buffer) => {
                self.size -= capacity;
                buffer
            }
            None => Vec::with_capacity(capacity),
        }
    }

    /// Takes a buffer, as far as it is worth keeping.
    pub(crate) fn add(&mut self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        if let Some((class, capacity)) = class(size)
            && capacity == size
            && self.size + size <= limits::BUFFERS
            && (size < limits::IN_PLACE || buffer.as_ptr() as usize % PAGE != UNLUCKY)
        {
            if self.classes.len() <= class {
                self.classes.resize_with(class + 1, Vec::new);
            }
            buffer.clear();
            self.classes[class].push(buffer);
            self.size += size;
        }
    }
}

/// The way back from the guests' threads.
#[derive(Default)]
pub(crate) struct Returned {
    buffers: Mutex<Vec<Vec<u8>>>,
    size: AtomicUsize,
}

impl Returned {
    /// Takes buffers back, as far as they are worth keeping.
    pub(crate) fn take(&self, buffers: impl Iterator<Item = Vec<u8>>) {
        let mut kept = self.buffers.lock();
        let mut size = self.size.load(Ordering::Relaxed);
        for buffer in buffers {
            if buffer.capacity() <= limits::LARGEST_BUFFER && size + buffer.capacity() <= limits::BUFFERS {
                size += buffer.capacity();
                kept.push(buffer);
            }
        }
        self.size.store(size, Ordering::Relaxed);
    }

    /// Hands over what has come back, unless somebody is at it just now.
    pub(crate) fn restock(&self, stock: &mut Stock) {
        if self.size.load(Ordering::Relaxed) == 0 {
            return;
        }
        let Some(mut kept) = self.buffers.try_lock() else { return };
        mem::swap(&mut *kept, &mut stock.returned);
        self.size.store(0, Ordering::Relaxed);
        drop(kept);
        let mut returned = mem::take(&mut stock.returned);
        for buffer in returned.drain(..) {
            stock.add(buffer);
        }
        stock.returned = returned;
    }
}

/// Out-buffers for much that are used again, of one mailbox: given back to the system after each batch, all
/// of their pages would be had anew.
#[derive(Default)]
pub(crate) struct OutBuffers(Mutex<Vec<Vec<u8>>>);

impl OutBuffers {
    /// An empty one, made where none is at hand and it is `needed`.
    pub(crate) fn get(&self, needed: bool) -> Option<Vec<u8>> {
        let kept = self.0.lock().pop();
        kept.or_else(|| needed.then(|| Vec::with_capacity(limits::OUT_BUFFER)))
    }

    /// Takes one back that holds nothing of use, as far as it is worth keeping.
    pub(crate) fn put(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.lock();
        if buffer.capacity() == limits::OUT_BUFFER && kept.len() < limits::OUT_BUFFERS {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_order_and_waste_little() {
        let mut before = (0, SMALLEST);
        for length in 1..=limits::LARGEST_BUFFER {
            let (index, capacity) = class(length).unwrap();
            assert!(capacity >= length && (capacity <= SMALLEST || capacity * 4 <= length * 5), "{length}");
            assert_eq!(class(capacity), Some((index, capacity)));
            assert!((index, capacity) == before || index == before.0 + 1 && capacity > before.1, "{length}");
            before = (index, capacity);
        }
        assert_eq!((class(0), class(limits::LARGEST_BUFFER + 1)), (None, None));
    }

    #[test]
    fn what_comes_back_is_used_again() {
        let (mut stock, returned) = (Stock::default(), Returned::default());
        let first = stock.copy(&[1; 1000]);
        let place = first.as_ptr();
        returned.take([first].into_iter());
        returned.restock(&mut stock);
        let other = stock.copy(&[2; 100]);
        assert!(other.as_ptr() != place && other == [2; 100]);
        let again = stock.copy(&[3; 990]);
        assert!(again.as_ptr() == place && again == [3; 990]);
        assert_eq!(stock.size, 0);
    }

    #[test]
    fn out_buffers_are_used_again_and_no_more_are_kept_than_the_limit() {
        let outs = OutBuffers::default();
        assert!(outs.get(false).is_none());
        let mut first = outs.get(true).unwrap();
        first.push(1);
        let place = first.as_ptr();
        outs.put(first);
        let again = outs.get(false).unwrap();
        assert!(again.as_ptr() == place && again.is_empty());
        outs.put(Vec::with_capacity(limits::OUT_BUFFER + 1));
        (0..2 * limits::OUT_BUFFERS).for_each(|_| outs.put(Vec::with_capacity(limits::OUT_BUFFER)));
        assert_eq!(outs.0.lock().len(), limits::OUT_BUFFERS);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut stock, returned) = (Stock::default(), Returned::default());
        for _ in 0..3 {
            returned.take((0..500).map(|_| Vec::with_capacity(8 * 1024)));
            assert_eq!(returned.size.load(Ordering::Relaxed), limits::BUFFERS);
            returned.restock(&mut stock);
            assert_eq!(stock.size, limits::BUFFERS);
        }
        returned.take([Vec::with_capacity(limits::LARGEST_BUFFER + 1)].into_iter());
        assert_eq!(returned.size.load(Ordering::Relaxed), 0);
    }
}
