//! Listeners: made, asked for their address and clients, closed.

use std::{
    ffi::{CStr, c_int},
    mem::{MaybeUninit, size_of},
};

use coromega_ws_abi::{
    CMWS_STATUS_OK, cmws_address_t, cmws_handle_t, cmws_listener_accept, cmws_listener_address,
    cmws_listener_close, cmws_listener_connections, cmws_listener_drain, cmws_listener_free,
    cmws_listener_reload, cmws_mailbox_listen, cmws_options_clear, cmws_options_t,
};
use mlua_sys::{
    lua_Integer, lua_State, lua_createtable, lua_newuserdata, lua_pushboolean, lua_pushinteger,
    lua_pushstring, lua_rawseti, lua_tolstring, lua_tonumber,
};

use crate::{error, mailbox, options};

/// Clients taken in one accept.
const CLIENTS: usize = 32;

/// `listen(host, port, options)` returns the listener and its `max_callbacks`, or nil and why.
pub unsafe extern "C-unwind" fn listen(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue, a string, and a port in range.
    unsafe {
        let own = match mailbox::handle(mailbox::of(state)) {
            Ok(own) => own,
            Err(status) => return error::fail(state, status),
        };
        let mut chosen = MaybeUninit::<cmws_options_t>::zeroed();
        let status = options::read(state, 3, chosen.as_mut_ptr());
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        let mut length = 0;
        let host = lua_tolstring(state, 1, &mut length);
        let port = lua_tonumber(state, 2) as u16;
        let mut listener = 0;
        let status = cmws_mailbox_listen(own, host, length, port, chosen.as_ptr(), &mut listener);
        let max_callbacks = (*chosen.as_ptr()).max_callbacks;
        cmws_options_clear(chosen.as_mut_ptr());
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        lua_pushinteger(state, listener as lua_Integer);
        lua_pushinteger(state, max_callbacks.into());
    }
    2
}

/// `address(listener)` returns host and port, or nil and why.
pub unsafe extern "C-unwind" fn address(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; the library ends the host with a NUL.
    unsafe {
        let listener = lua_tonumber(state, 1) as cmws_handle_t;
        let mut place = MaybeUninit::<cmws_address_t>::zeroed();
        let size = size_of::<cmws_address_t>();
        let status = cmws_listener_address(listener, size, place.as_mut_ptr());
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        push_address(state, place.as_ptr());
    }
    2
}

/// Pushes host and port.
///
/// # Safety
/// `state` is a valid state with two free slots; `place` is an address the library has filled.
pub unsafe fn push_address(state: *mut lua_State, place: *const cmws_address_t) {
    // SAFETY: the caller's promise; `host` ends with a NUL.
    unsafe {
        let host = (&raw const (*place).host).cast();
        lua_pushstring(state, CStr::from_ptr(host).as_ptr());
        lua_pushinteger(state, (*place).port.into());
    }
}

/// `accept(listener, out)` puts clients' handles into the table `out` and returns how many, and
/// whether there may be more; or nil and why.
pub unsafe extern "C-unwind" fn accept(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a table as second argument.
    unsafe {
        let listener = lua_tonumber(state, 1) as cmws_handle_t;
        let mut handles = [0 as cmws_handle_t; CLIENTS];
        let mut count = 0;
        let status = cmws_listener_accept(listener, handles.as_mut_ptr(), CLIENTS, &mut count);
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        for (position, handle) in handles.iter().take(count).enumerate() {
            lua_pushinteger(state, *handle as lua_Integer);
            lua_rawseti(state, 2, (position as lua_Integer).wrapping_add(1));
        }
        lua_pushinteger(state, count as lua_Integer);
        lua_pushboolean(state, c_int::from(count == CLIENTS));
    }
    2
}

/// `reload(listener)` reads its certificate files again; returns nothing, or nil and why.
pub unsafe extern "C-unwind" fn reload(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let status = cmws_listener_reload(lua_tonumber(state, 1) as cmws_handle_t);
        if status == CMWS_STATUS_OK { 0 } else { error::fail(state, status) }
    }
}

/// `close_listener(listener, reason)` returns nothing, or nil and why.
pub unsafe extern "C-unwind" fn close(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a string or nil as second argument.
    unsafe {
        let listener = lua_tonumber(state, 1) as cmws_handle_t;
        let mut length = 0;
        // Of nil, it is a null pointer and no length.
        let reason = lua_tolstring(state, 2, &mut length);
        let status = cmws_listener_close(listener, reason, length);
        if status == CMWS_STATUS_OK { 0 } else { error::fail(state, status) }
    }
}

/// `drain(listener, reason, seconds)` returns nothing, or nil and why.
pub unsafe extern "C-unwind" fn drain(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a string or nil as second argument, and a number.
    unsafe {
        let listener = lua_tonumber(state, 1) as cmws_handle_t;
        let mut length = 0;
        let reason = lua_tolstring(state, 2, &mut length);
        let status = cmws_listener_drain(listener, lua_tonumber(state, 3), reason, length);
        if status == CMWS_STATUS_OK { 0 } else { error::fail(state, status) }
    }
}

/// `connections(listener, capacity)` returns a table of up to so many handles, and how many there
/// are; or nil and why.
pub unsafe extern "C-unwind" fn connections(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a whole number as second argument. The userdata has room for as
    // many handles, and is aligned for them, as Lua aligns userdata for any type.
    unsafe {
        let listener = lua_tonumber(state, 1) as cmws_handle_t;
        let capacity = lua_tonumber(state, 2) as usize;
        let handles: *mut cmws_handle_t =
            lua_newuserdata(state, capacity.max(1).saturating_mul(size_of::<cmws_handle_t>())).cast();
        let mut count = 0;
        let status = cmws_listener_connections(listener, handles, capacity, &mut count);
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        lua_createtable(state, 0, 0);
        for place in 0..count.min(capacity) {
            lua_pushinteger(state, *handles.add(place) as lua_Integer);
            lua_rawseti(state, -2, (place as lua_Integer).wrapping_add(1));
        }
        lua_pushinteger(state, count as lua_Integer);
    }
    2
}

/// `free_listener(listener)` lets go of it.
pub unsafe extern "C-unwind" fn free(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { cmws_listener_free(lua_tonumber(state, 1) as cmws_handle_t) };
    0
}
