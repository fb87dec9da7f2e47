//! Messages that are sent in fragments (S37).

use coromega_ws_abi as abi;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::asyncio::unless_closed;
use crate::connection::Connection;
use crate::send::{copy, flags, refused};

/// A message that has begun. It is given up when nobody has it any more.
#[pyclass(frozen, module = "coromega_ws._native")]
pub struct Begun {
    owner: Py<Connection>,
    connection: u64,
    message: u64,
    binary: bool,
}

#[pymethods]
impl Begun {
    /// Sends a fragment; False where it would block: then there is an event when there is room.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.owner.get().here(py)?;
        let kept;
        let bytes = if !self.binary {
            let text = data.cast::<PyString>().map_err(|_| wrong(data, "text as str"))?;
            text.to_str()?.as_bytes()
        } else if let Ok(bytes) = data.cast::<PyBytes>() {
            bytes.as_bytes()
        } else {
            kept = copy(data).map_err(|_| wrong(data, "bytes"))?;
            kept.as_bytes()
        };
        let (connection, message) = (self.connection, self.message);
        // SAFETY: the slice is passed with its length and lives through the call.
        let status = unsafe {
            abi::cmws_connection_write(
                connection,
                message,
                bytes.as_ptr(),
                bytes.len(),
                abi::CMWS_SEND_NOTIFY,
            )
        };
        match status {
            abi::CMWS_STATUS_OK => Ok(true),
            abi::CMWS_STATUS_WOULD_BLOCK => Ok(false),
            status => Err(refused(py, status, "write")),
        }
    }

    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.owner.get().here(py)?;
        // SAFETY: takes numbers and checks them.
        match unsafe { abi::cmws_connection_finish(self.connection, self.message) } {
            abi::CMWS_STATUS_OK => Ok(()),
            status => Err(refused(py, status, "finish")),
        }
    }

    /// Gives it up. Does nothing if it is finished.
    fn abandon(&self) {
        // SAFETY: never fails, whatever the numbers.
        unsafe { abi::cmws_connection_abandon(self.connection, self.message) };
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn wrong(data: &Bound<'_, PyAny>, what: &str) -> PyErr {
    let found = data.get_type().name().map_or_else(|_| "that".into(), |name| name.to_string());
    PyTypeError::new_err(format!("write: {what}, not {found}"))
}

/// Begins a message; None where it would block: then there is an event when it can begin.
#[pyfunction]
pub fn begin(
    py: Python<'_>,
    connection: &Bound<'_, Connection>,
    binary: bool,
    compress: bool,
) -> PyResult<Option<Begun>> {
    connection.get().here(py)?;
    // What was sent before leaves before.
    if connection.get().sends_waiting() {
        return Ok(None);
    }
    let kind = if binary { abi::CMWS_MESSAGE_BINARY } else { abi::CMWS_MESSAGE_TEXT };
    let owner = connection.clone().unbind();
    let (connection, mut message) = (connection.get().handle(), 0);
    // SAFETY: takes numbers and checks them, and writes one.
    let status = unsafe {
        abi::cmws_connection_begin(connection, kind, flags(compress) | abi::CMWS_SEND_NOTIFY, &mut message)
    };
    match status {
        abi::CMWS_STATUS_OK => Ok(Some(Begun { owner, connection, message, binary })),
        abi::CMWS_STATUS_WOULD_BLOCK => Ok(None),
        status => Err(refused(py, status, "begin")),
    }
}

impl Connection {
    /// Wakes those who wait for room to write, or to begin.
    pub fn tell_writers(slf: &Bound<'_, Self>) -> PyResult<()> {
        if !std::mem::take(&mut slf.get().state.lock().writers_wait) {
            return Ok(());
        }
        let py = slf.py();
        let woken = slf.call_method0(pyo3::intern!(py, "_has_room")).map(|_| ());
        unless_closed(&slf.get().mailbox(py).get().loop_of(py)?, woken)?;
        Connection::repin(slf)
    }
}
