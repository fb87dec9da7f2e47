//! What a connection has received and nobody has taken yet.

use std::collections::VecDeque;

use crate::{counters::Traffic, limits, protocol::Message};

/// Messages in the order they came. Reading pauses while it is over its limit.
#[derive(Default)]
pub(crate) struct Inbox {
    messages: VecDeque<Message>,
    size: usize,
    /// What was ever put in here.
    pub received: Traffic,
    /// It has been open.
    pub opened: bool,
    /// The guest knows the connection: events may be told.
    pub announced: bool,
    /// A message did not fit any more: none goes in behind it.
    pub is_cut_off: bool,
    /// Nothing more will come.
    pub ended: bool,
}

fn cost(message: &Message) -> usize {
    message.payload.len() + limits::MESSAGE_COST
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Each message as its length + 64.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.size += cost(&message);
        self.received.add_fragment(message.payload.len(), message.fin);
        self.messages.push_back(message);
    }

    /// Puts a message back that was popped.
    pub(crate) fn push_front(&mut self, message: Message) {
        self.size += cost(&message);
        self.messages.push_front(message);
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.size -= cost(&message);
        if self.messages.is_empty() && self.messages.capacity() > 64 {
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    /// Takes what another one holds.
    pub(crate) fn take_over(&mut self, other: &mut Inbox) {
        self.messages = std::mem::take(&mut other.messages);
        self.size = std::mem::take(&mut other.size);
        self.received = other.received;
    }

    pub(crate) fn clear(&mut self) {
        self.messages = VecDeque::new();
        self.size = 0;
    }
}
