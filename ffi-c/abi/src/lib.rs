//! The C ABI of `libcoromega_ws.so.0` as Rust sees it: its structs, its numbers and its functions.
//!
//! `ffi-c` implements these functions and is checked against their types; the bindings call them
//! and use nothing else of the library. The prose that belongs to each function stands in
//! `include/coromega_ws.h`.
#![no_std]
#![allow(non_camel_case_types)]

use core::ffi::{c_char, c_void};

/// Major number of the ABI: another one is another library.
pub const CMWS_ABI_MAJOR: u32 = 0;
/// Minor number of the ABI: a larger one has additions only.
pub const CMWS_ABI_MINOR: u32 = 2;

/// The outcome of a call: 0, or one of the `CMWS_STATUS_` numbers.
pub type cmws_status_t = i32;
/// Names a mailbox, a connection or a listener. Below 2^53, never 0, never used twice in a process.
/// A connection has another one in each mailbox that it moves to.
pub type cmws_handle_t = u64;

/// Done.
pub const CMWS_STATUS_OK: i32 = 0;
/// `write_limit` is reached: nothing was accepted.
pub const CMWS_STATUS_WOULD_BLOCK: i32 = 1;
/// The connection, listener or mailbox has ended.
pub const CMWS_STATUS_CLOSED: i32 = 2;
/// What was waited for did not happen in time.
pub const CMWS_STATUS_TIMEOUT: i32 = 3;
/// Another thread polls this mailbox.
pub const CMWS_STATUS_BUSY: i32 = 4;
/// The handle belongs to the parent of this forked process.
pub const CMWS_STATUS_FORKED: i32 = 5;
/// The handle is stale, of another kind, or invented.
pub const CMWS_STATUS_INVALID_HANDLE: i32 = 6;
/// An argument is NULL, out of range or unknown.
pub const CMWS_STATUS_INVALID_ARGUMENT: i32 = 7;
/// The address is no `ws://` or `wss://` URL.
pub const CMWS_STATUS_INVALID_ADDRESS: i32 = 8;
/// A header's name or value may not be sent.
pub const CMWS_STATUS_INVALID_HEADER: i32 = 9;
/// Text is not UTF-8.
pub const CMWS_STATUS_INVALID_TEXT: i32 = 10;
/// A close code may not be sent, or its reason is longer than 123 bytes.
pub const CMWS_STATUS_INVALID_CLOSE: i32 = 11;
/// A message is larger than `max_message_size`.
pub const CMWS_STATUS_TOO_BIG: i32 = 12;
/// The host's name was not found.
pub const CMWS_STATUS_DNS: i32 = 13;
/// The TCP connection was refused, reset or not possible.
pub const CMWS_STATUS_TCP: i32 = 14;
/// TLS failed.
pub const CMWS_STATUS_TLS: i32 = 15;
/// The server answered with another HTTP status than 101.
pub const CMWS_STATUS_HTTP: i32 = 16;
/// The opening handshake was not that of RFC 6455.
pub const CMWS_STATUS_HANDSHAKE: i32 = 17;
/// The address can't be listened on.
pub const CMWS_STATUS_LISTEN: i32 = 18;
/// The peer broke the protocol.
pub const CMWS_STATUS_PROTOCOL: i32 = 19;
/// The system has no more memory, descriptors or threads to give.
pub const CMWS_STATUS_RESOURCES: i32 = 20;
/// The connection was lost and is being made again: nothing was accepted.
pub const CMWS_STATUS_AWAY: i32 = 21;
/// A fault of the library itself.
pub const CMWS_STATUS_INTERNAL: i32 = 22;
/// The connection has moved to another mailbox: this is the handle that it had.
pub const CMWS_STATUS_MOVED: i32 = 23;

/// A client connection is open; with the option `reconnect`, also when it is open again.
pub const CMWS_EVENT_OPEN: u32 = 1;
/// A listener that had no client waiting has one: take them with `cmws_listener_accept`.
pub const CMWS_EVENT_ACCEPTED: u32 = 2;
/// An empty inbox got a message: take them with `cmws_connection_receive`.
pub const CMWS_EVENT_READABLE: u32 = 3;
/// There is room again after `CMWS_STATUS_WOULD_BLOCK`.
pub const CMWS_EVENT_WRITABLE: u32 = 4;
/// A connection ended, or never opened. Its inbox may still hold messages.
pub const CMWS_EVENT_CLOSED: u32 = 5;
/// A listener stopped.
pub const CMWS_EVENT_DEAD: u32 = 6;
/// With the option `review`: a client's request waits for `cmws_connection_answer`. The handle is
/// that of the connection it may become.
pub const CMWS_EVENT_REQUESTED: u32 = 7;
/// The pong that `cmws_connection_ping` asked for has come.
pub const CMWS_EVENT_PONG: u32 = 8;
/// With the option `reconnect`: a connection was lost, or an attempt to make it again has failed. It
/// is tried again, until OPEN or CLOSED.
pub const CMWS_EVENT_LOST: u32 = 9;
/// A connection has moved to another mailbox. The handle is the one that it had here; it wants
/// `cmws_connection_free`, which does the connection no harm.
pub const CMWS_EVENT_MOVED: u32 = 10;
/// A record that `cmws_mailbox_set_log_level` asked for. The handle may be stale.
pub const CMWS_EVENT_LOG: u32 = 11;

/// Level of a log: nothing is recorded.
pub const CMWS_LOG_NOTHING: u32 = 0;
/// Level of a log: a fault of the library's, or of the machine's.
pub const CMWS_LOG_ERROR: u32 = 1;
/// Level of a log: also what failed, or was refused.
pub const CMWS_LOG_WARNING: u32 = 2;
/// Level of a log: also connections and listeners that come and go.
pub const CMWS_LOG_INFO: u32 = 3;
/// Level of a log: also each step on the way there.
pub const CMWS_LOG_DEBUG: u32 = 4;

/// A text message: UTF-8 (RFC 6455, 5.6).
pub const CMWS_MESSAGE_TEXT: u32 = 1;
/// A binary message (RFC 6455, 5.6).
pub const CMWS_MESSAGE_BINARY: u32 = 2;

/// Flag of a received message, with the option `fragments`: more of the same message follows.
pub const CMWS_MESSAGE_MORE: u32 = 1;

/// Flag of `cmws_connection_send`: where the answer is `CMWS_STATUS_WOULD_BLOCK`, one
/// `CMWS_EVENT_WRITABLE` comes when there is room.
pub const CMWS_SEND_NOTIFY: u32 = 1;
/// Flag of `cmws_connection_send`: this message is not compressed, also where compression was
/// agreed on (RFC 7692, 6).
pub const CMWS_SEND_UNCOMPRESSED: u32 = 2;

/// `cmws_connections_send`: what would block is left out, with WOULD_BLOCK.
pub const CMWS_SLOW_WAIT: u32 = 0;
/// `cmws_connections_send`: what would block does not get this message.
pub const CMWS_SLOW_DROP_NEWEST: u32 = 1;
/// `cmws_connections_send`: what would block gets this message, and not the oldest that wait.
pub const CMWS_SLOW_DROP_OLDEST: u32 = 2;
/// `cmws_connections_send`: what would block is closed.
pub const CMWS_SLOW_CLOSE: u32 = 3;

/// Being made: neither open nor failed.
pub const CMWS_STATE_CONNECTING: u32 = 0;
/// Open both ways.
pub const CMWS_STATE_OPEN: u32 = 1;
/// A close frame has been sent or received; nothing can be sent any more.
pub const CMWS_STATE_CLOSING: u32 = 2;
/// Ended. The inbox may still hold messages.
pub const CMWS_STATE_CLOSED: u32 = 3;

/// There is no close frame.
pub const CMWS_CLOSED_BY_NOBODY: u32 = 0;
/// The first close frame was ours.
pub const CMWS_CLOSED_BY_US: u32 = 1;
/// The first close frame was the peer's.
pub const CMWS_CLOSED_BY_PEER: u32 = 2;

/// Something that happened, as `cmws_mailbox_poll` tells it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cmws_event_t {
    /// One of the `CMWS_EVENT_` numbers. Ignore those you do not know.
    pub kind: u32,
    /// CLOSED, LOST: `CMWS_STATUS_OK` after a closing handshake, else what ended or prevented the
    /// connection. DEAD: `CMWS_STATUS_OK` if it was closed, else why it stopped. Otherwise 0.
    pub status: cmws_status_t,
    /// The connection, or for ACCEPTED and DEAD the listener; for LOG either.
    pub handle: cmws_handle_t,
    /// CLOSED, LOST: the code of the first close frame, whoever sent it; 1005 if that had none; 1006 if
    /// there was no close frame (RFC 6455, 7.1.5).
    pub close_code: u16,
    /// CLOSED, LOST with `CMWS_STATUS_HTTP`: the HTTP status of the server's answer.
    pub http_status: u16,
    /// LOG: one of the `CMWS_LOG_` numbers. Otherwise 0.
    pub level: u32,
    /// LOG: the record. CLOSED: the close reason, or why a connection never opened. LOST: what happened. DEAD: the reason.
    /// UTF-8, ended by a NUL, never NULL; lives until the next poll of this mailbox or its close.
    pub text: *const c_char,
    /// Bytes in `text`, without the NUL.
    pub text_length: usize,
}

/// A message that was received. It is its taker's until it is released.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cmws_message_t {
    /// The payload; never NULL. Not ended by a NUL.
    pub data: *const u8,
    /// Bytes in `data`.
    pub length: usize,
    /// `CMWS_MESSAGE_TEXT` or `CMWS_MESSAGE_BINARY`.
    pub kind: u32,
    /// `CMWS_MESSAGE_MORE`, or 0.
    pub flags: u32,
    /// The library's own.
    pub owner: *mut c_void,
}

/// A header field. Names are ASCII, values any bytes that HTTP allows; neither is ended by a NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cmws_header_t {
    /// The field's name.
    pub name: *const c_char,
    /// Bytes in `name`.
    pub name_length: usize,
    /// The field's value.
    pub value: *const c_char,
    /// Bytes in `value`.
    pub value_length: usize,
}

/// An IP address and a port; or a Unix socket.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cmws_address_t {
    /// The port; 0 for a Unix socket.
    pub port: u16,
    /// The IPv4 or IPv6 address as text, without brackets, ended by a NUL; or `unix:/path`.
    pub host: [c_char; 126],
}

/// What is known of a connection. Its texts are UTF-8, never NULL, not ended by a NUL, and live
/// until the connection is freed, whoever does that; those of one that was lost until the mailbox is
/// polled after the LOST.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cmws_connection_info_t {
    /// One of the `CMWS_STATE_` numbers.
    pub state: u32,
    /// As in `cmws_event_t`; 0 while there was neither a close frame nor an end.
    pub close_code: u16,
    /// 1 with the option `fragments`, for bindings.
    pub fragments: u16,
    /// The reason in the first close frame.
    pub close_reason: *const c_char,
    /// Bytes in `close_reason`.
    pub close_reason_length: usize,
    /// The request's path, `/` at least.
    pub path: *const c_char,
    /// Bytes in `path`.
    pub path_length: usize,
    /// The request's query, without the `?`.
    pub query: *const c_char,
    /// Bytes in `query`.
    pub query_length: usize,
    /// The subprotocol that was agreed on; empty if there is none.
    pub subprotocol: *const c_char,
    /// Bytes in `subprotocol`.
    pub subprotocol_length: usize,
    /// How many header fields the request had: see `cmws_connection_header`.
    pub header_count: usize,
    /// The peer's address; empty with port 0 while it is not known.
    pub peer: cmws_address_t,
    /// The listener that a server's connection came through; 0 for a client's.
    pub listener: cmws_handle_t,
    /// The time from the last ping that was answered to its pong, in microseconds; 0 before that.
    pub latency_us: u32,
    /// The same, smoothed: each counts for an eighth.
    pub smoothed_latency_us: u32,
    /// Messages that were put into the inbox, and the bytes of their payloads, uncompressed.
    pub messages_received: u64,
    /// See `messages_received`.
    pub bytes_received: u64,
    /// Messages that were accepted for sending, and the bytes of their payloads, uncompressed.
    pub messages_sent: u64,
    /// See `messages_sent`.
    pub bytes_sent: u64,
    /// Who sent the first close frame: one of the `CMWS_CLOSED_BY_` numbers.
    pub closed_by: u32,
    /// The option `max_callbacks`, for bindings.
    pub max_callbacks: u32,
    /// Our own address; empty with port 0 before it is open, and for a Unix socket.
    pub local: cmws_address_t,
}

/// What many connections have done. Only `connections` ever becomes less.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct cmws_counters_t {
    /// Connections that are open: those whose CLOSED has not been told.
    pub connections: u64,
    /// Connections that have opened.
    pub opened: u64,
    /// Opening handshakes that came to nothing, and connects that failed.
    pub failed: u64,
    /// Those of them that `max_connections` or `max_connections_per_address` refused.
    pub refused: u64,
    /// Messages that were put into inboxes.
    pub messages_received: u64,
    /// The bytes of their payloads, uncompressed.
    pub bytes_received: u64,
    /// Messages that were accepted for sending.
    pub messages_sent: u64,
    /// The bytes of their payloads, uncompressed.
    pub bytes_sent: u64,
}

/// Options of a connect, or of a listener and the connections it accepts.
/// Fill it with `cmws_options_init`; then set fields, or set them by name. It wants
/// `cmws_options_clear` in the end if anything was set by name.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cmws_options_t {
    /// `sizeof(cmws_options_t)`, as `cmws_options_init` stores it.
    pub struct_size: u32,
    /// `max_callbacks`: unfinished callbacks of one connection. The library hands it to bindings.
    pub max_callbacks: u32,
    /// `open_timeout`: the whole opening handshake, in milliseconds.
    pub open_timeout_ms: u32,
    /// `close_timeout`: the whole closing handshake, in milliseconds.
    pub close_timeout_ms: u32,
    /// `max_message_size`: bytes in the largest message that is received.
    pub max_message_size: u64,
    /// `read_limit`: bytes in the inbox (each message as its length + 64) at which reading pauses.
    pub read_limit: u64,
    /// `write_limit`: bytes accepted and not yet written at which sends answer
    /// `CMWS_STATUS_WOULD_BLOCK`.
    pub write_limit: u64,
    /// The library's own: what was set by name and has no field here. NULL at first; what is here
    /// lives until `cmws_options_clear`, also for copies of this struct.
    pub more: *mut c_void,
}

macro_rules! functions {
    ($($name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)?;)*) => {
        unsafe extern "C" {
            $(
                #[doc = concat!("`", stringify!($name), "`: see `include/coromega_ws.h`.")]
                pub fn $name($($arg: $type),*) $(-> $ret)?;
            )*
        }

        /// The type of each function, by its name.
        pub mod signature {
            use super::*;
            $(
                #[doc = concat!("The type of `", stringify!($name), "`.")]
                pub type $name = unsafe extern "C" fn($($arg: $type),*) $(-> $ret)?;
            )*
        }
    };
}

functions! {
    cmws_abi_version() -> u32;
    cmws_version() -> *const c_char;
    cmws_status_name(status: cmws_status_t) -> *const c_char;
    cmws_status_text(status: cmws_status_t) -> *const c_char;
    cmws_last_error_text() -> *const c_char;

    cmws_options_init(options_size: usize, out_options: *mut cmws_options_t) -> cmws_status_t;
    cmws_options_set(options: *mut cmws_options_t, name: *const c_char, name_length: usize, value: f64) -> cmws_status_t;
    cmws_options_set_text(options: *mut cmws_options_t, name: *const c_char, name_length: usize, text: *const c_char, text_length: usize) -> cmws_status_t;
    cmws_options_clear(options: *mut cmws_options_t);

    cmws_mailbox_new(out_mailbox: *mut cmws_handle_t) -> cmws_status_t;
    cmws_mailbox_fd(mailbox: cmws_handle_t, out_fd: *mut i32) -> cmws_status_t;
    cmws_mailbox_set_deadline(mailbox: cmws_handle_t, after_ms: i64) -> cmws_status_t;
    cmws_mailbox_poll(mailbox: cmws_handle_t, timeout_ms: i32, events: *mut cmws_event_t, event_size: usize, capacity: usize, out_count: *mut usize) -> cmws_status_t;
    cmws_mailbox_set_log_level(mailbox: cmws_handle_t, level: u32) -> cmws_status_t;
    cmws_mailbox_flush(mailbox: cmws_handle_t) -> cmws_status_t;
    cmws_mailbox_close(mailbox: cmws_handle_t) -> cmws_status_t;
    cmws_mailbox_connect(mailbox: cmws_handle_t, address: *const c_char, address_length: usize, headers: *const cmws_header_t, header_count: usize, options: *const cmws_options_t, out_connection: *mut cmws_handle_t) -> cmws_status_t;
    cmws_mailbox_listen(mailbox: cmws_handle_t, host: *const c_char, host_length: usize, port: u16, options: *const cmws_options_t, out_listener: *mut cmws_handle_t) -> cmws_status_t;

    cmws_listener_address(listener: cmws_handle_t, address_size: usize, out_address: *mut cmws_address_t) -> cmws_status_t;
    cmws_listener_accept(listener: cmws_handle_t, connections: *mut cmws_handle_t, capacity: usize, out_count: *mut usize) -> cmws_status_t;
    cmws_listener_reload(listener: cmws_handle_t) -> cmws_status_t;
    cmws_listener_close(listener: cmws_handle_t, reason: *const c_char, reason_length: usize) -> cmws_status_t;
    cmws_listener_drain(listener: cmws_handle_t, seconds: f64, reason: *const c_char, reason_length: usize) -> cmws_status_t;
    cmws_listener_connections(listener: cmws_handle_t, connections: *mut cmws_handle_t, capacity: usize, out_count: *mut usize) -> cmws_status_t;
    cmws_listener_counters(listener: cmws_handle_t, counters_size: usize, out_counters: *mut cmws_counters_t) -> cmws_status_t;
    cmws_listener_free(listener: cmws_handle_t);

    cmws_process_counters(counters_size: usize, out_counters: *mut cmws_counters_t) -> cmws_status_t;
    cmws_process_metrics(text: *mut c_char, capacity: usize, out_length: *mut usize) -> cmws_status_t;

    cmws_connection_info(connection: cmws_handle_t, info_size: usize, out_info: *mut cmws_connection_info_t) -> cmws_status_t;
    cmws_connection_header(connection: cmws_handle_t, index: usize, header_size: usize, out_header: *mut cmws_header_t) -> cmws_status_t;
    cmws_connection_answer(connection: cmws_handle_t, status: u16, subprotocol: *const c_char, subprotocol_length: usize, headers: *const cmws_header_t, header_count: usize, body: *const u8, body_length: usize) -> cmws_status_t;
    cmws_connection_send(connection: cmws_handle_t, kind: u32, data: *const u8, length: usize, flags: u32) -> cmws_status_t;
    cmws_connections_send(connections: *const cmws_handle_t, count: usize, kind: u32, data: *const u8, length: usize, flags: u32, slow: u32, out_statuses: *mut cmws_status_t, out_accepted: *mut usize) -> cmws_status_t;
    cmws_connection_receive(connection: cmws_handle_t, messages: *mut cmws_message_t, message_size: usize, capacity: usize, out_count: *mut usize) -> cmws_status_t;
    cmws_message_release(messages: *mut cmws_message_t, message_size: usize, count: usize);
    cmws_connection_close(connection: cmws_handle_t, code: u16, reason: *const c_char, reason_length: usize) -> cmws_status_t;
    cmws_connection_ping(connection: cmws_handle_t) -> cmws_status_t;
    cmws_connection_move(connection: cmws_handle_t, mailbox: cmws_handle_t, out_connection: *mut cmws_handle_t) -> cmws_status_t;
    cmws_connection_put_back(connection: cmws_handle_t, kind: u32, data: *const u8, length: usize, flags: u32) -> cmws_status_t;
    cmws_connection_begin(connection: cmws_handle_t, kind: u32, flags: u32, out_message: *mut u64) -> cmws_status_t;
    cmws_connection_write(connection: cmws_handle_t, message: u64, data: *const u8, length: usize, flags: u32) -> cmws_status_t;
    cmws_connection_finish(connection: cmws_handle_t, message: u64) -> cmws_status_t;
    cmws_connection_abandon(connection: cmws_handle_t, message: u64);
    cmws_connection_free(connection: cmws_handle_t);
}
