//! Names and texts of statuses, and the last error.

use std::ffi::{CStr, CString, c_char};
use std::sync::OnceLock;

use coromega_ws_abi::{CMWS_STATUS_OK, cmws_status_t};
use coromega_ws_core::Kind;

use crate::guard::last_error;

/// The core's table as C strings: number, name, text.
fn table() -> &'static [(i32, CString, CString)] {
    static TABLE: OnceLock<Vec<(i32, CString, CString)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let c = |text: &str| CString::new(text).unwrap_or_default();
        let kinds = Kind::ALL.iter().map(|k| (*k as i32, c(k.name()), c(k.text())));
        [(CMWS_STATUS_OK, c("OK"), c("ok"))].into_iter().chain(kinds).collect()
    })
}

fn find(
    status: cmws_status_t,
    part: impl Fn(&'static (i32, CString, CString)) -> &'static CStr,
) -> *const c_char {
    table().iter().find(|row| row.0 == status).map_or(c"UNKNOWN", part).as_ptr()
}

/// The name of a status: `CLOSED` for `CMWS_STATUS_CLOSED`; `UNKNOWN` for a number that is none.
///
/// The text lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_status_name(status: cmws_status_t) -> *const c_char {
    find(status, |row| &row.1)
}

/// The fixed words for a status, such as `would block`; they never change, so that they may be
/// compared. `UNKNOWN` for a number that is none.
///
/// The text lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_status_text(status: cmws_status_t) -> *const c_char {
    find(status, |row| &row.2)
}

/// Why the last call that failed on this thread failed: what was tried and what happened.
/// Empty if none has failed.
///
/// UTF-8. The text lives until the next call that fails on this thread, or the thread's end.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_last_error_text() -> *const c_char {
    last_error()
}
