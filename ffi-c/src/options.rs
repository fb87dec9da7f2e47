//! Options: defaults, setting by name, and what core makes of them.

use std::ffi::c_char;

use coromega_ws_abi::{cmws_options_t, cmws_status_t};
use coromega_ws_core::{Options, Result};

use crate::guard::{bytes, check_output, guard, invalid, store_sized};

fn to_c(options: &Options, struct_size: u32) -> cmws_options_t {
    cmws_options_t {
        struct_size,
        max_callbacks: options.max_callbacks,
        open_timeout_ms: options.open_timeout_ms,
        close_timeout_ms: options.close_timeout_ms,
        max_message_size: options.max_message_size,
        read_limit: options.read_limit,
        write_limit: options.write_limit,
    }
}

fn from_c(options: &cmws_options_t) -> Options {
    Options {
        max_callbacks: options.max_callbacks,
        open_timeout_ms: options.open_timeout_ms,
        close_timeout_ms: options.close_timeout_ms,
        max_message_size: options.max_message_size,
        read_limit: options.read_limit,
        write_limit: options.write_limit,
    }
}

/// The options that a caller passes; NULL, or fields that it does not know, are the defaults.
///
/// # Safety
/// `options` is NULL, or `struct_size` bytes can be read there.
pub(crate) unsafe fn read(options: *const cmws_options_t) -> Result<Options> {
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: every version of the struct begins with its size.
    let size = unsafe { (&raw const (*options).struct_size).read() };
    let mut known = to_c(&Options::default(), size);
    if (size as usize) < size_of::<u32>() {
        return Err(invalid("options were not initialised: call cmws_options_init"));
    }
    let length = (size as usize).min(size_of::<cmws_options_t>());
    // SAFETY: the caller has `struct_size` bytes there; any bytes are valid numbers.
    unsafe { (&raw mut known).cast::<u8>().copy_from_nonoverlapping(options.cast(), length) };
    Ok(from_c(&known))
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
/// sizes in bytes. INVALID_ARGUMENT for a name that this version does not have, or a value out of
/// its range; then nothing is changed, and `cmws_last_error_text` tells the names or the range.
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
        let (mut known, name) = unsafe { (read(options)?, bytes(name, name_length)?) };
        known.set(&String::from_utf8_lossy(name), value)?;
        // SAFETY: `read` has seen the size; the caller has so many bytes there. What a newer
        // caller's struct has beyond is left as it is.
        unsafe {
            let size = (*options).struct_size;
            let known_size = (size as usize).min(size_of::<cmws_options_t>());
            let known = to_c(&known, size);
            options.cast::<u8>().copy_from_nonoverlapping((&raw const known).cast(), known_size);
        }
        Ok(())
    })
}
