//! Sends: what may be sent, accepted at once or queued.

use coromega_ws_abi as abi;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use crate::asyncio::running_loop;
use crate::awaitable::ready;
use crate::connection::Connection;
use crate::error::{exception, failure};
use crate::message::{Outgoing, send_bytes, send_text};
use crate::pending::PendingSend;

/// What `send_message` and `send_binary` were given.
pub enum Argument<'a, 'py> {
    Text(&'a Bound<'py, PyAny>),
    Binary(&'a Bound<'py, PyAny>),
}

impl<'py> Argument<'_, 'py> {
    pub fn name(&self) -> &'static str {
        match self {
            Argument::Text(_) => "send_message",
            Argument::Binary(_) => "send_binary",
        }
    }

    /// One try; the status is the library's.
    pub fn attempt(&self, connection: u64, flags: u32) -> PyResult<i32> {
        match self {
            Argument::Text(text) if text.is_instance_of::<PyString>() => send_text(text, connection, flags),
            Argument::Text(other) => Err(PyTypeError::new_err(format!(
                "send_message: text as str, not {} (send_binary takes bytes)",
                other.get_type().name()?
            ))),
            Argument::Binary(bytes) => match bytes.cast::<PyBytes>() {
                Ok(bytes) => Ok(send_bytes(bytes.as_bytes(), abi::CMWS_MESSAGE_BINARY, connection, flags)),
                Err(_) => send_buffer(bytes, connection, flags),
            },
        }
    }

    fn keep(&self) -> PyResult<Outgoing> {
        match self {
            Argument::Text(text) => Ok(Outgoing::Text((*text).clone().unbind())),
            Argument::Binary(bytes) => Ok(Outgoing::Binary(match bytes.cast::<PyBytes>() {
                Ok(bytes) => bytes.clone().unbind(),
                Err(_) => copy(bytes)?.unbind(),
            })),
        }
    }
}

/// The content of any object with a buffer, as bytes.
pub fn copy<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let view = PyMemoryView::from(object)?;
    Ok(view.call_method0("tobytes")?.cast_into::<PyBytes>()?)
}

/// Sends what an object's buffer holds, in place where it lies in one piece.
fn send_buffer(object: &Bound<'_, PyAny>, connection: u64, flags: u32) -> PyResult<i32> {
    let py = object.py();
    let mut view = std::mem::MaybeUninit::<ffi::Py_buffer>::zeroed();
    // SAFETY: the GIL is held and `view` has room for a Py_buffer.
    if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_SIMPLE) } != 0 {
        let error = PyErr::fetch(py);
        if !error.is_instance_of::<PyBufferError>(py) {
            return Err(error);
        }
        return Ok(send_bytes(copy(object)?.as_bytes(), abi::CMWS_MESSAGE_BINARY, connection, flags));
    }
    // SAFETY: filled by the call above; the buffer stays where it is until it is released, nothing of
    // Python changes it while the GIL is held, and the library copies what it accepts. An empty one may have no address: see below.
    unsafe {
        let mut view = view.assume_init();
        let bytes: &[u8] = if view.buf.is_null() {
            &[]
        } else {
            std::slice::from_raw_parts(view.buf.cast(), view.len as usize)
        };
        let status = send_bytes(bytes, abi::CMWS_MESSAGE_BINARY, connection, flags);
        ffi::PyBuffer_Release(&mut view);
        Ok(status)
    }
}

/// Checks the argument as a send would and reports its type.
fn check(argument: &Argument<'_, '_>) -> PyResult<()> {
    match argument {
        Argument::Text(text) if text.is_instance_of::<PyString>() => {
            text.cast::<PyString>()?.to_str().map(|_| ())
        }
        Argument::Text(_) => argument.attempt(0, 0).map(|_| ()),
        Argument::Binary(bytes) => copy(bytes).map(|_| ()),
    }
}

/// The flag of a message that is not to be compressed.
pub fn flags(compress: bool) -> u32 {
    if compress { 0 } else { abi::CMWS_SEND_UNCOMPRESSED }
}

/// Sends now, or queues behind those that wait.
pub fn send(slf: &Bound<'_, Connection>, argument: Argument<'_, '_>, flags: u32) -> PyResult<Py<PyAny>> {
    let flags = flags | abi::CMWS_SEND_NOTIFY;
    let py = slf.py();
    let connection = slf.get();
    let mut status = abi::CMWS_STATUS_WOULD_BLOCK;
    if connection.sends_waiting() {
        check(&argument)?;
    } else {
        status = argument.attempt(connection.handle(), flags)?;
    }
    match status {
        abi::CMWS_STATUS_OK => return ready(py),
        abi::CMWS_STATUS_WOULD_BLOCK => {}
        // The handle went with its event loop.
        abi::CMWS_STATUS_INVALID_HANDLE if connection.is_over() => {
            return Err(refused(py, abi::CMWS_STATUS_CLOSED, argument.name()));
        }
        status => return Err(refused(py, status, argument.name())),
    }
    let caller = running_loop(py)?;
    if caller.is_none() {
        return Err(exception(py, status, &would_block(argument.name()), 0));
    }
    let pending = PendingSend::new(slf.clone().unbind(), argument.keep()?, flags, caller.unbind());
    let pending = Py::new(py, pending)?;
    Connection::queue_send(slf, pending.clone_ref(py))?;
    Ok(pending.into_any())
}

fn would_block(name: &str) -> String {
    format!(
        "{name}: would block: write_limit is reached, and without a running event loop there is no waiting"
    )
}

/// The exception for a send that the library refused.
pub fn refused(py: Python<'_>, status: i32, name: &str) -> PyErr {
    if status == abi::CMWS_STATUS_CLOSED {
        return exception(py, status, &format!("{name}: the connection is closed"), 0);
    }
    failure(py, status)
}
