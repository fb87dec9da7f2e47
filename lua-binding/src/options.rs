//! Options and headers: tables on the Lua side, arrays on the C side.

use std::{
    ffi::c_int,
    mem::{MaybeUninit, size_of},
    ptr,
};

use coromega_ws_abi::{
    CMWS_STATUS_OK, cmws_header_t, cmws_last_error_text, cmws_options_clear, cmws_options_init,
    cmws_options_set, cmws_options_set_text, cmws_options_t, cmws_status_t,
};
use mlua_sys::{
    LUA_TNUMBER, LUA_TTABLE, lua_Integer, lua_State, lua_newuserdata, lua_pop, lua_pushboolean, lua_rawgeti,
    lua_rawlen, lua_tolstring, lua_tonumber, lua_type,
};

/// How the library begins to say that it has no option of a name.
const UNKNOWN: &[u8] = b"unknown option";

/// Fills options from the table at `index`, which holds names and values in turn; anything else
/// than a table means the defaults. After success they want `cmws_options_clear`, and nothing
/// that may raise comes before that: neither does anything here.
///
/// # Safety
/// `state` is a valid state with three free slots; `index` counts from the bottom.
pub unsafe fn read(state: *mut lua_State, index: c_int, options: *mut cmws_options_t) -> cmws_status_t {
    // SAFETY: the caller's promise. Names are strings, values strings or numbers, so that
    // lua_tolstring, of strings alone, makes none.
    unsafe {
        let status = cmws_options_init(size_of::<cmws_options_t>(), options);
        if status != CMWS_STATUS_OK || lua_type(state, index) != LUA_TTABLE {
            return status;
        }
        for position in 0..lua_rawlen(state, index) / 2 {
            let first = (position as lua_Integer).wrapping_mul(2).wrapping_add(1);
            let mut length = 0;
            lua_rawgeti(state, index, first);
            let name = lua_tolstring(state, -1, &mut length);
            lua_rawgeti(state, index, first.wrapping_add(1));
            let status = if lua_type(state, -1) == LUA_TNUMBER {
                cmws_options_set(options, name, length, lua_tonumber(state, -1))
            } else {
                let mut text_length = 0;
                let text = lua_tolstring(state, -1, &mut text_length);
                cmws_options_set_text(options, name, length, text, text_length)
            };
            lua_pop(state, 2);
            if status != CMWS_STATUS_OK {
                cmws_options_clear(options);
                return status;
            }
        }
        CMWS_STATUS_OK
    }
}

/// `is_option(name)` returns whether the library has an option of this name.
pub unsafe extern "C-unwind" fn is_option(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a string. No option takes what is no number at all, so that the
    // library always says what it makes of the name, in a text that ends with a NUL.
    unsafe {
        let mut options = MaybeUninit::<cmws_options_t>::zeroed();
        let _ = cmws_options_init(size_of::<cmws_options_t>(), options.as_mut_ptr());
        let mut length = 0;
        let name = lua_tolstring(state, 1, &mut length);
        let _ = cmws_options_set(options.as_mut_ptr(), name, length, f64::NAN);
        let answer = std::ffi::CStr::from_ptr(cmws_last_error_text()).to_bytes();
        lua_pushboolean(state, c_int::from(!answer.starts_with(UNKNOWN)));
    }
    1
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
