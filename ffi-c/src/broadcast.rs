//! One message for many connections.

use coromega_ws_abi::{cmws_handle_t, cmws_status_t};
use coromega_ws_core::{Broadcast, Slow};

use crate::{
    connection::outgoing,
    guard::{Array, guard, invalid, store},
};

/// Sends one message to `count` connections, framed once and compressed once for each way that
/// compression was agreed on. `data`, `kind` and `flags` are as for `cmws_connection_send`.
///
/// `slow` is one of the `CMWS_SLOW_` numbers, and says what becomes of a connection that would block:
/// WAIT leaves it out with WOULD_BLOCK, and a WRITABLE event comes where `CMWS_SEND_NOTIFY` asks for
/// it; DROP_NEWEST leaves it out with WOULD_BLOCK, and that is all; DROP_OLDEST keeps the message
/// until there is room, and drops the oldest of those that are kept where they are more than
/// `write_limit`, each as its length + 64; CLOSE closes the connection with 1008, with CLOSED. While
/// messages are kept, `cmws_connection_send` answers WOULD_BLOCK, so that the order stays.
///
/// `out_statuses` is NULL or gets `count` statuses, one for each connection in its order:
/// OK where the message was accepted. `out_accepted` is NULL or gets how many these are. The call
/// itself fails, having sent nothing, for an argument that is wrong for all: INVALID_ARGUMENT,
/// INVALID_TEXT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_connections_send(
    connections: *const cmws_handle_t,
    count: usize,
    kind: u32,
    data: *const u8,
    length: usize,
    flags: u32,
    slow: u32,
    out_statuses: *mut cmws_status_t,
    out_accepted: *mut usize,
) -> cmws_status_t {
    guard(|| {
        if connections.is_null() && count > 0 {
            return Err(invalid("connections is NULL with a count"));
        }
        if count > isize::MAX as usize / size_of::<cmws_handle_t>() {
            return Err(invalid("a count is larger than memory"));
        }
        let slow = Slow::ALL.get(slow as usize).ok_or_else(|| invalid("slow is one of CMWS_SLOW_..."))?;
        let statuses = match out_statuses.is_null() || count == 0 {
            true => None,
            false => Some(Array::new(out_statuses, size_of::<cmws_status_t>(), count)?),
        };
        // SAFETY: as this function's contract says.
        let message = unsafe { outgoing(kind, data, length, flags)? };
        let mut broadcast = Broadcast::new(message, *slow)?;
        let mut accepted = 0;
        for index in 0..count {
            // SAFETY: not NULL, and `count` handles can be read there, says the caller.
            let result = broadcast.send(unsafe { connections.add(index).read() });
            let status = result.as_ref().err().map_or(0, |error| error.kind as i32);
            accepted += usize::from(result.is_ok());
            if let Some(statuses) = &statuses {
                // SAFETY: as this function's contract says.
                unsafe { statuses.set(index, status)? };
            }
        }
        if out_accepted.is_null() {
            return Ok(());
        }
        // SAFETY: not NULL; otherwise as this function's contract says.
        unsafe { store(out_accepted, accepted) }
    })
}
