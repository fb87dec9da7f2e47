//! The one runtime of a process and what hangs on it: mailboxes, connections, listeners.
//!
//! Everything here may be called from any thread. Nothing here calls a guest's code: guests poll
//! their mailbox for events and take messages from inboxes that live here. The only unsafe code
//! is in `sys`.
#![deny(unsafe_code)]
#![cfg_attr(modelled, allow(dead_code, clippy::unwrap_used))]

mod address;
mod admission;
mod alarms;
mod bind;
mod broadcast;
mod buffers;
mod burst;
mod connect;
mod connection;
mod cork;
mod counters;
mod dial;
mod drain;
mod driver;
mod error;
mod event;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handle;
mod handshake;
mod headers;
mod inbox;
mod kept;
mod latency;
pub mod limits;
mod listener;
#[cfg_attr(modelled, path = "models/lock.rs")]
mod lock;
mod log;
mod mailbox;
#[cfg(modelled)]
mod models;
mod options;
mod process;
mod protocol;
mod proxy;
mod reconnect;
mod request;
mod review;
#[cfg_attr(modelled, path = "models/runtime.rs")]
mod runtime;
mod socket;
mod state;
mod stream;
#[cfg_attr(modelled, path = "models/sync.rs")]
mod sync;
mod sys;
mod tls;
mod told;
mod transfer;
#[cfg_attr(modelled, path = "models/wake.rs")]
mod wake;
mod writer;

pub use broadcast::{Broadcast, Slow};
pub use connection::Connection;
pub use counters::{Counters, Traffic, counters, metrics};
pub use error::{Error, Kind, Result};
pub use event::{Event, EventKind, Source};
pub use headers::Header;
pub use listener::Listener;
pub use log::{Level, Record};
pub use mailbox::Mailbox;
pub use options::Options;
pub use protocol::{Message, MessageKind};
pub use request::Request;
pub use runtime::release;
pub use state::{ClosedBy, State};
pub use writer::Outgoing;
