//! Messages: from core's to C's, and back to be dropped.

use std::ptr;

use coromega_ws_abi::cmws_message_t;
use coromega_ws_core::Message;

use crate::guard::guard_silent;

/// Hands a message over: it lives until it is released.
pub(crate) fn to_c(message: Message) -> cmws_message_t {
    let length = message.payload.len();
    let data = Box::into_raw(message.payload).cast::<u8>();
    cmws_message_t { data, length, kind: message.kind as u32, reserved: 0, owner: ptr::null_mut() }
}

/// Gives back messages that `cmws_connection_receive` stored, each once, from any thread.
/// `message_size` is what receive was given. Their `data` is NULL from then on; releasing such a
/// message again does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_message_release(
    messages: *mut cmws_message_t,
    message_size: usize,
    count: usize,
) {
    if messages.is_null() || message_size < size_of::<cmws_message_t>() {
        return;
    }
    guard_silent(|| {
        for index in 0..count {
            // SAFETY: the caller passes `count` messages as receive stored them, each of which
            // holds the parts of a box that `to_c` took apart; NULL marks those that were
            // released.
            unsafe {
                let message = messages.byte_add(index * message_size);
                let data = (*message).data.cast_mut();
                if !data.is_null() {
                    drop(Box::from_raw(ptr::slice_from_raw_parts_mut(data, (*message).length)));
                    (*message).data = ptr::null();
                    (*message).length = 0;
                }
            }
        }
    });
}
