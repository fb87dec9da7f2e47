//! Options and headers: tables on the Lua side, arrays on the C side.

use std::{ffi::c_int, mem::size_of, ptr};

use coromega_ws_abi::{
    CMWS_STATUS_OK, cmws_header_t, cmws_options_init, cmws_options_set, cmws_options_t, cmws_status_t,
};
use mlua_sys::{
    LUA_TTABLE, lua_Integer, lua_State, lua_newuserdata, lua_next, lua_pop, lua_pushnil, lua_rawgeti,
    lua_rawlen, lua_tolstring, lua_tonumber, lua_type,
};

/// Fills options from the table at `index`, whose keys are strings and whose values are numbers;
/// anything else than a table means the defaults.
///
/// # Safety
/// `state` is a valid state with three free slots; `index` counts from the bottom.
pub unsafe fn read(state: *mut lua_State, index: c_int, options: *mut cmws_options_t) -> cmws_status_t {
    // SAFETY: the caller's promise. The dispatcher has seen to it that keys are strings, so
    // lua_tolstring converts nothing and lua_next can go on.
    unsafe {
        let status = cmws_options_init(size_of::<cmws_options_t>(), options);
        if status != CMWS_STATUS_OK || lua_type(state, index) != LUA_TTABLE {
            return status;
        }
        lua_pushnil(state);
        while lua_next(state, index) != 0 {
            let mut length = 0;
            let name = lua_tolstring(state, -2, &mut length);
            let status = cmws_options_set(options, name, length, lua_tonumber(state, -1));
            if status != CMWS_STATUS_OK {
                return status;
            }
            lua_pop(state, 1);
        }
        CMWS_STATUS_OK
    }
}

/// Makes an array of the table at `index`, which holds names and values in turn, all of them
/// strings. The array is a new userdata on the stack, its strings are the table's.
///
/// # Safety
/// `state` is a valid state with three free slots; `index` counts from the bottom.
pub unsafe fn headers(state: *mut lua_State, index: c_int) -> (*const cmws_header_t, usize) {
    // SAFETY: the caller's promise; the userdata has room for `count` headers, and the table
    // keeps its strings where they are.
    unsafe {
        if lua_type(state, index) != LUA_TTABLE {
            return (ptr::null(), 0);
        }
        let count = lua_rawlen(state, index) / 2;
        let size = size_of::<cmws_header_t>().saturating_mul(count.max(1));
        let array = lua_newuserdata(state, size).cast::<cmws_header_t>();
        for position in 0..count {
            let first = (position as lua_Integer).wrapping_mul(2).wrapping_add(1);
            let mut name_length = 0;
            let mut value_length = 0;
            lua_rawgeti(state, index, first);
            let name = lua_tolstring(state, -1, &mut name_length);
            lua_rawgeti(state, index, first.wrapping_add(1));
            let value = lua_tolstring(state, -1, &mut value_length);
            lua_pop(state, 2);
            array.add(position).write(cmws_header_t { name, name_length, value, value_length });
        }
        (array, count)
    }
}
