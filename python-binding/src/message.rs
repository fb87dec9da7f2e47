//! Messages between the library and Python objects.

use std::mem::MaybeUninit;

use coromega_ws_abi as abi;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// How many messages one call takes.
pub const BATCH: usize = 16;

/// What the core's inbox had.
pub enum Taken {
    /// As many as were asked for: there may be more.
    Some,
    /// Fewer, or none.
    All,
    Ended,
    /// Another mailbox has it.
    Moved,
}

/// Takes up to `most` messages, no more than [`BATCH`], and hands each to `give`, as str and bytes; of
/// a connection with `fragments`, each with whether it is the last of its message.
///
/// Called without a lock, since a MemoryError may be made on the way.
pub fn take(
    py: Python<'_>,
    connection: u64,
    most: usize,
    fragments: bool,
    mut give: impl FnMut(Py<PyAny>),
) -> PyResult<Taken> {
    let mut messages = [const { MaybeUninit::<abi::cmws_message_t>::uninit() }; BATCH];
    let (first, most) = (messages.as_mut_ptr().cast(), most.min(BATCH));
    let size = size_of::<abi::cmws_message_t>();
    let mut count = 0;
    // SAFETY: the array has room for as many as the call says.
    let status = unsafe { abi::cmws_connection_receive(connection, first, size, most, &mut count) };
    if status == abi::CMWS_STATUS_MOVED {
        return Ok(Taken::Moved);
    }
    if status != abi::CMWS_STATUS_OK {
        // Any other status than CLOSED means that the handle ended with its mailbox.
        return Ok(Taken::Ended);
    }
    let mut result = Ok(if count < most { Taken::All } else { Taken::Some });
    for message in messages.iter().take(count) {
        // SAFETY: the call filled the first `count`.
        let message = unsafe { message.assume_init_ref() };
        let object = match object(py, message) {
            Ok(object) if fragments => {
                let fin = message.flags & abi::CMWS_MESSAGE_MORE == 0;
                (object, fin).into_pyobject(py).map(|pair| pair.into_any().unbind())
            }
            object => object,
        };
        match object {
            Ok(object) => give(object),
            Err(error) => result = Err(error),
        }
    }
    if count > 0 {
        // SAFETY: they are ours since the call above, and are released once.
        unsafe { abi::cmws_message_release(first, size, count) };
    }
    result
}

fn object(py: Python<'_>, message: &abi::cmws_message_t) -> PyResult<Py<PyAny>> {
    let length = message.length as ffi::Py_ssize_t;
    // SAFETY: the library says that `data` has `length` bytes; both calls copy them.
    unsafe {
        let made = if message.kind == abi::CMWS_MESSAGE_BINARY {
            ffi::PyBytes_FromStringAndSize(message.data.cast(), length)
        } else {
            ffi::PyUnicode_FromStringAndSize(message.data.cast(), length)
        };
        Ok(Bound::from_owned_ptr_or_err(py, made)?.unbind())
    }
}

/// A message to be sent, as bytes that stay where they are while it lives.
pub enum Outgoing {
    Text(Py<PyAny>),
    Binary(Py<PyBytes>),
}

impl Outgoing {
    /// Sends it; the status is the library's.
    pub fn send(&self, py: Python<'_>, connection: u64, flags: u32) -> PyResult<i32> {
        match self {
            Outgoing::Text(text) => send_text(text.bind(py), connection, flags),
            Outgoing::Binary(bytes) => {
                Ok(send_bytes(bytes.bind(py).as_bytes(), abi::CMWS_MESSAGE_BINARY, connection, flags))
            }
        }
    }
}

/// Sends a str; one with lone surrogates is a UnicodeEncodeError, and nothing is sent.
pub fn send_text(text: &Bound<'_, PyAny>, connection: u64, flags: u32) -> PyResult<i32> {
    let mut length = 0;
    // SAFETY: `text` is a str, whose UTF-8 form lives as long as it does.
    let data = unsafe { ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &mut length) };
    if data.is_null() {
        return Err(PyErr::fetch(text.py()));
    }
    // SAFETY: `data` has `length` bytes and lives through the call.
    Ok(unsafe {
        abi::cmws_connection_send(connection, abi::CMWS_MESSAGE_TEXT, data.cast(), length as usize, flags)
    })
}

/// Makes a message that was taken the next one again.
pub fn put_back(message: &Bound<'_, PyAny>, connection: u64) -> PyResult<()> {
    let (data, fin) = match message.cast::<PyTuple>() {
        Ok(pair) => pair.extract()?,
        Err(_) => (message.clone(), true),
    };
    let (kind, bytes) = match data.cast::<PyBytes>() {
        Ok(bytes) => (abi::CMWS_MESSAGE_BINARY, bytes.as_bytes()),
        Err(_) => (abi::CMWS_MESSAGE_TEXT, data.cast::<PyString>()?.to_str()?.as_bytes()),
    };
    let flags = if fin { 0 } else { abi::CMWS_MESSAGE_MORE };
    // SAFETY: the slice is passed with its length and lives through the call.
    let status =
        unsafe { abi::cmws_connection_put_back(connection, kind, bytes.as_ptr(), bytes.len(), flags) };
    crate::error::check(message.py(), status)
}

/// Sends bytes.
pub fn send_bytes(bytes: &[u8], kind: u32, connection: u64, flags: u32) -> i32 {
    // SAFETY: the slice is passed with its length and lives through the call.
    unsafe { abi::cmws_connection_send(connection, kind, bytes.as_ptr(), bytes.len(), flags) }
}
