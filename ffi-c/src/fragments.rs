//! Messages that are sent in fragments.

use coromega_ws_abi::{CMWS_SEND_NOTIFY, cmws_handle_t, cmws_status_t};
use coromega_ws_core::Connection;

use crate::{
    connection::{kind_of, send_flags},
    guard::{bytes, check_output, guard, guard_silent, invalid, store},
};

/// Begins a message that is sent in fragments (RFC 6455, 5.4), and stores its number. It may be
/// larger than `write_limit`, or than memory: write it with `cmws_connection_write`, then call
/// `cmws_connection_finish`. What else is sent meanwhile, by any thread, is answered with WOULD_BLOCK
/// and leaves behind it; close frames, pings and pongs do not wait.
///
/// `kind` and `flags` are as for `cmws_connection_send`; where compression was agreed on the message
/// is compressed, whatever its size. WOULD_BLOCK while another message is being sent in such a way, a
/// message waits to be sent, or the connection is not open; CLOSED and AWAY as for
/// `cmws_connection_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_begin(
    connection: cmws_handle_t,
    kind: u32,
    flags: u32,
    out_message: *mut u64,
) -> cmws_status_t {
    guard(|| {
        check_output(out_message)?;
        let (kind, (notify, compress)) = (kind_of(kind)?, send_flags(flags)?);
        let number = Connection::begin(connection, kind, notify, compress)?;
        // SAFETY: checked for NULL above; otherwise as this function's contract says.
        unsafe { store(out_message, number) }
    })
}

/// Writes a fragment of a message that has begun. An empty one is none.
///
/// OK: it was accepted whole, and leaves without any further call; `data` may go. WOULD_BLOCK:
/// nothing was accepted, because `write_limit` bytes wait; with the flag `CMWS_SEND_NOTIFY`, the only
/// one, one WRITABLE event follows when no more than half of it waits. INVALID_TEXT: nothing was
/// accepted, because the text is not UTF-8; a fragment may end within a character that the next one
/// goes on with. CLOSED: the connection was closed, or lost since the message began, or it has been
/// finished.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connection_write(
    connection: cmws_handle_t,
    message: u64,
    data: *const u8,
    length: usize,
    flags: u32,
) -> cmws_status_t {
    guard(|| {
        let connection = Connection::find(connection)?;
        if flags & !CMWS_SEND_NOTIFY != 0 {
            return Err(invalid("unknown flags"));
        }
        // SAFETY: as this function's contract says.
        connection.write(message, unsafe { bytes(data, length)? }, flags != 0)
    })
}

/// Finishes a message that has begun; it never blocks. CLOSED as for `cmws_connection_write`;
/// INVALID_TEXT, and the message goes on, where a text ends within a character.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_connection_finish(connection: cmws_handle_t, message: u64) -> cmws_status_t {
    guard(|| Connection::find(connection)?.finish(message))
}

/// Gives up a message that has begun. What was written of it can't be taken back: unless that is
/// nothing, the connection is closed with 1011. Does nothing for a message that is finished.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_connection_abandon(connection: cmws_handle_t, message: u64) {
    guard_silent(|| {
        if let Ok(connection) = Connection::find(connection) {
            connection.abandon(message);
        }
    });
}
