//! The calls a listener needs; the listener itself is in the Python package.

use coromega_ws_abi as abi;
use pyo3::prelude::*;

use crate::error::{check, text_of};

/// `(host, port)` of a `cmws_address_t`.
pub fn address_of(address: &abi::cmws_address_t) -> (String, u16) {
    // SAFETY: the library ends the text inside the array.
    (unsafe { text_of(address.host.as_ptr()) }, address.port)
}

/// Where a listener listens.
#[pyfunction]
pub fn listener_address(py: Python<'_>, listener: u64) -> PyResult<(String, u16)> {
    let mut address = abi::cmws_address_t { port: 0, host: [0; 126] };
    // SAFETY: the size is that of the struct that is passed.
    check(py, unsafe {
        abi::cmws_listener_address(listener, size_of::<abi::cmws_address_t>(), &mut address)
    })?;
    Ok(address_of(&address))
}

/// The handles of accepted clients, at most 64, taken from a listener's queue.
#[pyfunction]
pub fn listener_accept(py: Python<'_>, listener: u64) -> PyResult<Vec<u64>> {
    let mut handles = [0u64; 64];
    let mut count = 0;
    // SAFETY: the array has room for as many as the call says.
    let status =
        unsafe { abi::cmws_listener_accept(listener, handles.as_mut_ptr(), handles.len(), &mut count) };
    if status == abi::CMWS_STATUS_CLOSED {
        return Ok(Vec::new());
    }
    check(py, status)?;
    Ok(handles.iter().take(count).copied().collect())
}

/// Reads a listener's certificate files again.
#[pyfunction]
pub fn listener_reload(py: Python<'_>, listener: u64) -> PyResult<()> {
    // SAFETY: takes a handle and checks it.
    check(py, unsafe { abi::cmws_listener_reload(listener) })
}

/// Starts closing a listener; False if it has ended already.
#[pyfunction]
pub fn listener_close(py: Python<'_>, listener: u64, reason: &str) -> PyResult<bool> {
    // SAFETY: the reason is passed with its length and lives through the call.
    match unsafe { abi::cmws_listener_close(listener, reason.as_ptr().cast(), reason.len()) } {
        abi::CMWS_STATUS_CLOSED => Ok(false),
        status => check(py, status).map(|()| true),
    }
}

/// Starts draining a listener; False if it has ended already.
#[pyfunction]
pub fn listener_drain(py: Python<'_>, listener: u64, seconds: f64, reason: &str) -> PyResult<bool> {
    // SAFETY: the reason is passed with its length and lives through the call.
    match unsafe { abi::cmws_listener_drain(listener, seconds, reason.as_ptr().cast(), reason.len()) } {
        abi::CMWS_STATUS_CLOSED => Ok(false),
        status => check(py, status).map(|()| true),
    }
}

/// The handles of the connections that came through a listener and have not ended.
#[pyfunction]
pub fn listener_connections(py: Python<'_>, listener: u64) -> PyResult<Vec<u64>> {
    let mut handles = vec![0u64; 64];
    loop {
        let mut count = 0;
        // SAFETY: the array has room for as many as the call says.
        check(py, unsafe {
            abi::cmws_listener_connections(listener, handles.as_mut_ptr(), handles.len(), &mut count)
        })?;
        let all = count <= handles.len();
        handles.resize(count, 0);
        if all {
            return Ok(handles);
        }
    }
}
