//! Versions of the ABI and of the library.

use std::ffi::c_char;

use coromega_ws_abi::{CMWS_ABI_MAJOR, CMWS_ABI_MINOR};

/// The ABI that this library has: `major << 16 | minor`.
///
/// A program works with a library of the same major number, and of the minor number that it was
/// compiled for or a later one.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_abi_version() -> u32 {
    CMWS_ABI_MAJOR << 16 | CMWS_ABI_MINOR
}

/// The version of the library, such as `0.1.0`. The text lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
