//! Messages: from core's to C's, and back to be dropped.

use std::{
    mem::{self, ManuallyDrop},
    ptr,
};

use coromega_ws_abi::{CMWS_MESSAGE_MORE, cmws_message_t};
use coromega_ws_core::{Message, release};

use crate::guard::guard_silent;

/// Whether a caller's messages may have this size: ours, or a newer and larger one.
pub(crate) fn is_size(size: usize) -> bool {
    size >= size_of::<cmws_message_t>() && size.is_multiple_of(align_of::<cmws_message_t>())
}

/// Hands a message over: it lives until it is released.
pub(crate) fn to_c(message: Message) -> cmws_message_t {
    let mut payload = ManuallyDrop::new(message.payload);
    let owner = ptr::without_provenance_mut(payload.capacity());
    let (data, length) = (payload.as_mut_ptr(), payload.len());
    let flags = if message.fin { 0 } else { CMWS_MESSAGE_MORE };
    cmws_message_t { data, length, kind: message.kind as u32, flags, owner }
}

/// Gives back messages as `cmws_connection_receive` stored them, each once, from any thread.
/// `message_size` is what receive was given. Their `data` is NULL from then on; releasing such a
/// message again does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_message_release(
    messages: *mut cmws_message_t,
    message_size: usize,
    count: usize,
) {
    if messages.is_null() || !is_size(message_size) {
        return;
    }
    guard_silent(|| {
        // SAFETY: the caller passes `count` messages as receive stored them, aligned as the first is,
        // for their size is a multiple of that. Each holds the parts of a vector that `to_c` took
        // apart, the capacity as `owner`; NULL marks those that were released.
        release((0..count).filter_map(|index| unsafe {
            let message = &mut *messages.byte_add(index * message_size);
            let data = mem::replace(&mut message.data, ptr::null()).cast_mut();
            let length = mem::take(&mut message.length);
            (!data.is_null()).then(|| Vec::from_raw_parts(data, length, message.owner.addr()))
        }));
    });
}
