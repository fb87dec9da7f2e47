//! One message for many connections.

use std::{
    ffi::c_int,
    mem::{align_of, size_of},
};

use coromega_ws_abi::{
    CMWS_STATUS_OK, CMWS_STATUS_WOULD_BLOCK, cmws_connections_send, cmws_handle_t, cmws_status_t,
};
use mlua_sys::{
    lua_Integer, lua_State, lua_createtable, lua_newuserdata, lua_pop, lua_pushboolean, lua_pushinteger,
    lua_rawgeti, lua_rawlen, lua_rawseti, lua_tolstring, lua_tonumber,
};

use crate::error;

/// A handle, and what became of the message there.
const PLACE: usize = size_of::<cmws_handle_t>() + size_of::<cmws_status_t>();

/// `send_to_many(connections, kind, data, flags, slow)` returns how many accepted the message, and a
/// table of the others: by their places, false where it would block, else why not. Or nil and why.
pub unsafe extern "C-unwind" fn send_to_many(state: *mut lua_State) -> c_int {
    const { assert!(align_of::<cmws_handle_t>() >= align_of::<cmws_status_t>()) };
    // SAFETY: called by Lua with a sequence of numbers, numbers, and a string as third argument.
    // The userdata has room for as many handles and, behind them, statuses.
    unsafe {
        let count = lua_rawlen(state, 1);
        let handles: *mut cmws_handle_t =
            lua_newuserdata(state, count.saturating_mul(PLACE).max(PLACE)).cast();
        for place in 0..count {
            lua_rawgeti(state, 1, (place as lua_Integer).wrapping_add(1));
            handles.add(place).write(lua_tonumber(state, -1) as cmws_handle_t);
            lua_pop(state, 1);
        }
        let statuses: *mut cmws_status_t = handles.add(count).cast();
        let (kind, flags) = (lua_tonumber(state, 2) as u32, lua_tonumber(state, 4) as u32);
        let slow = lua_tonumber(state, 5) as u32;
        let mut length = 0;
        let data = lua_tolstring(state, 3, &mut length);
        let mut accepted = 0;
        let status = cmws_connections_send(
            handles,
            count,
            kind,
            data.cast(),
            length,
            flags,
            slow,
            statuses,
            &mut accepted,
        );
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        lua_pushinteger(state, accepted as lua_Integer);
        lua_createtable(state, 0, 0);
        for place in 0..count {
            match statuses.add(place).read() {
                CMWS_STATUS_OK => continue,
                CMWS_STATUS_WOULD_BLOCK => lua_pushboolean(state, 0),
                status => error::push_table_text(state, status),
            }
            lua_rawseti(state, -2, (place as lua_Integer).wrapping_add(1));
        }
    }
    2
}
