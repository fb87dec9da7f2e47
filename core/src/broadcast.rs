//! One message for many connections.

use std::sync::Arc;

use crate::{
    connection::Connection,
    error::{Kind, Result},
    protocol::{self, Close, MessageKind, POLICY, Shared},
    writer::Outgoing,
};

/// What becomes of a connection to which no more can be sent for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Slow {
    /// It would block: nothing is accepted.
    Wait = 0,
    /// It does not get this message.
    DropNewest = 1,
    /// It does not get the oldest of those that wait.
    DropOldest = 2,
    /// It is closed.
    Close = 3,
}

impl Slow {
    /// Every policy, in the order of the numbers.
    pub const ALL: &[Slow] = &[Slow::Wait, Slow::DropNewest, Slow::DropOldest, Slow::Close];
}

/// A message on its way to many connections.
pub struct Broadcast<'a> {
    message: Outgoing<'a>,
    slow: Slow,
    shared: Shared,
    /// For those who keep it.
    copy: Option<Arc<[u8]>>,
}

impl<'a> Broadcast<'a> {
    /// Checks the message.
    pub fn new(message: Outgoing<'a>, slow: Slow) -> Result<Broadcast<'a>> {
        if message.kind == MessageKind::Text && !protocol::is_valid(message.payload) {
            return Err(Kind::InvalidText.into());
        }
        Ok(Broadcast { message, slow, shared: Shared::default(), copy: None })
    }

    /// Sends it to one of them. `WouldBlock` where it was not accepted and the policy is to wait or
    /// to drop it; `Closed` where the connection is closed for it.
    pub fn send(&mut self, handle: u64) -> Result<()> {
        let Broadcast { message, slow, shared, copy } = self;
        let message = Outgoing { notify: message.notify && *slow == Slow::Wait, ..*message };
        let copy = (*slow == Slow::DropOldest).then(|| copy.get_or_insert_with(|| message.payload.into()));
        let copy = copy.map(|copy| &*copy);
        let connection = Connection::find(handle)?;
        let mut successor = connection.accept(&message, Some(&mut *shared), copy);
        while let Ok(Some(next)) = successor {
            successor = next.accept(&message, Some(&mut *shared), copy);
        }
        match successor {
            Err(error) if error.kind == Kind::WouldBlock && *slow == Slow::Close => {
                connection.start_close(Close::new(POLICY, "too slow"));
                Err(Kind::Closed.into())
            }
            result => result.map(|_| ()),
        }
    }
}
