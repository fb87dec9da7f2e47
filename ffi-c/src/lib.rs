//! `libcoromega_ws.so.0`: the C ABI over core. Every export is in one of these modules; each
//! checks its arguments, guards against panics, and calls core.
// Each function's contract is its own prose and, for what its pointers must be, the preface of the
// header: "as this function's contract says" means both.
#![allow(clippy::missing_safety_doc)]

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
