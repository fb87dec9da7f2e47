//! The request behind a connection, which a server may look at before it is answered (S13).

use std::ffi::c_char;

use coromega_ws_abi as abi;
use pyo3::prelude::*;

use crate::error::check;
use crate::listener::address_of;
use crate::options::{Field, to_c};

/// What the library knows of a connection.
pub fn info(py: Python<'_>, connection: u64) -> PyResult<abi::cmws_connection_info_t> {
    let mut info = std::mem::MaybeUninit::<abi::cmws_connection_info_t>::zeroed();
    let size = size_of::<abi::cmws_connection_info_t>();
    // SAFETY: the size is that of the struct that is passed, and zeroed it is a valid value.
    unsafe {
        check(py, abi::cmws_connection_info(connection, size, info.as_mut_ptr()))?;
        Ok(info.assume_init())
    }
}

/// Text of an info struct.
///
/// # Safety
/// `data` has `length` bytes that live through the call, or `length` is 0.
pub unsafe fn text(data: *const c_char, length: usize) -> String {
    if data.is_null() || length == 0 {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// Path, query, subprotocol, the peer's host and port, and the headers in their order.
type Request = (String, String, String, (String, u16), Vec<(String, String)>);

/// The request behind a handle. The caller keeps the handle from being freed meanwhile: by holding
/// the GIL, as every call of this binding's that frees one does. What is missing: another language
/// that takes the connection over and frees it within this call, while its peer goes as well, ends its
/// texts too early.
#[pyfunction]
pub fn connection_request(py: Python<'_>, connection: u64) -> PyResult<Request> {
    let info = info(py, connection)?;
    let mut headers = Vec::with_capacity(info.header_count);
    for index in 0..info.header_count {
        let mut header = abi::cmws_header_t {
            name: std::ptr::null(),
            name_length: 0,
            value: std::ptr::null(),
            value_length: 0,
        };
        let size = size_of::<abi::cmws_header_t>();
        // SAFETY: the size is that of the struct that is passed; the texts live until the
        // connection is freed.
        headers.push(unsafe {
            check(py, abi::cmws_connection_header(connection, index, size, &mut header))?;
            (text(header.name, header.name_length), text(header.value, header.value_length))
        });
    }
    // SAFETY: the texts live until the connection is freed.
    Ok(unsafe {
        (
            text(info.path, info.path_length),
            text(info.query, info.query_length),
            text(info.subprotocol, info.subprotocol_length),
            address_of(&info.peer),
            headers,
        )
    })
}

/// State, who closed it, the peer's and our own address, subprotocol, close code and reason, and
/// messages and bytes received and sent.
type Info = (u32, u32, (String, u16), (String, u16), String, u16, String, u64, u64, u64, u64);

/// What a connection is and has done. The handle is kept as for `connection_request`.
#[pyfunction]
pub fn connection_info(py: Python<'_>, connection: u64) -> PyResult<Info> {
    let info = info(py, connection)?;
    // SAFETY: the texts live until the connection is freed.
    let (subprotocol, reason) = unsafe {
        (text(info.subprotocol, info.subprotocol_length), text(info.close_reason, info.close_reason_length))
    };
    Ok((
        info.state,
        info.closed_by,
        address_of(&info.peer),
        address_of(&info.local),
        subprotocol,
        info.close_code,
        reason,
        info.messages_received,
        info.bytes_received,
        info.messages_sent,
        info.bytes_sent,
    ))
}

/// The last and the smoothed round trip in seconds; None before the first.
#[pyfunction]
pub fn connection_latency(py: Python<'_>, connection: u64) -> PyResult<Option<(f64, f64)>> {
    let info = info(py, connection)?;
    let seconds = |micros: u32| f64::from(micros) / 1e6;
    Ok((info.latency_us > 0).then(|| (seconds(info.latency_us), seconds(info.smoothed_latency_us))))
}

/// Asks for a round trip: PONG follows.
#[pyfunction]
pub fn connection_ping(py: Python<'_>, connection: u64) -> PyResult<()> {
    // SAFETY: takes a handle and checks it.
    check(py, unsafe { abi::cmws_connection_ping(connection) })
}

/// Answers a request that is under review; False if it has ended meanwhile.
#[pyfunction]
pub fn connection_answer(
    py: Python<'_>,
    connection: u64,
    status: u16,
    subprotocol: &str,
    headers: Vec<Field>,
    body: &[u8],
) -> PyResult<bool> {
    let headers = to_c(&headers);
    // SAFETY: everything is passed with its length and lives through the call.
    let status = unsafe {
        abi::cmws_connection_answer(
            connection,
            status,
            subprotocol.as_ptr().cast(),
            subprotocol.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
        )
    };
    match status {
        abi::CMWS_STATUS_CLOSED | abi::CMWS_STATUS_INVALID_HANDLE => Ok(false),
        status => check(py, status).map(|()| true),
    }
}
