//! Every limit and every default, in one place.

use std::time::Duration;

/// What an option's value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; fractions are kept to the millisecond.
    Seconds,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
}

/// An option's name, its unit, its default and the range it accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The name that every language uses.
    pub name: &'static str,
    /// What the value counts.
    pub unit: Unit,
    /// The value where none is given.
    pub default: f64,
    /// The smallest value that is accepted.
    pub min: f64,
    /// The largest value that is accepted.
    pub max: f64,
}

const fn limit(name: &'static str, unit: Unit, default: f64, min: f64, max: f64) -> Limit {
    Limit { name, unit, default, min, max }
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;
const DAY: f64 = 24.0 * 3600.0;

/// The whole of a connect: name, TCP, handshake; for a server, the client's handshake.
pub const OPEN_TIMEOUT: Limit = limit("open_timeout", Unit::Seconds, 10.0, 0.001, DAY);
/// The whole of a closing handshake.
pub const CLOSE_TIMEOUT: Limit = limit("close_timeout", Unit::Seconds, 10.0, 0.001, DAY);
/// The largest message that is received.
pub const MAX_MESSAGE_SIZE: Limit = limit("max_message_size", Unit::Bytes, MIB, 1.0, GIB);
/// The size of an inbox, each message as its length + `MESSAGE_COST`, past which reading pauses.
pub const READ_LIMIT: Limit = limit("read_limit", Unit::Bytes, MIB, 1.0, GIB);
/// The accepted and unwritten bytes from which sends would block.
pub const WRITE_LIMIT: Limit = limit("write_limit", Unit::Bytes, 64.0 * KIB, 1.0, GIB);
/// The unfinished callbacks of one connection (kept by the bindings).
pub const MAX_CALLBACKS: Limit = limit("max_callbacks", Unit::Count, 1024.0, 1.0, 1e9);

/// All options.
pub const LIMITS: &[Limit] =
    &[OPEN_TIMEOUT, CLOSE_TIMEOUT, MAX_MESSAGE_SIZE, READ_LIMIT, WRITE_LIMIT, MAX_CALLBACKS];

/// What a message costs in an inbox beside its bytes.
pub const MESSAGE_COST: usize = 64;
/// Clients that the system holds for a listener before they are accepted.
pub const BACKLOG: i32 = 4096;
/// Clients that wait to be taken from a listener.
pub const ACCEPT_QUEUE: usize = 128;
/// How long accepting pauses when the process is out of descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The largest request or response head of a handshake.
pub const MAX_HEAD: usize = 16 * 1024;
/// How long a client that was refused has to read why.
pub const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Header fields in the answer of a server.
pub const MAX_HEADERS: usize = 100;
/// The largest reason of a close frame (RFC 6455, 5.5).
pub const MAX_CLOSE_REASON: usize = 123;
/// The longest that a corked byte waits for the script; the timer fires a little earlier.
pub const CORK_DELAY: Duration = Duration::from_micros(1500);
/// Corked bytes beyond which a connection writes in mid-batch.
pub const CORK_SIZE: usize = 64 * 1024;
/// What one read takes from a socket; one buffer of it serves all connections.
pub const READ_BUFFER: usize = 64 * 1024;
/// The frame reader's own buffer, one for each connection.
pub const FRAME_BUFFER: usize = 4 * 1024;
/// An empty out-buffer larger than this is given back.
pub const KEPT_OUT_BUFFER: usize = 4 * 1024;
/// What accepted bytes get to leave when their mailbox ends.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Threads that look up names.
pub const LOOKUP_THREADS: usize = 4;
/// How long an idle lookup thread stays.
pub const LOOKUP_IDLE: Duration = Duration::from_secs(2);
