//! All state of the library in this process: it hangs on one pointer, which a fork clears.

use std::sync::{Arc, OnceLock};

use crate::{
    connection::Connection,
    counters::Tally,
    error::{Error, Kind, Result},
    handle::{self, HandleKind, Table},
    listener::Listener,
    lock::Mutex,
    mailbox::Mailbox,
    runtime::Runtime,
    sys::ForkCell,
    tls,
};

/// Everything that a forked child must not touch.
pub(crate) struct Process {
    /// Handles with a smaller serial number belong to a parent of this process.
    first_serial: u64,
    pub(crate) mailboxes: Table<Mailbox>,
    pub(crate) connections: Table<Connection>,
    pub(crate) listeners: Table<Listener>,
    /// Handles of connections that have moved, and the mailboxes that they left.
    pub(crate) moved: Table<Mailbox>,
    pub(crate) tls: tls::Shared,
    /// What all connections have done, and those of clients.
    pub(crate) all: Tally,
    pub(crate) clients: Tally,
    runtime: OnceLock<Runtime>,
    starting: Mutex<()>,
}

static CURRENT: ForkCell<Process> = ForkCell::new();

impl Process {
    /// The state of this process, made by the first call.
    pub(crate) fn current() -> Result<&'static Process> {
        CURRENT.get_or_make(|| Process {
            first_serial: handle::next_serial(),
            mailboxes: Table::new(),
            connections: Table::new(),
            listeners: Table::new(),
            moved: Table::new(),
            tls: tls::Shared::new(),
            all: Tally::default(),
            clients: Tally::default(),
            runtime: OnceLock::new(),
            starting: Mutex::new(()),
        })
    }

    /// The runtime, started by the first call.
    pub(crate) fn runtime(&'static self) -> Result<&'static Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let _one_starts = self.starting.lock();
        if self.runtime.get().is_none() {
            let runtime = Runtime::start().map_err(|e| {
                Error::new(Kind::Resources, format!("start the runtime: {}", crate::error::io_text(&e)))
            })?;
            let _ = self.runtime.set(runtime);
        }
        self.runtime.get().ok_or_else(|| Kind::Internal.into())
    }
}

/// The runtime, where it was started.
pub(crate) fn runtime() -> Option<&'static Runtime> {
    CURRENT.get()?.runtime.get()
}

/// Looks up a handle of this kind.
fn find<T: 'static>(
    handle: u64,
    kind: HandleKind,
    table: impl Fn(&'static Process) -> &'static Table<T>,
) -> Result<Arc<T>> {
    let found = CURRENT.get().and_then(|process| table(process).get(handle));
    found.ok_or_else(|| unknown(handle, kind))
}

/// Why a handle names nothing here.
#[cold]
fn unknown(handle: u64, kind: HandleKind) -> Error {
    let first = CURRENT.get().map_or_else(handle::next_serial, |p| p.first_serial);
    match handle::serial(handle, kind) {
        Some(serial) if serial < first => Kind::Forked.into(),
        _ => Kind::InvalidHandle.into(),
    }
}

/// The mailbox of this handle.
pub(crate) fn mailbox(handle: u64) -> Result<Arc<Mailbox>> {
    find(handle, HandleKind::Mailbox, |p| &p.mailboxes)
}

/// The connection of this handle.
pub(crate) fn connection(handle: u64) -> Result<Arc<Connection>> {
    let found = find(handle, HandleKind::Connection, |p| &p.connections);
    found.map_err(|e| if was_moved(handle) { Kind::Moved.into() } else { e })
}

/// Whether it is the handle that a connection had in the mailbox that it left.
pub(crate) fn was_moved(handle: u64) -> bool {
    CURRENT.get().is_some_and(|process| process.moved.get(handle).is_some())
}

/// The listener of this handle.
pub(crate) fn listener(handle: u64) -> Result<Arc<Listener>> {
    find(handle, HandleKind::Listener, |p| &p.listeners)
}
