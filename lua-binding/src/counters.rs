//! Counters: of a listener, of the process, and as text.

use std::{
    ffi::{CStr, c_int},
    mem::{MaybeUninit, size_of},
    ptr,
};

use coromega_ws_abi::{
    CMWS_STATUS_OK, cmws_counters_t, cmws_handle_t, cmws_listener_counters, cmws_process_counters,
    cmws_process_metrics,
};
use mlua_sys::{
    lua_Integer, lua_State, lua_createtable, lua_gettop, lua_newuserdata, lua_pushinteger, lua_pushlstring,
    lua_setfield, lua_tonumber,
};

use crate::error;

/// `counters(listener?)` returns a table of a listener's counters, or of the process's; or nil and
/// why.
pub unsafe extern "C-unwind" fn counters(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a number or nothing; the size is that of the struct.
    unsafe {
        let mut place = MaybeUninit::<cmws_counters_t>::zeroed();
        let size = size_of::<cmws_counters_t>();
        let status = if lua_gettop(state) > 0 {
            cmws_listener_counters(lua_tonumber(state, 1) as cmws_handle_t, size, place.as_mut_ptr())
        } else {
            cmws_process_counters(size, place.as_mut_ptr())
        };
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        let counters = place.assume_init();
        let all: [(&CStr, u64); 8] = [
            (c"connections", counters.connections),
            (c"opened", counters.opened),
            (c"failed", counters.failed),
            (c"refused", counters.refused),
            (c"messages_received", counters.messages_received),
            (c"bytes_received", counters.bytes_received),
            (c"messages_sent", counters.messages_sent),
            (c"bytes_sent", counters.bytes_sent),
        ];
        lua_createtable(state, 0, all.len() as c_int);
        for (name, value) in all {
            lua_pushinteger(state, value as lua_Integer);
            lua_setfield(state, -2, name.as_ptr());
        }
    }
    1
}

/// `metrics()` returns the counters as text for Prometheus, or nil and why.
pub unsafe extern "C-unwind" fn metrics(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. The userdata has room for as many bytes as the call may store.
    unsafe {
        let mut capacity = 0;
        let mut text = ptr::null_mut();
        loop {
            let mut length = 0;
            let status = cmws_process_metrics(text, capacity, &mut length);
            if status != CMWS_STATUS_OK {
                return error::fail(state, status);
            }
            if length <= capacity {
                lua_pushlstring(state, text, length);
                return 1;
            }
            // Counters grow meanwhile, by a digit or so.
            capacity = length.saturating_add(256);
            text = lua_newuserdata(state, capacity).cast();
        }
    }
}
