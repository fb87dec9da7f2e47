//! Handing over: a connection moves from one mailbox to another, with all that it holds.
//!
//! It has another handle there. The old one tells whoever still has it that the connection moved, so
//! that nobody takes a message that is not his any more.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    connection::Connection,
    error::{Error, Kind, Result},
    event::{Event, EventKind, Source},
    handle::{self, HandleKind},
    mailbox::Mailbox,
    protocol::{self, Message, MessageKind},
};

impl Connection {
    /// Moves the connection that a handle names to a mailbox, and returns its handle there: the same
    /// if it is there already. The mailbox that it leaves gets the event `Moved`.
    pub fn transfer(handle: u64, to: u64) -> Result<u64> {
        let to = Mailbox::find(to)?;
        to.start_timer_task()?;
        loop {
            // One that was lost meanwhile has a successor under the same handle; one that was moved
            // has no handle like this any more.
            if let Some(moved) = Connection::find(handle)?.move_to(&to, handle)? {
                return Ok(moved);
            }
        }
    }

    /// Moves it, or says that this is not its handle any more.
    fn move_to(self: &Arc<Self>, to: &Arc<Mailbox>, old: u64) -> Result<Option<u64>> {
        let is_under_review = self.is_under_review();
        let inbox = self.inbox();
        if !inbox.announced || is_under_review {
            return Err(Error::new(Kind::InvalidArgument, "this connection is not open yet"));
        }
        if self.has_begun() {
            return Err(Error::new(Kind::InvalidArgument, "a message of this connection is not finished"));
        }
        let mut home = self.home();
        if self.succeeded.load(Ordering::Acquire) || self.handle() != old {
            return Ok(None);
        }
        if Arc::ptr_eq(&home, to) {
            return Ok(Some(old));
        }
        let new = handle::new(HandleKind::Connection);
        to.take_in(new, self)?;
        if let Err(error) = home.give_away(old) {
            to.turn_away(new);
            return Err(error);
        }
        let from = mem::replace(&mut *home, to.clone());
        self.told.rename(new);
        drop(home);
        if !inbox.is_empty() {
            self.tell(EventKind::Readable);
        }
        if inbox.ended {
            self.tell(EventKind::Closed);
        }
        drop(inbox);
        self.move_writer(to);
        from.push(Event { kind: EventKind::Moved, handle: old, source: Source::Moved });
        Ok(Some(new))
    }

    /// Puts a message back that was taken and not delivered: it is the next one again.
    pub fn put_back(self: &Arc<Self>, message: Message) -> Result<()> {
        if message.kind == MessageKind::Text && !protocol::is_valid(&message.payload) {
            return Err(Kind::InvalidText.into());
        }
        let mut inbox = self.inbox();
        let was_empty = inbox.is_empty();
        inbox.push_front(message);
        if was_empty && inbox.announced {
            self.tell(EventKind::Readable);
        }
        Ok(())
    }
}
