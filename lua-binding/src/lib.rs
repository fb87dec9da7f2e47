//! The Lua module `coromega_ws`: raw functions over the C ABI, and over them the dispatcher in
//! Lua (`dispatch/`), which holds everything that a script sees.
//!
//! The raw functions keep two promises. Nothing in them panics, and no frame of theirs has
//! anything to drop while it calls Lua: an error of Lua's may leave them at any such call.

mod broadcast;
mod connection;
mod counters;
mod error;
mod fragments;
mod inbox;
mod listener;
mod mailbox;
mod metatable;
mod options;

use std::ffi::{CStr, c_char, c_int};

use coromega_ws_abi::{CMWS_ABI_MAJOR, CMWS_ABI_MINOR, cmws_abi_version};
use mlua_sys::{
    LUA_REGISTRYINDEX, LUA_TNIL, lua_CFunction, lua_State, lua_call, lua_createtable, lua_error,
    lua_getfield, lua_pop, lua_pushcclosure, lua_pushlstring, lua_pushstring, lua_pushvalue, lua_setfield,
    lua_type, luaL_loadbufferx,
};

/// Where the registry keeps the object that `require` returns, so that a state has only one.
const REGISTRY_KEY: &CStr = c"coromega_ws";

/// The dispatcher's chunks in the order in which they run; each gets the table `ws` they share.
const CHUNKS: [(&CStr, &str); 21] = [
    (c"=coromega_ws/error.lua", include_str!("dispatch/error.lua")),
    (c"=coromega_ws/timer.lua", include_str!("dispatch/timer.lua")),
    (c"=coromega_ws/task.lua", include_str!("dispatch/task.lua")),
    (c"=coromega_ws/pcall.lua", include_str!("dispatch/pcall.lua")),
    (c"=coromega_ws/options.lua", include_str!("dispatch/options.lua")),
    (c"=coromega_ws/json.lua", include_str!("dispatch/json.lua")),
    (c"=coromega_ws/inbox.lua", include_str!("dispatch/inbox.lua")),
    (c"=coromega_ws/connection.lua", include_str!("dispatch/connection.lua")),
    (c"=coromega_ws/transfer.lua", include_str!("dispatch/transfer.lua")),
    (c"=coromega_ws/broadcast.lua", include_str!("dispatch/broadcast.lua")),
    (c"=coromega_ws/reconnect.lua", include_str!("dispatch/reconnect.lua")),
    (c"=coromega_ws/ping.lua", include_str!("dispatch/ping.lua")),
    (c"=coromega_ws/fragments.lua", include_str!("dispatch/fragments.lua")),
    (c"=coromega_ws/info.lua", include_str!("dispatch/info.lua")),
    (c"=coromega_ws/listener.lua", include_str!("dispatch/listener.lua")),
    (c"=coromega_ws/review.lua", include_str!("dispatch/review.lua")),
    (c"=coromega_ws/mailbox.lua", include_str!("dispatch/mailbox.lua")),
    (c"=coromega_ws/fork.lua", include_str!("dispatch/fork.lua")),
    (c"=coromega_ws/log.lua", include_str!("dispatch/log.lua")),
    (c"=coromega_ws/print.lua", include_str!("dispatch/print.lua")),
    (c"=coromega_ws/coromega.lua", include_str!("dispatch/coromega.lua")),
];

/// The raw functions by the names that the dispatcher knows them by.
const FUNCTIONS: [(&CStr, lua_CFunction); 43] = [
    (c"poll", mailbox::poll),
    (c"next_event", mailbox::next_event),
    (c"has_events", mailbox::has_events),
    (c"next_message", inbox::next_message),
    (c"flush", mailbox::flush),
    (c"renew", mailbox::renew),
    (c"fd", mailbox::fd),
    (c"set_deadline", mailbox::set_deadline),
    (c"set_log_level", mailbox::set_log_level),
    (c"clock", mailbox::clock),
    (c"time", mailbox::time),
    (c"block", mailbox::block),
    (c"connect", connection::connect),
    (c"send", connection::send),
    (c"send_now", connection::send_now),
    (c"receive", inbox::receive),
    (c"close", connection::close),
    (c"info", connection::info),
    (c"details", connection::details),
    (c"header", connection::header),
    (c"ping", connection::ping),
    (c"put_back", connection::put_back),
    (c"take_over", connection::take_over),
    (c"answer", connection::answer),
    (c"begin", fragments::begin),
    (c"write", fragments::write),
    (c"finish", fragments::finish),
    (c"guard", connection::guard),
    (c"free", connection::free),
    (c"listen", listener::listen),
    (c"address", listener::address),
    (c"accept", listener::accept),
    (c"reload", listener::reload),
    (c"close_listener", listener::close),
    (c"drain", listener::drain),
    (c"connections", listener::connections),
    (c"free_listener", listener::free),
    (c"send_to_many", broadcast::send_to_many),
    (c"counters", counters::counters),
    (c"metrics", counters::metrics),
    (c"is_option", options::is_option),
    (c"status_text", error::status_text),
    (c"version", error::version),
];

/// `require("coromega_ws")`: returns the coromega object. Starts nothing.
///
/// # Safety
/// Called by Lua, with a valid state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_coromega_ws(state: *mut lua_State) -> c_int {
    // SAFETY: Lua passes a valid state with LUA_MINSTACK free slots; at most ten are used.
    unsafe {
        lua_getfield(state, LUA_REGISTRYINDEX, REGISTRY_KEY.as_ptr());
        if lua_type(state, -1) != LUA_TNIL {
            return 1;
        }
        lua_pop(state, 1);

        let found = cmws_abi_version();
        if found >> 16 != CMWS_ABI_MAJOR || (found & 0xffff) < CMWS_ABI_MINOR {
            error::push_version_mismatch(state, found);
            lua_error(state);
        }

        lua_createtable(state, 0, 32);
        lua_createtable(state, 0, FUNCTIONS.len() as c_int);
        mailbox::push(state);
        metatable::push(state, connection::collect);
        lua_pushstring(state, c"binary".as_ptr());
        lua_pushstring(state, c"_record".as_ptr());
        for (name, function) in FUNCTIONS {
            for _upvalue in 0..4 {
                lua_pushvalue(state, -4);
            }
            lua_pushcclosure(state, function, 4);
            lua_setfield(state, -6, name.as_ptr());
        }
        lua_pop(state, 4);
        lua_setfield(state, -2, c"raw".as_ptr());

        for (name, source) in CHUNKS {
            let text = source.as_ptr().cast::<c_char>();
            if luaL_loadbufferx(state, text, source.len(), name.as_ptr(), c"t".as_ptr()) != 0 {
                lua_error(state);
            }
            lua_pushvalue(state, -2);
            lua_call(state, 1, 0);
        }

        let version = env!("CARGO_PKG_VERSION");
        lua_getfield(state, -1, c"coromega".as_ptr());
        lua_pushlstring(state, version.as_ptr().cast(), version.len());
        lua_setfield(state, -2, c"_VERSION".as_ptr());
        lua_pushvalue(state, -1);
        lua_setfield(state, LUA_REGISTRYINDEX, REGISTRY_KEY.as_ptr());
        1
    }
}
