//! Errors as Lua gets them: plain strings.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use coromega_ws_abi::{
    CMWS_ABI_MAJOR, CMWS_ABI_MINOR, CMWS_STATUS_AWAY, CMWS_STATUS_BUSY, CMWS_STATUS_CLOSED,
    CMWS_STATUS_FORKED, CMWS_STATUS_MOVED, CMWS_STATUS_TIMEOUT, CMWS_STATUS_WOULD_BLOCK,
    cmws_last_error_text, cmws_status_t, cmws_status_text, cmws_version,
};
use mlua_sys::{
    lua_Number, lua_State, lua_concat, lua_pushlstring, lua_pushnil, lua_pushnumber, lua_pushstring,
    lua_tonumber,
};

/// The longest error text that is passed on; what is longer is cut.
const LONGEST: usize = 2048;

/// Pushes the text of a call that has just failed on this thread with `status`.
///
/// # Safety
/// `state` is a valid state with a free slot.
pub unsafe fn push(state: *mut lua_State, status: cmws_status_t) {
    // SAFETY: the caller's promise; the library's texts are valid and end with a NUL.
    unsafe {
        let fixed = matches!(
            status,
            CMWS_STATUS_WOULD_BLOCK
                | CMWS_STATUS_CLOSED
                | CMWS_STATUS_TIMEOUT
                | CMWS_STATUS_BUSY
                | CMWS_STATUS_FORKED
                | CMWS_STATUS_AWAY
                | CMWS_STATUS_MOVED
        );
        let text = if fixed { cmws_status_text(status) } else { cmws_last_error_text() };
        // Making the string may run finalizers, and a failing call of theirs would end the
        // text's life: it is copied first.
        let mut copy = [0 as c_char; LONGEST];
        let length = CStr::from_ptr(text).count_bytes().min(LONGEST);
        ptr::copy_nonoverlapping(text, copy.as_mut_ptr(), length);
        lua_pushlstring(state, copy.as_ptr(), length);
    }
}

/// Pushes the text that the library's table has for a status.
///
/// # Safety
/// `state` is a valid state with a free slot.
pub unsafe fn push_table_text(state: *mut lua_State, status: cmws_status_t) {
    // SAFETY: the caller's promise; the table's texts are constants that end with a NUL.
    unsafe { lua_pushstring(state, cmws_status_text(status)) };
}

/// Pushes nil and the text: what a raw function returns when it fails.
///
/// # Safety
/// `state` is a valid state with two free slots.
pub unsafe fn fail(state: *mut lua_State, status: cmws_status_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        lua_pushnil(state);
        push(state, status);
    }
    2
}

/// Pushes what to say when the library's ABI is not the one this module was made for.
///
/// # Safety
/// `state` is a valid state with ten free slots.
pub unsafe fn push_version_mismatch(state: *mut lua_State, found: u32) {
    // SAFETY: the caller's promise; all strings are literals.
    unsafe {
        lua_pushstring(state, c"coromega_ws: this module needs ABI ".as_ptr());
        lua_pushnumber(state, lua_Number::from(CMWS_ABI_MAJOR));
        lua_pushstring(state, c".".as_ptr());
        lua_pushnumber(state, lua_Number::from(CMWS_ABI_MINOR));
        lua_pushstring(state, c" of libcoromega_ws.so.0, the library found has ".as_ptr());
        lua_pushnumber(state, lua_Number::from(found >> 16));
        lua_pushstring(state, c".".as_ptr());
        lua_pushnumber(state, lua_Number::from(found & 0xffff));
        lua_concat(state, 8);
    }
}

/// `status_text(status)`: the short words for a status.
pub unsafe extern "C-unwind" fn status_text(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the library's texts are static.
    unsafe {
        lua_pushstring(state, cmws_status_text(lua_tonumber(state, 1) as cmws_status_t));
    }
    1
}

/// `version()`: the version of the library.
pub unsafe extern "C-unwind" fn version(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the library's text is static.
    unsafe {
        lua_pushstring(state, cmws_version());
    }
    1
}
