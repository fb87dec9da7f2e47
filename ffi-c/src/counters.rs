//! Counters: what the connections of a listener, or of the process, have done.

use std::ffi::c_char;

use coromega_ws_abi::{cmws_counters_t, cmws_handle_t, cmws_status_t};
use coromega_ws_core::{Counters, Listener, counters, metrics};

use crate::guard::{check_output, guard, invalid, store, store_sized};

fn to_c(counters: Counters) -> cmws_counters_t {
    cmws_counters_t {
        connections: counters.open,
        opened: counters.opened,
        failed: counters.failed,
        refused: counters.refused,
        messages_received: counters.received.messages,
        bytes_received: counters.received.bytes,
        messages_sent: counters.sent.messages,
        bytes_sent: counters.sent.bytes,
    }
}

/// What the connections have done that came through a listener, also those that it no longer has.
/// `counters_size` is `sizeof(cmws_counters_t)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_listener_counters(
    listener: cmws_handle_t,
    counters_size: usize,
    out_counters: *mut cmws_counters_t,
) -> cmws_status_t {
    guard(|| {
        let counters = Listener::find(listener)?.counters();
        // SAFETY: as this function's contract says.
        unsafe { store_sized(out_counters, counters_size, to_c(counters)) }
    })
}

/// What all connections of the process have done, in every language of it; of a child of fork,
/// since the fork. `counters_size` is `sizeof(cmws_counters_t)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_process_counters(
    counters_size: usize,
    out_counters: *mut cmws_counters_t,
) -> cmws_status_t {
    // SAFETY: as this function's contract says.
    guard(|| unsafe { store_sized(out_counters, counters_size, to_c(counters()?)) })
}

/// The counters as text in Prometheus' exposition format (version 0.0.4, `Content-Type:
/// text/plain; version=0.0.4`): a series for the connections that the process made, and one for
/// each of its listeners that has not been freed.
///
/// Stores up to `capacity` bytes of it at `text`, without a NUL, and in `out_length` how many there
/// are, which may be more; a capacity of 0 only counts them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_process_metrics(
    text: *mut c_char,
    capacity: usize,
    out_length: *mut usize,
) -> cmws_status_t {
    guard(|| {
        check_output(out_length)?;
        if text.is_null() && capacity > 0 {
            return Err(invalid("text is NULL with a capacity"));
        }
        let all = metrics()?;
        if capacity > 0 {
            // SAFETY: not NULL, and `capacity` bytes can be stored there, says the caller.
            unsafe { text.cast::<u8>().copy_from_nonoverlapping(all.as_ptr(), all.len().min(capacity)) };
        }
        // SAFETY: checked for NULL above; otherwise as this function's contract says.
        unsafe { store(out_length, all.len()) }
    })
}
