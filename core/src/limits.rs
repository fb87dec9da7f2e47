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
    /// 0 for no, 1 for yes.
    Flag,
}

/// Which side of a connection an option is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Connects and listeners.
    Both,
    /// Connects.
    Client,
    /// Listeners.
    Server,
}

/// An option's name, its unit, its default and the range it accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The name that every language uses.
    pub name: &'static str,
    /// What the value counts.
    pub unit: Unit,
    /// Whom it is for.
    pub side: Side,
    /// The value where none is given.
    pub default: f64,
    /// The smallest value that is accepted.
    pub min: f64,
    /// The largest value that is accepted.
    pub max: f64,
}

const fn limit(name: &'static str, unit: Unit, default: f64, min: f64, max: f64) -> Limit {
    Limit { name, unit, side: Side::Both, default, min, max }
}

const fn flag(name: &'static str, side: Side, default: f64) -> Limit {
    Limit { name, unit: Unit::Flag, side, default, min: 0.0, max: 1.0 }
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;
const TIB: f64 = 1024.0 * GIB;
const DAY: f64 = 24.0 * 3600.0;

/// The whole of a connect: name, TCP, proxy, handshake, redirects; for a server, the client's handshake.
pub const OPEN_TIMEOUT: Limit = limit("open_timeout", Unit::Seconds, 10.0, 0.001, DAY);
/// The whole of a closing handshake.
pub const CLOSE_TIMEOUT: Limit = limit("close_timeout", Unit::Seconds, 10.0, 0.001, DAY);
/// The largest message that is received.
pub const MAX_MESSAGE_SIZE: Limit = limit("max_message_size", Unit::Bytes, MIB, 1.0, TIB);
/// The size of an inbox, each message as its length + `MESSAGE_COST`, past which reading pauses.
pub const READ_LIMIT: Limit = limit("read_limit", Unit::Bytes, MIB, 1.0, GIB);
/// The accepted and unwritten bytes from which sends would block.
pub const WRITE_LIMIT: Limit = limit("write_limit", Unit::Bytes, 64.0 * KIB, 1.0, GIB);
/// The unfinished callbacks of one connection (kept by the bindings).
pub const MAX_CALLBACKS: Limit = limit("max_callbacks", Unit::Count, 1024.0, 1.0, 1e9);

/// The whole of a message, from its first byte to its last.
pub const MESSAGE_TIMEOUT: Limit = limit("message_timeout", Unit::Seconds, 120.0, 0.001, DAY);
/// The time between pings (RFC 6455, 5.5.2); 0: none are sent.
pub const PING_INTERVAL: Limit = limit("ping_interval", Unit::Seconds, 20.0, 0.0, DAY);
/// How long a ping may be without its pong.
pub const PING_TIMEOUT: Limit = limit("ping_timeout", Unit::Seconds, 20.0, 0.001, DAY);
/// Whether permessage-deflate (RFC 7692) is offered or accepted. Listeners do not unless asked to.
pub const COMPRESSION: Limit = flag("compression", Side::Both, 1.0);
/// Whether messages are compressed with what earlier ones had in common, for the memory that it
/// costs (RFC 7692, 7.1.1).
pub const CONTEXT_TAKEOVER: Limit = flag("context_takeover", Side::Both, 0.0);
/// The largest window, as a power of two (RFC 7692, 7.1.2).
pub const WINDOW_BITS: Limit = limit("window_bits", Unit::Count, 15.0, 9.0, 15.0);
/// The effort of compressing, 1 the least.
pub const COMPRESSION_LEVEL: Limit = limit("compression_level", Unit::Count, 6.0, 1.0, 9.0);
/// The smallest message that is compressed.
pub const COMPRESSION_MIN_SIZE: Limit = limit("compression_min_size", Unit::Bytes, 256.0, 0.0, GIB);
/// Redirects that a connect follows.
pub const MAX_REDIRECTS: Limit =
    Limit { side: Side::Client, ..limit("max_redirects", Unit::Count, 0.0, 0.0, 20.0) };
/// Whether a server's certificate goes unchecked.
pub const INSECURE: Limit = flag("insecure", Side::Client, 0.0);
/// Whether each request is put to the program before it is answered.
pub const REVIEW: Limit = flag("review", Side::Server, 0.0);
/// Whether messages are received in fragments, as they come (RFC 6455, 5.4).
pub const FRAGMENTS: Limit = flag("fragments", Side::Both, 0.0);

/// How long a connection may be open before it is closed with 1001; 0: for ever.
pub const MAX_LIFETIME: Limit = limit("max_lifetime", Unit::Seconds, 0.0, 0.0, DAY);
/// The messages that a peer may send in a second, and at once; 0: any number. What is more waits.
pub const MAX_MESSAGE_RATE: Limit = limit("max_message_rate", Unit::Count, 0.0, 0.0, 1e9);
/// The same for the bytes in them.
pub const MAX_BYTE_RATE: Limit = limit("max_byte_rate", Unit::Bytes, 0.0, 0.0, GIB);
/// The connections of a listener; 0: any number. Further clients are answered with 503.
pub const MAX_CONNECTIONS: Limit =
    Limit { side: Side::Server, ..limit("max_connections", Unit::Count, 0.0, 0.0, 1e9) };
/// The same for each address; further clients are answered with 429.
pub const MAX_CONNECTIONS_PER_ADDRESS: Limit =
    Limit { side: Side::Server, ..limit("max_connections_per_address", Unit::Count, 0.0, 0.0, 1e9) };
/// Opening handshakes of a listener at a time; further clients wait with the system.
pub const MAX_HANDSHAKES: Limit =
    Limit { side: Side::Server, ..limit("max_handshakes", Unit::Count, 4096.0, 1.0, 1e9) };

/// Whether a client's connection that is lost is made again.
pub const RECONNECT: Limit = flag("reconnect", Side::Client, 0.0);
/// The time before the first attempt to do so, at most; it doubles with each one ...
pub const RECONNECT_DELAY: Limit =
    Limit { side: Side::Client, ..limit("reconnect_delay", Unit::Seconds, 0.5, 0.001, DAY) };
/// ... up to this.
pub const RECONNECT_MAX_DELAY: Limit =
    Limit { side: Side::Client, ..limit("reconnect_max_delay", Unit::Seconds, 30.0, 0.001, DAY) };
/// What is kept to be sent meanwhile, each message as its length + `MESSAGE_COST`; 0: nothing is
/// accepted.
pub const RECONNECT_BUFFER: Limit =
    Limit { side: Side::Client, ..limit("reconnect_buffer", Unit::Bytes, 0.0, 0.0, GIB) };

/// The time in which a listener's connections are closed. Given to the call, not to the listener.
pub const DRAIN: Limit = Limit { side: Side::Server, ..limit("drain", Unit::Seconds, 10.0, 0.001, DAY) };

/// All options that are numbers.
pub const LIMITS: &[Limit] = &[
    OPEN_TIMEOUT,
    CLOSE_TIMEOUT,
    MESSAGE_TIMEOUT,
    PING_INTERVAL,
    PING_TIMEOUT,
    MAX_MESSAGE_SIZE,
    READ_LIMIT,
    WRITE_LIMIT,
    MAX_CALLBACKS,
    COMPRESSION,
    CONTEXT_TAKEOVER,
    WINDOW_BITS,
    COMPRESSION_LEVEL,
    COMPRESSION_MIN_SIZE,
    MAX_REDIRECTS,
    INSECURE,
    REVIEW,
    FRAGMENTS,
    MAX_LIFETIME,
    MAX_MESSAGE_RATE,
    MAX_BYTE_RATE,
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_ADDRESS,
    MAX_HANDSHAKES,
    RECONNECT,
    RECONNECT_DELAY,
    RECONNECT_MAX_DELAY,
    RECONNECT_BUFFER,
];

/// The fragments of one message.
pub const MAX_FRAGMENTS: u32 = 128 * 1024;
/// What a message costs in an inbox beside its bytes.
pub const MESSAGE_COST: usize = 64;
/// The time between two looks at connections that are drained.
pub const DRAIN_STEP: Duration = Duration::from_millis(10);
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
/// Header fields in a request, or in the answer of a server.
pub const MAX_HEADERS: usize = 100;
/// The largest body of an answer that a program gives to a request that it refuses.
pub const MAX_ANSWER_BODY: usize = 64 * 1024;
/// Pongs that wait to be written; beyond that, one answers the last ping.
pub const WAITING_PONGS: usize = 64;
/// The largest reason of a close frame (RFC 6455, 5.5).
pub const MAX_CLOSE_REASON: usize = 123;
/// The longest that a corked byte waits for the script; the timer fires a little earlier.
pub const CORK_DELAY: Duration = Duration::from_micros(1500);
/// Corked bytes beyond which a connection writes in mid-batch.
pub const CORK_SIZE: usize = 64 * 1024;
/// What one read takes from a socket; one buffer of it serves all connections.
pub const READ_BUFFER: usize = 64 * 1024;
/// What is decoded of a connection's bytes before its guest's room is looked at again, and the
/// others have their turn.
pub const FEED: usize = 256 * 1024;
/// Payloads up to this size are received into buffers that were used before ...
pub const LARGEST_BUFFER: usize = 1024 * 1024;
/// ... of which the runtime keeps this many bytes, and as many that have just been released.
pub const BUFFERS: usize = 2 * 1024 * 1024;
/// The size of messages that come before a sleeping guest is woken, where all that is ready at a
/// time is less.
pub const BURST: usize = 64 * 1024;
/// What of a payload must be missing for it to be received in place.
pub const IN_PLACE: usize = 16 * 1024;
/// Room for so many times what has come of a message is had at once, where others were as large before it.
pub const ROOM: usize = 4;
/// The largest frame that there is room for before its header has come, where those before it were of
/// the same length.
pub const LARGEST_LIKELY: usize = FEED;
/// Payloads from this size on are written from where they are, if nothing must be done to them.
pub const VECTORED: usize = 16 * 1024;
/// ... but up to this size only where no others leave with them.
pub const GATHERED: usize = 32 * 1024;
/// What of a large payload is masked at a time: as much as one buffer of a mailbox holds. A multiple of 4,
/// as the key is of 4 bytes.
pub const MASKED: usize = 256 * 1024;
/// An empty out-buffer larger than this is given back to the mailbox ...
pub const KEPT_OUT_BUFFER: usize = 4 * 1024;
/// ... whose out-buffers are of this size, so that all fits that is kept back for the end of a batch, ...
pub const OUT_BUFFER: usize = CORK_SIZE + GATHERED + 16;
/// ... and which keeps so many: for as many connections in a batch large payloads are kept back.
pub const OUT_BUFFERS: usize = 12;
/// Extensions of a request that are looked at; more are read over.
pub const MAX_EXTENSIONS: usize = 16;
/// What inflating grows a message by before it looks at its size again; a larger message grows by
/// its own size.
pub const INFLATE_STEP: usize = 64 * 1024;
/// Compressed bytes that are inflated before it is seen how much they became: at most a thousand
/// times as much.
pub const INFLATE_INPUT: usize = 1024;
/// Compressed bytes for each final block (BFINAL, RFC 7692, 7.2.3.4) in a message ...
pub const FINAL_BLOCK_BYTES: usize = 1024;
/// ... beside this many, which any message may have.
pub const FREE_FINAL_BLOCKS: usize = 4;
/// Bytes of a TLS handshake or record that are not whole yet: more than the largest of either.
pub const MAX_TLS_PARTIAL: usize = 96 * 1024;
/// Bytes that are sealed at once with TLS; the next when they have left.
pub const SEAL: usize = 64 * 1024;
/// TLS settings of the last connects that are kept, with the sessions that can be resumed.
pub const KEPT_TLS_CONFIGS: usize = 8;
/// What accepted bytes get to leave when their mailbox ends.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an attempt to connect to one address has before the next address is tried as well
/// (RFC 8305, 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Answers with a status of 100-199 that may come before the one that counts.
pub const MAX_INTERIM_ANSWERS: usize = 8;
/// Bytes in the path of a Unix socket, as Linux has it (unix(7)).
pub const MAX_SOCKET_PATH: usize = 107;
/// Records that wait for a mailbox that wants them; further ones are left out, and counted.
pub const WAITING_RECORDS: u32 = 1000;
/// Characters of a record; the rest is cut off.
pub const RECORD: usize = 1000;
/// Threads that look up names.
pub const LOOKUP_THREADS: usize = 4;
/// How long an idle lookup thread stays.
pub const LOOKUP_IDLE: Duration = Duration::from_secs(2);
