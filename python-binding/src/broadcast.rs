//! One message for many connections.

use coromega_ws_abi as abi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::check;
use crate::send::{copy, flags};

/// Sends str as text, else a buffer as binary; returns a status for each connection.
#[pyfunction]
pub fn send_to_many(
    py: Python<'_>,
    connections: Vec<u64>,
    message: &Bound<'_, PyAny>,
    compress: bool,
    slow: u32,
) -> PyResult<Vec<i32>> {
    let copied;
    let (kind, data) = match message.cast::<PyString>() {
        Ok(text) => (abi::CMWS_MESSAGE_TEXT, text.to_str()?.as_bytes()),
        Err(_) => {
            copied = match message.cast::<PyBytes>() {
                Ok(bytes) => bytes.clone(),
                Err(_) => copy(message)?,
            };
            (abi::CMWS_MESSAGE_BINARY, copied.as_bytes())
        }
    };
    let mut statuses = vec![0; connections.len()];
    // SAFETY: everything is passed with its length and lives through the call; str and bytes don't
    // change while others run.
    let status = py.detach(|| unsafe {
        abi::cmws_connections_send(
            connections.as_ptr(),
            connections.len(),
            kind,
            data.as_ptr(),
            data.len(),
            flags(compress),
            slow,
            statuses.as_mut_ptr(),
            std::ptr::null_mut(),
        )
    });
    check(py, status)?;
    Ok(statuses)
}
