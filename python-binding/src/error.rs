//! Statuses of the C ABI as Python exceptions; the classes are those of `coromega_ws.error`.

use std::ffi::{CStr, c_char};

use coromega_ws_abi as abi;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// A C string of the library's as a Rust string.
///
/// # Safety
/// `text` is NULL or a string ended by a NUL that lives through the call.
pub unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for the string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Why the last failing call on this thread failed.
pub fn last_text() -> String {
    // SAFETY: the library's string lives until this thread's next failing call.
    unsafe { text_of(abi::cmws_last_error_text()) }
}

/// The exception for `status`, with `text` as its message.
pub fn exception(py: Python<'_>, status: i32, text: &str, http_status: u16) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = MAKE
        .import(py, "coromega_ws.error", "from_status")
        .and_then(|make| make.call1((status, text, http_status)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The exception for a call that failed just now.
pub fn failure(py: Python<'_>, status: i32) -> PyErr {
    exception(py, status, &last_text(), 0)
}

/// `Ok` for `CMWS_STATUS_OK`, otherwise the exception.
pub fn check(py: Python<'_>, status: i32) -> PyResult<()> {
    if status == abi::CMWS_STATUS_OK { Ok(()) } else { Err(failure(py, status)) }
}

/// Whether S4 lets the exception pass to the loop: Ctrl-C and exit.
pub fn passes(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py)
}

/// Misuse: a method called on a loop or thread that the object does not belong to.
pub fn elsewhere() -> PyErr {
    PyRuntimeError::new_err(
        "this object belongs to another event loop: only send_message, send, send_binary and close may be called from here",
    )
}

/// `(name, text)` of a status, as the library has them.
#[pyfunction]
pub fn status_words(status: i32) -> (String, String) {
    // SAFETY: both are the library's constants.
    unsafe { (text_of(abi::cmws_status_name(status)), text_of(abi::cmws_status_text(status))) }
}
