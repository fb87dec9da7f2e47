//! Metatables of userdata: a finalizer, and nothing for scripts to see.

use mlua_sys::{lua_CFunction, lua_State, lua_createtable, lua_pushboolean, lua_pushcclosure, lua_setfield};

/// Pushes a metatable with this finalizer.
///
/// # Safety
/// `state` is a valid state with three free slots.
pub unsafe fn push(state: *mut lua_State, finalizer: lua_CFunction) {
    // SAFETY: the caller's promise.
    unsafe {
        lua_createtable(state, 0, 2);
        lua_pushcclosure(state, finalizer, 0);
        lua_setfield(state, -2, c"__gc".as_ptr());
        lua_pushboolean(state, 0);
        lua_setfield(state, -2, c"__metatable".as_ptr());
    }
}
