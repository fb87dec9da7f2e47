//! Options: defaults, setting by name, and what core makes of them.

use std::{ffi::c_char, ptr};

use coromega_ws_abi::{cmws_options_t, cmws_status_t};
use coromega_ws_core::{Options, Result};

use crate::guard::{bytes, check_output, guard, guard_silent, invalid, store_sized};

fn to_c(options: &Options, struct_size: u32) -> cmws_options_t {
    cmws_options_t {
        struct_size,
        max_callbacks: options.max_callbacks,
        open_timeout_ms: options.open_timeout_ms,
        close_timeout_ms: options.close_timeout_ms,
        max_message_size: options.max_message_size,
        read_limit: options.read_limit,
        write_limit: options.write_limit,
        more: ptr::null_mut(),
    }
}

/// The struct as this version knows it; fields that a caller does not know are the defaults.
///
/// # Safety
/// `struct_size` bytes can be read there.
unsafe fn known(options: *const cmws_options_t) -> Result<cmws_options_t> {
    // SAFETY: every version of the struct begins with its size.
    let size = unsafe { (&raw const (*options).struct_size).read() };
    if (size as usize) < size_of::<u32>() {
        return Err(invalid("options were not initialised: call cmws_options_init"));
    }
    let mut known = to_c(&Options::default(), size);
    let length = (size as usize).min(size_of::<cmws_options_t>());
    // SAFETY: the caller has `struct_size` bytes there, for `cmws_options_init` stored as many and
    // that number; any bytes are valid numbers, and `more` is only ever what this library stored.
    unsafe { (&raw mut known).cast::<u8>().copy_from_nonoverlapping(options.cast(), length) };
    Ok(known)
}

/// The options that a caller passes; NULL is the defaults.
///
/// # Safety
/// `options` is NULL, or was filled by `cmws_options_init`, and no other thread changes it.
pub(crate) unsafe fn read(options: *const cmws_options_t) -> Result<Options> {
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: the caller's promise; `more` is NULL or came from a box in `change`, which nobody
    // changes or drops during a call of the library.
    let (known, more) = unsafe {
        let known = known(options)?;
        (known, known.more.cast::<Options>().as_ref())
    };
    let mut all = more.cloned().unwrap_or_default();
    all.max_callbacks = known.max_callbacks;
    all.open_timeout_ms = known.open_timeout_ms;
    all.close_timeout_ms = known.close_timeout_ms;
    all.max_message_size = known.max_message_size;
    all.read_limit = known.read_limit;
    all.write_limit = known.write_limit;
    Ok(all)
}

/// Changes what a caller's struct stands for.
///
/// # Safety
/// `options` was filled by `cmws_options_init`, and no other thread uses it or a copy of it.
unsafe fn change(options: *mut cmws_options_t, f: impl FnOnce(&mut Options) -> Result<()>) -> Result<()> {
    // SAFETY: the caller's promise; `more` is NULL or came from a box here. What a newer caller's
    // struct has beyond is left as it is.
    unsafe {
        let before = known(options)?;
        let mut all = read(options)?;
        f(&mut all)?;
        let mut after = to_c(&all, before.struct_size);
        after.more = before.more;
        let length = (before.struct_size as usize).min(size_of::<cmws_options_t>());
        match after.more.cast::<Options>().as_mut() {
            Some(more) => *more = all,
            None if length == size_of::<cmws_options_t>() => after.more = Box::into_raw(Box::new(all)).cast(),
            None => {}
        }
        options.cast::<u8>().copy_from_nonoverlapping((&raw const after).cast(), length);
    }
    Ok(())
}

/// Fills options with the defaults. `options_size` is `sizeof(cmws_options_t)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_options_init(
    options_size: usize,
    out_options: *mut cmws_options_t,
) -> cmws_status_t {
    guard(|| {
        let size = u32::try_from(options_size).map_err(|_| invalid("options_size is out of range"))?;
        if (size as usize) < size_of::<u32>() {
            return Err(invalid("options_size is out of range"));
        }
        // SAFETY: the caller has `options_size` bytes there.
        unsafe { store_sized(out_options, options_size, to_c(&Options::default(), size)) }
    })
}

/// Sets the option of this name (`open_timeout`, `max_message_size`, ...). Times are in seconds,
/// sizes in bytes, 0 and 1 are no and yes. INVALID_ARGUMENT for a name that this version does not
/// have, or a value out of its range; then nothing is changed, and `cmws_last_error_text` tells
/// the names or the range.
///
/// No other thread may use these options meanwhile, or a copy of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_options_set(
    options: *mut cmws_options_t,
    name: *const c_char,
    name_length: usize,
    value: f64,
) -> cmws_status_t {
    guard(|| {
        check_output(options)?;
        // SAFETY: as this function's contract says.
        unsafe {
            let name = String::from_utf8_lossy(bytes(name, name_length)?);
            change(options, |all| all.set(&name, value))
        }
    })
}

/// Sets the option of this name (`path`, `ca_files`, ...) to a text, or adds it to a list
/// (`subprotocols`, `origins`, `response_headers`, `ca_files`). The text is UTF-8, but for
/// `response_headers`, whose `Name: value` may have any bytes that HTTP allows. Errors as for
/// `cmws_options_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_options_set_text(
    options: *mut cmws_options_t,
    name: *const c_char,
    name_length: usize,
    text: *const c_char,
    text_length: usize,
) -> cmws_status_t {
    guard(|| {
        check_output(options)?;
        // SAFETY: as this function's contract says.
        unsafe {
            let name = String::from_utf8_lossy(bytes(name, name_length)?);
            let text = bytes(text, text_length)?;
            change(options, |all| all.set_text(&name, text))
        }
    })
}

/// Releases what was set by name, and makes the options the defaults again. To be called once,
/// where copies of the struct were made, none of which may be used after that. Does nothing for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_options_clear(options: *mut cmws_options_t) {
    guard_silent(|| {
        if options.is_null() {
            return;
        }
        // SAFETY: as this function's contract says; `more` is NULL or came from a box in `change`,
        // and nobody uses it any more.
        unsafe {
            let Ok(known) = known(options) else { return };
            if !known.more.is_null() {
                drop(Box::from_raw(known.more.cast::<Options>()));
            }
            let length = (known.struct_size as usize).min(size_of::<cmws_options_t>());
            let fresh = to_c(&Options::default(), known.struct_size);
            options.cast::<u8>().copy_from_nonoverlapping((&raw const fresh).cast(), length);
        }
    });
}
