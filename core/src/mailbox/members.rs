//! Connections and listeners come to a mailbox and leave it.

use std::sync::{Arc, atomic::Ordering};

use super::Mailbox;
use crate::{
    connection::Connection,
    error::{Kind, Result},
    listener::Listener,
};

impl Mailbox {
    pub(crate) fn adopt_connection(&self, connection: &Arc<Connection>) -> Result<()> {
        let mut members = self.members.lock();
        if members.closed {
            return Err(Kind::Closed.into());
        }
        members.connections.insert(connection.handle(), connection.clone());
        self.process.connections.insert(connection.handle(), connection.clone());
        Ok(())
    }

    /// Puts a connection in the place of the one that its handle names. False if that has been let
    /// go of.
    pub(crate) fn replace_connection(&self, connection: &Arc<Connection>) -> bool {
        let mut members = self.members.lock();
        let is_there =
            !members.closed && self.process.connections.replace(connection.handle(), connection.clone());
        if is_there {
            members.connections.insert(connection.handle(), connection.clone());
        }
        is_there
    }

    /// Gives a connection away: its handle says from now on that it moved.
    pub(crate) fn give_away(self: &Arc<Self>, handle: u64) -> Result<()> {
        let mut members = self.members.lock();
        if !members.connections.contains_key(&handle) {
            return Err(Kind::Closed.into()); // it, or the mailbox, is being let go of
        }
        // Whoever frees the handle meanwhile finds it in one of the tables.
        members.moved.insert(handle);
        self.process.moved.insert(handle, self.clone());
        if self.process.connections.remove(handle).is_none() {
            members.moved.remove(&handle);
            self.process.moved.remove(handle);
            return Err(Kind::Closed.into());
        }
        members.connections.remove(&handle);
        Ok(())
    }

    /// Takes a connection in that comes from another mailbox.
    pub(crate) fn take_in(&self, handle: u64, connection: &Arc<Connection>) -> Result<()> {
        let mut members = self.members.lock();
        if members.closed {
            return Err(Kind::Closed.into());
        }
        members.connections.insert(handle, connection.clone());
        self.process.connections.insert(handle, connection.clone());
        Ok(())
    }

    /// Undoes that: it is not to come after all.
    pub(crate) fn turn_away(&self, handle: u64) {
        self.members.lock().connections.remove(&handle);
        self.process.connections.remove(handle);
    }

    /// The guest lets go of the handle of a connection that moved.
    pub(crate) fn forget_moved(&self, handle: u64) {
        self.members.lock().moved.remove(&handle);
        self.process.moved.remove(handle);
    }

    pub(crate) fn adopt_listener(&self, listener: &Arc<Listener>) -> Result<()> {
        let mut members = self.members.lock();
        if members.closed {
            return Err(Kind::Closed.into());
        }
        members.listeners.insert(listener.handle);
        self.process.listeners.insert(listener.handle, listener.clone());
        Ok(())
    }

    /// Forgets a connection that both the guest and the runtime have let go of.
    pub(crate) fn forget_connection(&self, connection: &Connection) {
        let mut members = self.members.lock();
        if connection.freed.load(Ordering::Acquire) && connection.gone.load(Ordering::Acquire) {
            members.connections.remove(&connection.handle());
        }
    }

    pub(crate) fn forget_listener(&self, handle: u64) {
        self.members.lock().listeners.remove(&handle);
    }
}
