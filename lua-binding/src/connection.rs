//! Connections: made, written to, taken from, asked, closed, let go of.

use std::{
    ffi::c_int,
    mem::{MaybeUninit, size_of},
    ptr,
};

use coromega_ws_abi::{
    CMWS_STATUS_CLOSED, CMWS_STATUS_INVALID_HANDLE, CMWS_STATUS_OK, CMWS_STATUS_WOULD_BLOCK,
    cmws_connection_answer, cmws_connection_close, cmws_connection_free, cmws_connection_header,
    cmws_connection_info, cmws_connection_info_t, cmws_connection_move, cmws_connection_ping,
    cmws_connection_put_back, cmws_connection_send, cmws_handle_t, cmws_header_t, cmws_mailbox_connect,
    cmws_options_clear, cmws_options_t,
};
use mlua_sys::{
    LUA_TNIL, LUA_TNUMBER, LUA_TSTRING, LUA_TTABLE, lua_Integer, lua_State, lua_newuserdata, lua_pushboolean,
    lua_pushinteger, lua_pushlstring, lua_pushvalue, lua_rawget, lua_rawgeti, lua_setmetatable,
    lua_tolstring, lua_tonumber, lua_touserdata, lua_type, lua_upvalueindex,
};

use crate::{
    error, listener,
    mailbox::{self},
    options,
};

/// `connect(address, headers, options)` returns the connection and its `max_callbacks`, or nil
/// and why. OPEN or CLOSED follows.
pub unsafe extern "C-unwind" fn connect(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue, a string, and tables or nils.
    unsafe {
        let own = match mailbox::handle(mailbox::of(state)) {
            Ok(own) => own,
            Err(status) => return error::fail(state, status),
        };
        // Making the array may raise: before there are options to clear.
        let (headers, count) = options::headers(state, 2);
        let mut chosen = MaybeUninit::<cmws_options_t>::zeroed();
        let status = options::read(state, 3, chosen.as_mut_ptr());
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        let mut length = 0;
        let address = lua_tolstring(state, 1, &mut length);
        let mut connection = 0;
        let options = chosen.as_mut_ptr();
        let status = cmws_mailbox_connect(own, address, length, headers, count, options, &mut connection);
        let max_callbacks = (*options).max_callbacks;
        cmws_options_clear(options);
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        lua_pushinteger(state, connection as lua_Integer);
        lua_pushinteger(state, max_callbacks.into());
    }
    2
}

/// `send(connection, kind, data, flags)` returns nothing when the message is accepted, false
/// where it would block, else why not.
pub unsafe extern "C-unwind" fn send(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a string as third argument.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        send_to(state, connection, lua_tonumber(state, 4) as u32)
    }
}

/// `send_now(object, kind, data, options)` is `send` with the object of a connection, whose record has
/// the handle at 1 while nobody waits to send. Returns true where that is not so, an argument has
/// another type, or there are options: then nothing is done.
pub unsafe extern "C-unwind" fn send_now(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the record's name as fourth upvalue. Nothing here needs more than two
    // slots.
    unsafe {
        if lua_type(state, 1) == LUA_TTABLE
            && lua_type(state, 3) == LUA_TSTRING
            && lua_type(state, 4) <= LUA_TNIL
        {
            lua_pushvalue(state, lua_upvalueindex(4));
            if lua_rawget(state, 1) == LUA_TTABLE && lua_rawgeti(state, -1, 1) == LUA_TNUMBER {
                let connection = lua_tonumber(state, -1) as cmws_handle_t;
                return send_to(state, connection, 0);
            }
        }
        lua_pushboolean(state, 1);
    }
    1
}

/// What both do: kind and data are at indexes 2 and 3.
unsafe fn send_to(state: *mut lua_State, connection: cmws_handle_t, flags: u32) -> c_int {
    // SAFETY: called by these, with a string at index 3.
    unsafe {
        let kind = lua_tonumber(state, 2) as u32;
        let mut length = 0;
        let data = lua_tolstring(state, 3, &mut length);
        match cmws_connection_send(connection, kind, data.cast(), length, flags) {
            CMWS_STATUS_OK => return 0,
            CMWS_STATUS_WOULD_BLOCK => lua_pushboolean(state, 0),
            status => error::push(state, status),
        }
    }
    1
}

/// `put_back(connection, kind, data, flags)` makes a message the next one again; returns nothing, or
/// nil and why.
pub unsafe extern "C-unwind" fn put_back(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a string as third argument.
    unsafe {
        let mut length = 0;
        let data = lua_tolstring(state, 3, &mut length);
        let (connection, kind) = (lua_tonumber(state, 1) as cmws_handle_t, lua_tonumber(state, 2) as u32);
        let flags = lua_tonumber(state, 4) as u32;
        let status = cmws_connection_put_back(connection, kind, data.cast(), length, flags);
        if status == CMWS_STATUS_OK { 0 } else { error::fail(state, status) }
    }
}

/// `take_over(connection)` takes a connection over; returns its handle here, its `max_callbacks` and
/// whether it has the option `fragments`, or nil and why.
pub unsafe extern "C-unwind" fn take_over(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue.
    unsafe {
        let own = match mailbox::handle(mailbox::of(state)) {
            Ok(own) => own,
            Err(status) => return error::fail(state, status),
        };
        let mut moved = 0;
        let status = cmws_connection_move(lua_tonumber(state, 1) as cmws_handle_t, own, &mut moved);
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        let mut known = MaybeUninit::<cmws_connection_info_t>::zeroed();
        let status = cmws_connection_info(moved, size_of::<cmws_connection_info_t>(), known.as_mut_ptr());
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        lua_pushinteger(state, moved as lua_Integer);
        lua_pushinteger(state, (*known.as_ptr()).max_callbacks.into());
        lua_pushboolean(state, (*known.as_ptr()).fragments.into());
    }
    3
}

/// `ping(connection)` returns true when PONG will follow, or nil and why.
pub unsafe extern "C-unwind" fn ping(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe {
        let status = cmws_connection_ping(lua_tonumber(state, 1) as cmws_handle_t);
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        lua_pushboolean(state, 1);
    }
    1
}

/// `close(connection, code, reason)` returns true when the close frame is on its way, false when
/// there was nothing left to close, nil and why after an error.
pub unsafe extern "C-unwind" fn close(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a code in range, and a string or nil.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        let code = lua_tonumber(state, 2) as u16;
        let mut length = 0;
        let mut reason = lua_tolstring(state, 3, &mut length);
        if reason.is_null() {
            reason = ptr::null();
            length = 0;
        }
        match cmws_connection_close(connection, code, reason, length) {
            CMWS_STATUS_OK => lua_pushboolean(state, 1),
            CMWS_STATUS_CLOSED => lua_pushboolean(state, 0),
            status => return error::fail(state, status),
        }
    }
    1
}

/// `info(connection)` returns state, close code, close reason, path, query, subprotocol, number
/// of headers, peer's host and port, listener (0 for a client's), and the last and the smoothed
/// latency in microseconds, 0 before the first; or nil and why.
pub unsafe extern "C-unwind" fn info(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua, with the connection's guard referenced by the caller, so that this state
    // does not free it, and the texts live on. What is missing: another thread that takes it over and
    // frees it within this call, while its peer goes as well, ends them too early.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        let mut known = MaybeUninit::<cmws_connection_info_t>::zeroed();
        let size = size_of::<cmws_connection_info_t>();
        let status = cmws_connection_info(connection, size, known.as_mut_ptr());
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        let known = known.as_ptr();
        lua_pushinteger(state, (*known).state.into());
        lua_pushinteger(state, (*known).close_code.into());
        lua_pushlstring(state, (*known).close_reason, (*known).close_reason_length);
        lua_pushlstring(state, (*known).path, (*known).path_length);
        lua_pushlstring(state, (*known).query, (*known).query_length);
        lua_pushlstring(state, (*known).subprotocol, (*known).subprotocol_length);
        lua_pushinteger(state, (*known).header_count as lua_Integer);
        listener::push_address(state, &raw const (*known).peer);
        lua_pushinteger(state, (*known).listener as lua_Integer);
        lua_pushinteger(state, (*known).latency_us as lua_Integer);
        lua_pushinteger(state, (*known).smoothed_latency_us as lua_Integer);
    }
    12
}

/// `details(connection)` returns state, who closed it, our host and port, and the messages and bytes
/// received and sent; or nil and why.
pub unsafe extern "C-unwind" fn details(state: *mut lua_State) -> c_int {
    // SAFETY: as in `info`.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        let mut known = MaybeUninit::<cmws_connection_info_t>::zeroed();
        let size = size_of::<cmws_connection_info_t>();
        let status = cmws_connection_info(connection, size, known.as_mut_ptr());
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        let known = known.as_ptr();
        lua_pushinteger(state, (*known).state.into());
        lua_pushinteger(state, (*known).closed_by.into());
        listener::push_address(state, &raw const (*known).local);
        lua_pushinteger(state, (*known).messages_received as lua_Integer);
        lua_pushinteger(state, (*known).bytes_received as lua_Integer);
        lua_pushinteger(state, (*known).messages_sent as lua_Integer);
        lua_pushinteger(state, (*known).bytes_sent as lua_Integer);
    }
    8
}

/// `header(connection, index)` returns the name and the value of a header of the request, the
/// first of which has index 0; or nil and why.
pub unsafe extern "C-unwind" fn header(state: *mut lua_State) -> c_int {
    // SAFETY: as in `info`.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        let index = lua_tonumber(state, 2) as usize;
        let mut field = MaybeUninit::<cmws_header_t>::zeroed();
        let size = size_of::<cmws_header_t>();
        let status = cmws_connection_header(connection, index, size, field.as_mut_ptr());
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        let field = field.as_ptr();
        lua_pushlstring(state, (*field).name, (*field).name_length);
        lua_pushlstring(state, (*field).value, (*field).value_length);
    }
    2
}

/// `answer(connection, status, subprotocol, headers, body)`, with names and values of headers in
/// turn, returns nothing; or why not, and whether the request has ended.
pub unsafe extern "C-unwind" fn answer(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with a status in range, and a table, strings or nils.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        let status = lua_tonumber(state, 2) as u16;
        let (mut subprotocol_length, mut body_length) = (0, 0);
        let subprotocol = lua_tolstring(state, 3, &mut subprotocol_length);
        let body = lua_tolstring(state, 5, &mut body_length);
        let (headers, count) = options::headers(state, 4);
        let status = cmws_connection_answer(
            connection,
            status,
            subprotocol,
            subprotocol_length,
            headers,
            count,
            body.cast(),
            body_length,
        );
        if status == CMWS_STATUS_OK {
            return 0;
        }
        error::push(state, status);
        let ended = matches!(status, CMWS_STATUS_CLOSED | CMWS_STATUS_INVALID_HANDLE);
        lua_pushboolean(state, c_int::from(ended));
    }
    2
}

/// `guard(connection)` returns a userdata that lets go of the connection when it is collected.
pub unsafe extern "C-unwind" fn guard(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the guards' metatable as second upvalue.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        let slot = lua_newuserdata(state, size_of::<cmws_handle_t>()).cast::<cmws_handle_t>();
        slot.write(connection);
        lua_pushvalue(state, lua_upvalueindex(2));
        lua_setmetatable(state, -2);
    }
    1
}

/// The finalizer of guards: lets go of the connection.
pub unsafe extern "C-unwind" fn collect(state: *mut lua_State) -> c_int {
    // SAFETY: only guards have this finalizer. A handle that is stale by now does no harm.
    unsafe {
        let slot = lua_touserdata(state, 1).cast::<cmws_handle_t>();
        if !slot.is_null() && *slot != 0 {
            cmws_connection_free(*slot);
            *slot = 0;
        }
    }
    0
}

/// `free(connection)` lets go of a connection that never opened.
pub unsafe extern "C-unwind" fn free(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    unsafe { cmws_connection_free(lua_tonumber(state, 1) as cmws_handle_t) };
    0
}
