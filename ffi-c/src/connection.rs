//! Connections: sending, receiving, closing, and what is known of them.

use std::{ffi::c_char, net::SocketAddr, time::Duration};

use coromega_ws_abi::{
    CMWS_CLOSED_BY_NOBODY, CMWS_MESSAGE_BINARY, CMWS_MESSAGE_MORE, CMWS_MESSAGE_TEXT, CMWS_SEND_NOTIFY,
    CMWS_SEND_UNCOMPRESSED, cmws_connection_info_t, cmws_handle_t, cmws_header_t, cmws_message_t,
    cmws_status_t,
};
use coromega_ws_core::{Connection, Message, MessageKind, Outgoing, Result};

use crate::{
    guard::{Array, bytes, check_output, fields, guard, guard_silent, invalid, store, store_sized},
    listener::address_to_c,
    message,
};

/// What is known of a connection. `info_size` is `sizeof(cmws_connection_info_t)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_info(
    connection: cmws_handle_t,
    info_size: usize,
    out_info: *mut cmws_connection_info_t,
) -> cmws_status_t {
    guard(|| {
        let connection = Connection::find(connection)?;
        let (close_code, close_reason) = connection.close_info().unwrap_or_default();
        let request = connection.request();
        let (received, sent) = connection.traffic();
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let (latency, smoothed) = connection.latency().unwrap_or_default();
        let address = |address: Option<SocketAddr>| match address {
            Some(address) => address_to_c(&address.ip().to_string(), address.port()),
            None => address_to_c("", 0),
        };
        let part = |part: Option<&[u8]>| {
            let part = part.unwrap_or_default();
            (part.as_ptr().cast::<c_char>(), part.len())
        };
        let (close_reason, close_reason_length) = part(Some(close_reason.as_bytes()));
        let (path, path_length) = part(request.map(|r| r.path()));
        let (query, query_length) = part(request.map(|r| r.query()));
        let (subprotocol, subprotocol_length) = part(request.map(|r| r.subprotocol()));
        let info = cmws_connection_info_t {
            state: connection.state() as u32,
            close_code,
            fragments: connection.options().fragments.into(),
            close_reason,
            close_reason_length,
            path,
            path_length,
            query,
            query_length,
            subprotocol,
            subprotocol_length,
            header_count: request.map_or(0, |r| r.header_count()),
            peer: address(request.and_then(|r| r.peer())),
            listener: connection.listener(),
            latency_us: micros(latency),
            smoothed_latency_us: micros(smoothed),
            messages_received: received.messages,
            bytes_received: received.bytes,
            messages_sent: sent.messages,
            bytes_sent: sent.bytes,
            closed_by: connection.closed_by().map_or(CMWS_CLOSED_BY_NOBODY, |by| by as u32),
            max_callbacks: connection.options().max_callbacks,
            local: address(connection.local()),
        };
        // SAFETY: as this function's contract says. The texts are the connection's own.
        unsafe { store_sized(out_info, info_size, info) }
    })
}

/// A header field of the request that opened a connection, in the order they came; of a client's
/// own request, those that were sent. INVALID_ARGUMENT from `header_count` on.
///
/// `header_size` is `sizeof(cmws_header_t)`. Its texts live as long as those of
/// `cmws_connection_info_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_header(
    connection: cmws_handle_t,
    index: usize,
    header_size: usize,
    out_header: *mut cmws_header_t,
) -> cmws_status_t {
    guard(|| {
        let connection = Connection::find(connection)?;
        let header = connection.request().and_then(|r| r.header(index));
        let header = header.ok_or_else(|| invalid("there is no such header"))?;
        let header = cmws_header_t {
            name: header.name.as_ptr().cast(),
            name_length: header.name.len(),
            value: header.value.as_ptr().cast(),
            value_length: header.value.len(),
        };
        // SAFETY: as this function's contract says. The texts are the request's, which the connection
        // keeps.
        unsafe { store_sized(out_header, header_size, header) }
    })
}

/// Answers a request that `CMWS_EVENT_REQUESTED` told of (option `review`). Until then the
/// connection is CONNECTING, and `cmws_connection_info` and `cmws_connection_header` tell who asks
/// for what.
///
/// Status 101 upgrades: the connection then comes through ACCEPTED and `cmws_listener_accept`, under
/// the same handle, unless the listener stops before. `subprotocol` must be one that the client
/// offers; where it is empty, the option `subprotocols` decides. `headers` are sent behind ours;
/// there is no body.
///
/// Status 300 to 599 refuses with these headers and this body (64 KiB at most; `Content-Length` and
/// `Connection` are ours), without a subprotocol. The handle is stale when the call returns OK, as
/// after `cmws_connection_free`.
///
/// A request that is not answered within `open_timeout`, the time of the whole handshake, is refused
/// with 503, as are those of a listener that stops; so is one whose handle is freed. CLOSED if the
/// request has ended in such a way, or the client has left; where it was not this program's doing,
/// the event CLOSED tells so, and the handle wants `cmws_connection_free`. INVALID_ARGUMENT, and
/// nothing is sent, for another status, what the client did not offer, a second answer, and a
/// connection without such a request; INVALID_HEADER for headers that may not be sent.
///
/// All arguments may go when the call returns. Any thread may call this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_answer(
    connection: cmws_handle_t,
    status: u16,
    subprotocol: *const c_char,
    subprotocol_length: usize,
    headers: *const cmws_header_t,
    header_count: usize,
    body: *const u8,
    body_length: usize,
) -> cmws_status_t {
    guard(|| {
        let connection = Connection::find(connection)?;
        // SAFETY: as this function's contract says.
        let (subprotocol, headers, body) = unsafe {
            (
                bytes(subprotocol, subprotocol_length)?,
                fields(headers, header_count)?,
                bytes(body, body_length)?,
            )
        };
        connection.answer(status, subprotocol, &headers, body)
    })
}

/// A message that a caller wants sent.
///
/// # Safety
/// As for `bytes`.
pub(crate) unsafe fn outgoing<'a>(
    kind: u32,
    data: *const u8,
    length: usize,
    flags: u32,
) -> Result<Outgoing<'a>> {
    let (kind, (notify, compress)) = (kind_of(kind)?, send_flags(flags)?);
    // SAFETY: the caller's promise.
    Ok(Outgoing { kind, payload: unsafe { bytes(data, length)? }, notify, compress })
}

pub(crate) fn kind_of(kind: u32) -> Result<MessageKind> {
    match kind {
        CMWS_MESSAGE_TEXT => Ok(MessageKind::Text),
        CMWS_MESSAGE_BINARY => Ok(MessageKind::Binary),
        _ => Err(invalid("a message is CMWS_MESSAGE_TEXT or CMWS_MESSAGE_BINARY")),
    }
}

/// Whether to notify, and whether to compress.
pub(crate) fn send_flags(flags: u32) -> Result<(bool, bool)> {
    if flags & !(CMWS_SEND_NOTIFY | CMWS_SEND_UNCOMPRESSED) != 0 {
        return Err(invalid("unknown flags"));
    }
    Ok((flags & CMWS_SEND_NOTIFY != 0, flags & CMWS_SEND_UNCOMPRESSED == 0))
}

/// Moves a connection to a mailbox, with all that it holds: what its inbox has is told there. It is
/// another handle there; the one that it had answers MOVED to every call, and the mailbox that it
/// leaves gets one MOVED event. Any thread may call this, on any open connection of the process; one
/// that is under review or not open yet is INVALID_ARGUMENT. Messages that were taken stay with who
/// took them: see `cmws_connection_put_back`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_move(
    connection: cmws_handle_t,
    mailbox: cmws_handle_t,
    out_connection: *mut cmws_handle_t,
) -> cmws_status_t {
    guard(|| {
        check_output(out_connection)?;
        // SAFETY: checked for NULL above; otherwise as this function's contract says.
        unsafe { store(out_connection, Connection::transfer(connection, mailbox)?) }
    })
}

/// Puts a message back into an inbox, as the next one to be taken: one that was taken and not
/// used, before its connection moves. The newest first, where there are several. `flags` are those
/// that it came with; `data` may go when the call returns. INVALID_TEXT for a text that is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_put_back(
    connection: cmws_handle_t,
    kind: u32,
    data: *const u8,
    length: usize,
    flags: u32,
) -> cmws_status_t {
    guard(|| {
        let connection = Connection::find(connection)?;
        if flags & !CMWS_MESSAGE_MORE != 0 {
            return Err(invalid("unknown flags"));
        }
        // SAFETY: as this function's contract says.
        let payload = unsafe { bytes(data, length)? }.to_vec();
        connection.put_back(Message { kind: kind_of(kind)?, fin: flags == 0, payload })
    })
}

/// Sends a message: text (UTF-8) or binary, of `length` bytes, which may go when the call returns.
///
/// OK: the message was accepted whole, and leaves without any further call. WOULD_BLOCK: nothing
/// was accepted, because `write_limit` bytes wait, or the connection is not open yet; with the
/// flag `CMWS_SEND_NOTIFY` one WRITABLE event comes when no more than half of the limit waits,
/// unless the connection ends before (CLOSED).
/// CLOSED: a close frame has been sent or received, or the connection has ended. AWAY: it was lost,
/// is being made again, and `reconnect_buffer` is 0. INVALID_TEXT: the text is not UTF-8.
///
/// Any thread may send. The messages of one thread leave in the order of its calls.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_send(
    connection: cmws_handle_t,
    kind: u32,
    data: *const u8,
    length: usize,
    flags: u32,
) -> cmws_status_t {
    guard(|| {
        let connection = Connection::find(connection)?;
        // SAFETY: as this function's contract says.
        let message = unsafe { outgoing(kind, data, length, flags)? };
        connection.send(&message)
    })
}

/// Takes messages in the order they came: stores up to `capacity`, none if none is there.
/// CLOSED if none is there and none will come. `message_size` is `sizeof(cmws_message_t)`.
///
/// With the option `fragments` these are parts of messages, as they come: all but the last of each
/// have the flag `CMWS_MESSAGE_MORE`, and a text never ends within a character. Where the connection
/// ends before the last has come, CLOSED follows the others.
///
/// They are the caller's until `cmws_message_release`. Any thread may call this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_receive(
    connection: cmws_handle_t,
    messages: *mut cmws_message_t,
    message_size: usize,
    capacity: usize,
    out_count: *mut usize,
) -> cmws_status_t {
    guard(|| {
        check_output(out_count)?;
        if !message::is_size(message_size) {
            return Err(invalid("message_size is out of range"));
        }
        let array = Array::new(messages, message_size, capacity)?;
        let connection = Connection::find(connection)?;
        let mut index = 0;
        let count = connection.receive(array.capacity(), |taken| {
            // SAFETY: as this function's contract says; core hands over no more than `capacity`.
            let _ = unsafe { array.set(index, message::to_c(taken)) };
            index += 1;
        })?;
        // SAFETY: as this function's contract says.
        unsafe { store(out_count, count) }
    })
}

/// Starts the closing handshake (RFC 6455, 7.1.2): a close frame behind all that was accepted,
/// with this code (0: 1000) and reason (UTF-8, up to 123 bytes). CLOSED if a close frame has been
/// sent or received before; INVALID_CLOSE for a code that may not be sent, or a bad reason.
///
/// The event CLOSED follows when the peer has answered, or when `close_timeout` is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_close(
    connection: cmws_handle_t,
    code: u16,
    reason: *const c_char,
    reason_length: usize,
) -> cmws_status_t {
    guard(|| {
        let connection = Connection::find(connection)?;
        // SAFETY: as this function's contract says.
        connection.close(code, unsafe { bytes(reason, reason_length)? })
    })
}

/// Asks for a round trip (RFC 6455, 5.5.2). One PONG event follows when the pong has come, of the
/// ping that is under way or of a new one; `latency_us` of `cmws_connection_info` then says how
/// long it took. What was asked for before that event is answered by it, too. While the inbox is
/// full the pong lies behind the peer's messages. No pong within `ping_timeout` ends the
/// connection, as with the pings of `ping_interval`. CLOSED if no more pings leave; AWAY
/// while it was lost and is to come back.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_connection_ping(connection: cmws_handle_t) -> cmws_status_t {
    guard(|| Connection::find(connection)?.ping())
}

/// Lets go of a connection: its handle is stale at once, nothing more is told of it, and messages
/// that were not taken are dropped. If it is open it is closed with 1001 behind what was accepted,
/// without waiting. A request that waits for an answer is refused with 503. Does nothing for a
/// handle that is none.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_connection_free(connection: cmws_handle_t) {
    guard_silent(|| Connection::free(connection));
}
