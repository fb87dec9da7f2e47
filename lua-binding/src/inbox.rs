//! Messages: taken from their connections.

use std::{
    ffi::c_int,
    mem::{MaybeUninit, size_of},
};

use coromega_ws_abi::{
    CMWS_EVENT_READABLE, CMWS_MESSAGE_BINARY, CMWS_MESSAGE_MORE, CMWS_STATUS_CLOSED, CMWS_STATUS_OK,
    cmws_connection_receive, cmws_handle_t, cmws_message_release, cmws_message_t, cmws_status_t,
};
use mlua_sys::{
    LUA_TNIL, lua_Integer, lua_State, lua_getfield, lua_pop, lua_pushboolean, lua_pushinteger,
    lua_pushlstring, lua_pushnil, lua_pushvalue, lua_rawset, lua_rawseti, lua_toboolean, lua_tonumber,
    lua_type, lua_upvalueindex,
};

use crate::{
    error,
    mailbox::{self, Mailbox},
};

/// Where both functions have the record on the stack.
const RECORD: c_int = 3;

/// `receive(connection, one, record)` returns a message and its kind: nil for text, "binary", or the
/// number of its kind where it is a fragment that others follow. Where it has taken several, or there
/// may be more, comes how many it has taken: the second one is in the record's table `queue` at 2, its
/// kind in `kinds` at the same place, and so on; and then true where there may be more. Returns false
/// when there is none; nothing when the connection has ended; nil and why after an error. With `one` it
/// takes one message at most.
///
/// Making a string may run a finalizer that receives: from the same connection it gets none, so that
/// none overtakes those under way; the next `poll` tells of that connection.
pub unsafe extern "C-unwind" fn receive(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue, a number, and a record at its place.
    unsafe {
        let connection = lua_tonumber(state, 1) as cmws_handle_t;
        match take(state, mailbox::of(state), connection, lua_toboolean(state, 2) != 0) {
            Ok((0, _)) => {
                lua_pushboolean(state, 0);
                1
            }
            Ok((count, more)) => push_rest(state, count, more).wrapping_add(2),
            Err(CMWS_STATUS_CLOSED) => 0,
            Err(status) => error::fail(state, status),
        }
    }
}

/// `next_message(direct, timeout_ms)` takes the messages that the next event tells of, if that is
/// READABLE and the table `direct` has the connection's record under its handle; where there are none,
/// it goes on with the event behind it. With a timeout it polls first, where no event is left. Returns
/// the record and what `receive` returns. Without a message returns nil, and true where no event is left.
/// An event of a connection that has ended stays, and its record is taken out of `direct`.
pub unsafe extern "C-unwind" fn next_message(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue, a table of records, and a number or false.
    unsafe {
        let mailbox = mailbox::of(state);
        if mailbox::first(mailbox).is_none() && lua_toboolean(state, 2) != 0 {
            // The loop polls again, and sees to what is wrong.
            let _ = mailbox::wait(mailbox, lua_tonumber(state, 2) as c_int);
        }
        while let Some(event) = mailbox::first(mailbox) {
            let connection = event.handle;
            if event.kind != CMWS_EVENT_READABLE || !mailbox::push_record(state, connection) {
                return 0;
            }
            let Ok((count, more)) = take(state, mailbox, connection, false) else {
                lua_pushinteger(state, connection as lua_Integer);
                lua_pushnil(state);
                lua_rawset(state, 1);
                return 0;
            };
            mailbox::drop_first(mailbox);
            if count != 0 {
                return push_rest(state, count, more).wrapping_add(3);
            }
            lua_pop(state, 1);
        }
        lua_pushnil(state);
        lua_pushboolean(state, 1);
    }
    2
}

/// Pushes what stands behind a message: nothing, the count, or the count and true. Returns how much.
unsafe fn push_rest(state: *mut lua_State, count: usize, more: bool) -> c_int {
    // SAFETY: called by these, with two free slots.
    unsafe {
        if count == 1 && !more {
            return 0;
        }
        lua_pushinteger(state, count as lua_Integer);
        if !more {
            return 1;
        }
        lua_pushboolean(state, 1);
    }
    2
}

/// Takes messages, and pushes the first and its kind. Returns how many, and whether there may be more.
unsafe fn take(
    state: *mut lua_State,
    mailbox: *mut Mailbox,
    connection: cmws_handle_t,
    one: bool,
) -> Result<(usize, bool), cmws_status_t> {
    // SAFETY: called by these, with the record at its place.
    unsafe {
        let outer = (*mailbox).receiving;
        if outer == connection {
            (*mailbox).missed = connection;
            return Ok((0, false));
        }
        (*mailbox).receiving = connection;
        let taken = if (*mailbox).taken != 0 || one {
            take_one(state, connection)
        } else {
            take_batch(state, mailbox, connection)
        };
        (*mailbox).receiving = outer;
        taken
    }
}

unsafe fn take_batch(
    state: *mut lua_State,
    mailbox: *mut Mailbox,
    connection: cmws_handle_t,
) -> Result<(usize, bool), cmws_status_t> {
    // SAFETY: called by `take`. Messages are recorded as taken while strings are made of them, for an
    // error of Lua's may end this function there.
    unsafe {
        let messages = (&raw mut (*mailbox).messages).cast::<cmws_message_t>();
        let size = size_of::<cmws_message_t>();
        let mut count = 0;
        let status = cmws_connection_receive(connection, messages, size, mailbox::MESSAGES, &mut count);
        if status != CMWS_STATUS_OK {
            return Err(status);
        } else if count == 0 {
            return Ok((0, false));
        }
        (*mailbox).taken = count;
        push(state, &*messages);
        if count > 1 {
            lua_getfield(state, RECORD, c"kinds".as_ptr());
            lua_getfield(state, RECORD, c"queue".as_ptr());
            for position in 1..count {
                let slot = (position as lua_Integer).wrapping_add(1);
                push(state, &*messages.add(position));
                if lua_type(state, -1) == LUA_TNIL {
                    lua_pop(state, 1);
                } else {
                    lua_rawseti(state, -4, slot);
                }
                lua_rawseti(state, -2, slot);
            }
            lua_pop(state, 2);
        }
        (*mailbox).taken = 0;
        cmws_message_release(messages, size, count);
        Ok((count, count == mailbox::MESSAGES))
    }
}

/// What `take` does where one is enough, and inside itself, when making a string has run a finalizer
/// that receives.
unsafe fn take_one(state: *mut lua_State, connection: cmws_handle_t) -> Result<(usize, bool), cmws_status_t> {
    // SAFETY: called by `take`.
    unsafe {
        let mut message = MaybeUninit::<cmws_message_t>::zeroed();
        let size = size_of::<cmws_message_t>();
        let mut count = 0;
        let status = cmws_connection_receive(connection, message.as_mut_ptr(), size, 1, &mut count);
        if status != CMWS_STATUS_OK {
            return Err(status);
        } else if count == 0 {
            return Ok((0, false));
        }
        push(state, &*message.as_ptr());
        cmws_message_release(message.as_mut_ptr(), size, count);
        Ok((1, true))
    }
}

/// Makes a string of a message, and pushes it and its kind.
unsafe fn push(state: *mut lua_State, message: &cmws_message_t) {
    // SAFETY: called by these, with free slots on the stack. The message is not released meanwhile:
    // finalizers that run here can't, and end their own receives in messages of their own.
    unsafe {
        lua_pushlstring(state, message.data.cast(), message.length);
        if message.flags & CMWS_MESSAGE_MORE != 0 {
            lua_pushinteger(state, message.kind.into());
        } else if message.kind == CMWS_MESSAGE_BINARY {
            lua_pushvalue(state, lua_upvalueindex(3));
        } else {
            lua_pushnil(state);
        }
    }
}
