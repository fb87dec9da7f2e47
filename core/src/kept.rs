//! Messages that were accepted and cannot be encoded yet.

use std::{collections::VecDeque, sync::Arc};

use crate::{limits, protocol::MessageKind};

/// A message that waits to be encoded.
pub(crate) struct Waiting {
    pub kind: MessageKind,
    pub payload: Arc<[u8]>,
    pub compress: bool,
}

/// Messages in the order in which they were accepted.
#[derive(Default)]
pub(crate) struct Kept {
    messages: VecDeque<Waiting>,
    size: u64,
}

fn cost(payload: &[u8]) -> u64 {
    (payload.len() + limits::MESSAGE_COST) as u64
}

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a message has room beside the others.
    pub(crate) fn has_room(&self, most: u64, payload: &[u8]) -> bool {
        self.size + cost(payload) <= most
    }

    pub(crate) fn push(&mut self, message: Waiting) {
        self.size += cost(&message.payload);
        self.messages.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let message = self.messages.pop_front()?;
        self.size -= cost(&message.payload);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_counted() {
        let mut kept = Kept::default();
        for payload in [b"0123456789".as_slice(), b""] {
            assert!(kept.has_room(200, payload));
            kept.push(Waiting { kind: MessageKind::Text, payload: payload.into(), compress: true });
        }
        assert!(!kept.has_room(200, b"") && kept.has_room(202, b""));
        assert_eq!(&*kept.pop().unwrap().payload, b"0123456789");
        assert!(kept.has_room(200, b"") && kept.pop().is_some() && kept.pop().is_none() && kept.is_empty());
    }
}
