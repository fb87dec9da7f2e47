//! The state's mailbox: made when first needed, closed with the state.

use std::{
    ffi::c_int,
    mem::size_of,
    ptr,
    sync::OnceLock,
    thread,
    time::{Duration, Instant, SystemTime},
};

use coromega_ws_abi::{
    CMWS_EVENT_CLOSED, CMWS_EVENT_DEAD, CMWS_EVENT_LOG, CMWS_EVENT_LOST, CMWS_EVENT_READABLE,
    CMWS_STATUS_CLOSED, CMWS_STATUS_FORKED, CMWS_STATUS_OK, cmws_event_t, cmws_handle_t, cmws_mailbox_close,
    cmws_mailbox_fd, cmws_mailbox_flush, cmws_mailbox_new, cmws_mailbox_poll, cmws_mailbox_set_deadline,
    cmws_mailbox_set_log_level, cmws_message_release, cmws_message_t, cmws_status_t,
};
use mlua_sys::{
    LUA_TTABLE, lua_Integer, lua_State, lua_newuserdata, lua_pushboolean, lua_pushinteger, lua_pushlstring,
    lua_pushnumber, lua_rawget, lua_setmetatable, lua_tonumber, lua_touserdata, lua_upvalueindex,
};

use crate::{error, metatable};

/// Events taken in one poll.
const EVENTS: usize = 128;
/// Messages taken in one receive.
pub const MESSAGES: usize = 64;

/// A userdata, the first upvalue of each raw function. It starts as zeros.
#[repr(C)]
pub struct Mailbox {
    /// 0 before the first need.
    handle: cmws_handle_t,
    /// The state has been closed, or is being closed.
    closed: bool,
    /// What is left of the last poll: `events` from the first of these places up to the second.
    at: usize,
    end: usize,
    /// How many of `messages` are not released: not 0 inside `receive`, and for good after one that ran
    /// out of memory. The two can't be told apart, so that only the end of the state releases them.
    pub taken: usize,
    /// The connection that `receive` is at, or 0. An error of Lua's leaves it for the next
    /// `poll`.
    pub receiving: cmws_handle_t,
    /// A connection that `receive` has given nothing because it was at it, or 0: the next `poll` tells
    /// of it, for nobody else would.
    pub missed: cmws_handle_t,
    /// What `receive` works on.
    pub messages: [cmws_message_t; MESSAGES],
    /// The first place is for `missed`.
    events: [cmws_event_t; 1 + EVENTS],
}

/// The mailbox of the raw function that runs.
///
/// # Safety
/// Called in a raw function, whose first upvalue is the mailbox.
pub unsafe fn of(state: *mut lua_State) -> *mut Mailbox {
    // SAFETY: the caller's promise.
    unsafe { lua_touserdata(state, lua_upvalueindex(1)).cast() }
}

/// The mailbox's handle, made at the first call.
///
/// # Safety
/// `mailbox` is the state's mailbox.
pub unsafe fn handle(mailbox: *mut Mailbox) -> Result<cmws_handle_t, cmws_status_t> {
    // SAFETY: the caller's promise; one thread at a time runs a Lua state.
    unsafe {
        if (*mailbox).closed {
            return Err(CMWS_STATUS_CLOSED);
        }
        if (*mailbox).handle == 0 {
            let status = cmws_mailbox_new(&raw mut (*mailbox).handle);
            if status != CMWS_STATUS_OK {
                return Err(status);
            }
        }
        Ok((*mailbox).handle)
    }
}

/// Pushes a new userdata that closes its mailbox when the state ends.
///
/// # Safety
/// `state` is a valid state with four free slots.
pub unsafe fn push(state: *mut lua_State) {
    // SAFETY: the caller's promise; all zeros is a valid Mailbox.
    unsafe {
        let memory = lua_newuserdata(state, size_of::<Mailbox>());
        ptr::write_bytes(memory.cast::<Mailbox>(), 0, 1);
        metatable::push(state, collect);
        lua_setmetatable(state, -2);
    }
}

/// Finalizers run in any order, and may be followed by scripts' own: what is called after this
/// one answers "closed".
unsafe extern "C-unwind" fn collect(state: *mut lua_State) -> c_int {
    // SAFETY: only Mailbox userdata has this finalizer.
    unsafe {
        let mailbox = lua_touserdata(state, 1).cast::<Mailbox>();
        if !mailbox.is_null() && !(*mailbox).closed {
            (*mailbox).closed = true;
            (*mailbox).end = 0; // the texts end
            release(mailbox);
            if (*mailbox).handle != 0 {
                let _ = cmws_mailbox_close((*mailbox).handle);
            }
        }
    }
    0
}

/// Lets go of messages that a receive without memory left behind.
///
/// # Safety
/// `mailbox` is the mailbox of a state that ends: no `receive` goes on.
unsafe fn release(mailbox: *mut Mailbox) {
    // SAFETY: the first `taken` messages are as the library stored them, and nobody uses them.
    unsafe {
        let count = (*mailbox).taken;
        if count != 0 {
            (*mailbox).taken = 0;
            let messages = (&raw mut (*mailbox).messages).cast();
            cmws_message_release(messages, size_of::<cmws_message_t>(), count);
        }
    }
}

/// `poll(timeout_ms)` waits for events, unless some are left of the last time. Returns how many there
/// are, or nil and why there are none.
pub unsafe extern "C-unwind" fn poll(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue.
    unsafe {
        let mailbox = of(state);
        let status = wait(mailbox, lua_tonumber(state, 1) as c_int);
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        lua_pushinteger(state, (*mailbox).end.saturating_sub((*mailbox).at) as lua_Integer);
    }
    1
}

/// What `poll` does.
///
/// # Safety
/// `mailbox` is the state's mailbox.
pub unsafe fn wait(mailbox: *mut Mailbox, timeout: c_int) -> cmws_status_t {
    // SAFETY: the caller's promise.
    unsafe {
        // Nothing receives while a state polls: if this is not 0, an error has ended a `receive`.
        (*mailbox).receiving = 0;
        if first(mailbox).is_some() {
            return CMWS_STATUS_OK;
        }
        let own = match handle(mailbox) {
            Ok(own) => own,
            Err(status) => return status,
        };
        let missed = (*mailbox).missed;
        let timeout = if missed == 0 { timeout } else { 0 };
        let events = (&raw mut (*mailbox).events).cast::<cmws_event_t>();
        let size = size_of::<cmws_event_t>();
        let mut count = 0;
        let status = cmws_mailbox_poll(own, timeout, events.add(1), size, EVENTS, &mut count);
        if status != CMWS_STATUS_OK {
            return status;
        }
        (*mailbox).at = 1;
        (*mailbox).end = count.wrapping_add(1);
        if missed != 0 {
            (*events).kind = CMWS_EVENT_READABLE;
            (*events).handle = missed;
            (*mailbox).at = 0;
            (*mailbox).missed = 0;
        }
        status
    }
}

/// The next event. Its text lives until all are dropped: only then there is another poll.
///
/// # Safety
/// `mailbox` is the state's mailbox.
pub unsafe fn first<'a>(mailbox: *mut Mailbox) -> Option<&'a cmws_event_t> {
    // SAFETY: the caller's promise; the events up to `end` are as the library stored them.
    unsafe {
        let at = (*mailbox).at;
        let events = (&raw const (*mailbox).events).cast::<cmws_event_t>();
        if at < (*mailbox).end { Some(&*events.add(at)) } else { None }
    }
}

/// Drops the next event.
///
/// # Safety
/// `mailbox` is the state's mailbox.
pub unsafe fn drop_first(mailbox: *mut Mailbox) {
    // SAFETY: the caller's promise.
    unsafe { (*mailbox).at = (*mailbox).at.wrapping_add(1) };
}

/// Pushes what the table at index 1 has under a handle. Whether that is a record.
///
/// # Safety
/// `state` has a free slot and a table at this index.
pub unsafe fn push_record(state: *mut lua_State, handle: cmws_handle_t) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        lua_pushinteger(state, handle as lua_Integer);
        lua_rawget(state, 1) == LUA_TTABLE
    }
}

/// `next_event(direct)` returns the next event: its kind and handle; behind those of CLOSED, DEAD and
/// LOST also close code and text, of LOG level and text; nothing where none is left. Where the event is
/// one for `next_message`, leaves it and returns 0.
pub unsafe extern "C-unwind" fn next_event(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue and a table of records.
    unsafe {
        let mailbox = of(state);
        let Some(event) = first(mailbox) else { return 0 };
        if event.kind == CMWS_EVENT_READABLE && push_record(state, event.handle) {
            lua_pushinteger(state, 0);
            return 1;
        }
        lua_pushinteger(state, event.kind.into());
        lua_pushinteger(state, event.handle as lua_Integer);
        let number = match event.kind {
            CMWS_EVENT_CLOSED | CMWS_EVENT_DEAD | CMWS_EVENT_LOST => event.close_code.into(),
            CMWS_EVENT_LOG => event.level.into(),
            _ => {
                drop_first(mailbox);
                return 2;
            }
        };
        lua_pushinteger(state, number);
        lua_pushlstring(state, event.text, event.text_length);
        drop_first(mailbox);
    }
    4
}

/// `has_events()` returns whether some are left of the last poll.
pub unsafe extern "C-unwind" fn has_events(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue.
    unsafe { lua_pushboolean(state, first(of(state)).is_some().into()) };
    1
}

/// `renew()`: in a child of fork, lets go of the parent's mailbox, so that the next need makes a new
/// one, and returns true. Otherwise false.
pub unsafe extern "C-unwind" fn renew(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue.
    unsafe {
        let mailbox = of(state);
        let forked = (*mailbox).handle != 0
            && !(*mailbox).closed
            && cmws_mailbox_flush((*mailbox).handle) == CMWS_STATUS_FORKED;
        if forked {
            (*mailbox).handle = 0;
            (*mailbox).end = 0;
            (*mailbox).missed = 0;
        }
        lua_pushboolean(state, forked.into());
    }
    1
}

/// `set_log_level(level)` returns nothing, or nil and why.
pub unsafe extern "C-unwind" fn set_log_level(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue.
    unsafe {
        let own = match handle(of(state)) {
            Ok(own) => own,
            Err(status) => return error::fail(state, status),
        };
        let status = cmws_mailbox_set_log_level(own, lua_tonumber(state, 1) as u32);
        if status == CMWS_STATUS_OK { 0 } else { error::fail(state, status) }
    }
}

/// `flush()`, at the end of a dispatch, writes what was corked.
pub unsafe extern "C-unwind" fn flush(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue.
    unsafe {
        let mailbox = of(state);
        if (*mailbox).handle != 0 && !(*mailbox).closed {
            let _ = cmws_mailbox_flush((*mailbox).handle);
        }
    }
    0
}

/// `fd()` returns the descriptor that is readable when there is something to poll.
pub unsafe extern "C-unwind" fn fd(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue.
    unsafe {
        let own = match handle(of(state)) {
            Ok(own) => own,
            Err(status) => return error::fail(state, status),
        };
        let mut descriptor = -1;
        let status = cmws_mailbox_fd(own, &mut descriptor);
        if status != CMWS_STATUS_OK {
            return error::fail(state, status);
        }
        lua_pushinteger(state, descriptor.into());
    }
    1
}

/// `set_deadline(after_ms)` makes the descriptor readable then; a negative number clears it.
pub unsafe extern "C-unwind" fn set_deadline(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the mailbox as its upvalue.
    unsafe {
        if let Ok(own) = handle(of(state)) {
            let _ = cmws_mailbox_set_deadline(own, lua_tonumber(state, 1) as i64);
        }
    }
    0
}

/// `clock()` returns seconds that only go forward.
pub unsafe extern "C-unwind" fn clock(state: *mut lua_State) -> c_int {
    static START: OnceLock<Instant> = OnceLock::new();
    let seconds = START.get_or_init(Instant::now).elapsed().as_secs_f64();
    // SAFETY: called by Lua.
    unsafe { lua_pushnumber(state, seconds) };
    1
}

/// `time()` returns Unix time in seconds.
pub unsafe extern "C-unwind" fn time(state: *mut lua_State) -> c_int {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // SAFETY: called by Lua.
    unsafe { lua_pushnumber(state, since.unwrap_or_default().as_secs_f64()) };
    1
}

/// `block(seconds)` lets the thread sleep, for at most a second.
pub unsafe extern "C-unwind" fn block(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua.
    let seconds = unsafe { lua_tonumber(state, 1) };
    if seconds > 0.0 {
        thread::sleep(Duration::from_micros((seconds.min(1.0) * 1e6) as u64));
    }
    0
}
