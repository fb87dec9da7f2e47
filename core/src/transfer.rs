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
};

impl Connection {
    /// Moves the connection that a handle names to a mailbox, and returns its handle there: the same
    /// if it is there already. The mailbox that it leaves gets the event `Moved`.
    pub fn transfer(handle: u64, to: u64) -> Result<u64> {
        let to = Mailbox::find(to)?;
        to.start_timer_task()?;
        loop {
            // One that was lost meanwhile has a successor under the same handle.
            if let Some(moved) = Connection::find(handle)?.move_to(&to)? {
                return Ok(moved);
            }
        }
    }

    fn move_to(self: &Arc<Self>, to: &Arc<Mailbox>) -> Result<Option<u64>> {
        let is_under_review = self.is_under_review();
        let inbox = self.inbox();
        if !inbox.announced || is_under_review {
            return Err(Error::new(Kind::InvalidArgument, "this connection is not open yet"));
        }
        if self.has_begun() {
            return Err(Error::new(Kind::InvalidArgument, "a message of this connection is not finished"));
        }
        let mut home = self.home();
        if self.succeeded.load(Ordering::Acquire) {
            return Ok(None);
        }
        let (old, new) = (self.handle(), handle::new(HandleKind::Connection));
        if Arc::ptr_eq(&home, to) {
            return Ok(Some(old));
        }
        home.give_away(old)?;
        if let Err(error) = to.take_in(new, self) {
            home.take_back(old, self);
            return Err(error);
        }
        self.handle.store(new, Ordering::Release);
        let from = mem::replace(&mut *home, to.clone());
        self.home_handle.store(to.handle(), Ordering::Release);
        self.told.store(0, Ordering::Release);
        drop(home);
        if !inbox.is_empty() {
            self.tell(EventKind::Readable);
        }
        if inbox.ended {
            self.tell(EventKind::Closed);
        }
        drop(inbox);
        self.move_writer(to);
        from.push(Event { kind: EventKind::Moved, source: Source::Moved(old) });
        Ok(Some(new))
    }

    /// Puts a message back that was taken and not delivered: it is the next one again.
    pub fn put_back(self: &Arc<Self>, message: crate::Message) {
        let mut inbox = self.inbox();
        let was_empty = inbox.is_empty();
        inbox.push_front(message);
        if was_empty && inbox.announced {
            self.tell(EventKind::Readable);
        }
    }
}
