//! `libcoromega_ws.so.0`: the C ABI over core. Every export is in one of these modules; each
//! checks its arguments, guards against panics, and calls core.
#![allow(clippy::missing_safety_doc)] // each function's contract is the header's prose

mod broadcast;
mod connection;
mod counters;
mod error;
mod fragments;
mod guard;
mod listener;
mod mailbox;
mod message;
mod options;
mod signatures;
mod version;

pub use broadcast::*;
pub use connection::*;
pub use counters::*;
pub use error::*;
pub use fragments::*;
pub use listener::*;
pub use mailbox::*;
pub use message::*;
pub use options::*;
pub use version::*;
