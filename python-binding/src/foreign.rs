//! Handles of connections that belong to another language of this process (S31).

use coromega_ws_abi as abi;
use pyo3::prelude::*;

use crate::awaitable::ready;
use crate::error::exception;
use crate::request::info;
use crate::send::{Argument, flags, refused};

/// Sends on a handle whose connection belongs to another language of this process.
#[pyfunction]
pub fn send_foreign(
    py: Python<'_>,
    handle: u64,
    data: &Bound<'_, PyAny>,
    binary: bool,
    compress: bool,
) -> PyResult<Py<PyAny>> {
    let argument = if binary { Argument::Binary(data) } else { Argument::Text(data) };
    match argument.attempt(handle, flags(compress))? {
        abi::CMWS_STATUS_OK => ready(py),
        abi::CMWS_STATUS_WOULD_BLOCK => {
            let text = format!("{}: would block: write_limit is reached", argument.name());
            Err(exception(py, abi::CMWS_STATUS_WOULD_BLOCK, &text, 0))
        }
        status => Err(refused(py, status, argument.name())),
    }
}

/// The state of any connection of this process; a handle that is none raises.
#[pyfunction]
pub fn foreign_state(py: Python<'_>, handle: u64) -> PyResult<u32> {
    Ok(info(py, handle)?.state)
}

/// Starts closing any connection of this process; False if that has begun already.
#[pyfunction]
pub fn close_foreign(py: Python<'_>, handle: u64, code: u16, reason: &str) -> PyResult<bool> {
    // SAFETY: the reason is passed with its length and lives through the call.
    match unsafe { abi::cmws_connection_close(handle, code, reason.as_ptr().cast(), reason.len()) } {
        abi::CMWS_STATUS_CLOSED => Ok(false),
        status => crate::error::check(py, status).map(|()| true),
    }
}
