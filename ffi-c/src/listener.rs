//! Listeners: addresses, clients that wait, the end.

use std::ffi::c_char;

use coromega_ws_abi::{cmws_address_t, cmws_handle_t, cmws_status_t};
use coromega_ws_core::Listener;

use crate::guard::{Array, bytes, check_output, guard, guard_silent, store, store_sized};

/// An address as C sees it. What does not fit is cut off, which no IP address is, nor the path of a
/// Unix socket.
pub(crate) fn address_to_c(host: &str, port: u16) -> cmws_address_t {
    let mut out = cmws_address_t { port, host: [0; 126] };
    for (to, from) in out.host.iter_mut().take(125).zip(host.bytes()) {
        *to = from as c_char;
    }
    out
}

/// Where a listener listens: the address that was bound, and the port that was chosen where it
/// was asked for port 0; for a Unix socket `unix:/path` and port 0. `address_size` is `sizeof(cmws_address_t)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_listener_address(
    listener: cmws_handle_t,
    address_size: usize,
    out_address: *mut cmws_address_t,
) -> cmws_status_t {
    guard(|| {
        let listener = Listener::find(listener)?;
        let (host, port) = listener.address();
        // SAFETY: as this function's contract says.
        unsafe { store_sized(out_address, address_size, address_to_c(host, port)) }
    })
}

/// Takes clients whose handshake is done: stores up to `capacity` handles, none if nobody waits.
/// Up to 128 wait; then accepting pauses. CLOSED if the listener has stopped.
///
/// Nothing is told of a connection before it has been taken; then READABLE comes if it has
/// messages already, and CLOSED if it has ended. Each wants `cmws_connection_free` in the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_listener_accept(
    listener: cmws_handle_t,
    connections: *mut cmws_handle_t,
    capacity: usize,
    out_count: *mut usize,
) -> cmws_status_t {
    guard(|| {
        check_output(out_count)?;
        let array = Array::new(connections, size_of::<cmws_handle_t>(), capacity)?;
        let listener = Listener::find(listener)?;
        let mut index = 0;
        let count = listener.accept(array.capacity(), |handle| {
            // SAFETY: as this function's contract says; core hands over no more than `capacity`.
            let _ = unsafe { array.set(index, handle) };
            index += 1;
        })?;
        // SAFETY: as this function's contract says.
        unsafe { store(out_count, count) }
    })
}

/// Reads `certificate_file`, `key_file` and `ca_files` again: clients that come from now on are
/// met with what is in them, connections that stand live on. On an error everything stays as it
/// was. CLOSED if the listener has stopped; INVALID_ARGUMENT, with the file and what is wrong with
/// it in `cmws_last_error_text`, also if the listener has no TLS.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_listener_reload(listener: cmws_handle_t) -> cmws_status_t {
    guard(|| Listener::find(listener)?.reload())
}

/// Stops accepting. Connections that were taken live on; those that wait are closed with 1001.
/// One DEAD event follows with the reason (UTF-8; `closed` where it is empty). CLOSED if the
/// listener has stopped before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_listener_close(
    listener: cmws_handle_t,
    reason: *const c_char,
    reason_length: usize,
) -> cmws_status_t {
    guard(|| {
        let listener = Listener::find(listener)?;
        // SAFETY: as this function's contract says.
        let reason = String::from_utf8_lossy(unsafe { bytes(reason, reason_length)? });
        listener.close(reason.as_bytes())
    })
}

/// Stops accepting as `cmws_listener_close` does, and closes the connections that were taken, with
/// 1001 and the reason: one after the other over the first three quarters of `seconds` (0.001 to
/// 86,400), so that their clients do not all come back at once. Those whose peers have not
/// answered when the time is over are cut off. Each tells its CLOSED as ever, and DEAD follows when
/// all have ended. A reason that no close frame can have is INVALID_CLOSE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_listener_drain(
    listener: cmws_handle_t,
    seconds: f64,
    reason: *const c_char,
    reason_length: usize,
) -> cmws_status_t {
    guard(|| {
        let listener = Listener::find(listener)?;
        // SAFETY: as this function's contract says.
        listener.drain(seconds, unsafe { bytes(reason, reason_length)? })
    })
}

/// The connections that came through a listener, were taken and have not ended, the oldest first,
/// also after it has stopped: stores up to `capacity` handles, and in `out_count` how many there
/// are, which may be more; a capacity of 0 only counts them. It looks at every connection of the
/// process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_listener_connections(
    listener: cmws_handle_t,
    connections: *mut cmws_handle_t,
    capacity: usize,
    out_count: *mut usize,
) -> cmws_status_t {
    guard(|| {
        check_output(out_count)?;
        let found = Listener::find(listener)?.connections();
        if capacity > 0 {
            let array = Array::new(connections, size_of::<cmws_handle_t>(), capacity)?;
            for (index, connection) in found.iter().take(array.capacity()).enumerate() {
                // SAFETY: as this function's contract says.
                unsafe { array.set(index, connection.handle())? };
            }
        }
        // SAFETY: as this function's contract says.
        unsafe { store(out_count, found.len()) }
    })
}

/// Lets go of a listener: its handle is stale at once, it stops accepting, and there is no DEAD
/// event. Does nothing for a handle that is none.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_listener_free(listener: cmws_handle_t) {
    guard_silent(|| Listener::free(listener));
}
