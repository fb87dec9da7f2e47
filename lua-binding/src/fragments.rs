//! Messages that are sent in fragments.

use std::{ffi::c_int, mem::size_of};

use coromega_ws_abi::{
    CMWS_STATUS_INVALID_HANDLE, CMWS_STATUS_OK, CMWS_STATUS_WOULD_BLOCK, cmws_connection_abandon,
    cmws_connection_begin, cmws_connection_finish, cmws_connection_write, cmws_handle_t, cmws_status_t,
};
use mlua_sys::{
    lua_State, lua_getfield, lua_getmetatable, lua_newuserdata, lua_pop, lua_pushboolean, lua_setmetatable,
    lua_tocfunction, lua_tolstring, lua_tonumber, lua_touserdata,
};

use crate::{error, metatable};

/// A message that has begun, in a userdata that gives it up when it is collected.
struct Begun {
    connection: cmws_handle_t,
    /// 0 when it is finished.
    message: u64,
}

/// `begin(connection, kind, flags)` returns the message; false where it would block, or why not.
pub unsafe extern "C-unwind" fn begin(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua. What may raise is done before there is a message that would be lost.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        let (kind, flags) = (lua_tonumber(state, 2) as u32, lua_tonumber(state, 3) as u32);
        let begun = lua_newuserdata(state, size_of::<Begun>()).cast::<Begun>();
        begun.write(Begun { connection, message: 0 });
        metatable::push(state, collect);
        lua_setmetatable(state, -2);
        let mut message = 0;
        let status = cmws_connection_begin(connection, kind, flags, &mut message);
        if status != CMWS_STATUS_OK {
            return refuse(state, status);
        }
        (*begun).message = message;
    }
    1
}

/// The message at this index; None where something else is.
unsafe fn begun_at<'a>(state: *mut lua_State, index: c_int) -> Option<&'a mut Begun> {
    // SAFETY: the callers have two free slots. What has our finalizer is one of ours, and lives as
    // long as the call that it is an argument of.
    unsafe {
        let begun = lua_touserdata(state, index).cast::<Begun>();
        if lua_getmetatable(state, index) == 0 {
            return None;
        }
        lua_getfield(state, -1, c"__gc".as_ptr());
        let finalizer = lua_tocfunction(state, -1).map(|f| f as usize);
        lua_pop(state, 2);
        if finalizer == Some(collect as *const () as usize) { begun.as_mut() } else { None }
    }
}

/// `write(message, data, flags)` returns nothing when the fragment is accepted, false where it would
/// block, else why not.
pub unsafe extern "C-unwind" fn write(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a string behind what should be a message.
    unsafe {
        let Some(begun) = begun_at(state, 1) else { return no_message(state) };
        let mut length = 0;
        let data = lua_tolstring(state, 2, &mut length);
        let flags = lua_tonumber(state, 3) as u32;
        match cmws_connection_write(begun.connection, begun.message, data.cast(), length, flags) {
            CMWS_STATUS_OK => 0,
            status => refuse(state, status),
        }
    }
}

/// `finish(message)` returns nothing, or why not.
pub unsafe extern "C-unwind" fn finish(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let Some(begun) = begun_at(state, 1) else { return no_message(state) };
        match cmws_connection_finish(begun.connection, begun.message) {
            CMWS_STATUS_OK => {
                begun.message = 0;
                0
            }
            status => refuse(state, status),
        }
    }
}

/// What a script has put in the place of a message is none.
unsafe fn no_message(state: *mut lua_State) -> c_int {
    // SAFETY: the callers have a free slot.
    unsafe { error::push_table_text(state, CMWS_STATUS_INVALID_HANDLE) };
    1
}

/// Pushes false where it would block, else why not.
unsafe fn refuse(state: *mut lua_State, status: cmws_status_t) -> c_int {
    // SAFETY: the callers have a free slot.
    unsafe {
        match status {
            CMWS_STATUS_WOULD_BLOCK => lua_pushboolean(state, 0),
            status => error::push(state, status),
        }
    }
    1
}

unsafe extern "C-unwind" fn collect(state: *mut lua_State) -> c_int {
    // SAFETY: only messages have this finalizer.
    unsafe {
        let begun = lua_touserdata(state, 1).cast::<Begun>();
        if !begun.is_null() && (*begun).message != 0 {
            cmws_connection_abandon((*begun).connection, (*begun).message);
            (*begun).message = 0;
        }
    }
    0
}
