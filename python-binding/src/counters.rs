//! Counters: of a listener, of the process, and as text.

use std::ptr;

use coromega_ws_abi as abi;
use pyo3::prelude::*;

use crate::error::check;

/// The counters in the order of the struct.
type Counters = (u64, u64, u64, u64, u64, u64, u64, u64);

fn counters(
    py: Python<'_>,
    read: impl FnOnce(usize, *mut abi::cmws_counters_t) -> abi::cmws_status_t,
) -> PyResult<Counters> {
    let mut all = abi::cmws_counters_t::default();
    check(py, read(size_of::<abi::cmws_counters_t>(), &mut all))?;
    Ok((
        all.connections,
        all.opened,
        all.failed,
        all.refused,
        all.messages_received,
        all.bytes_received,
        all.messages_sent,
        all.bytes_sent,
    ))
}

/// What the connections of a listener have done.
#[pyfunction]
pub fn listener_counters(py: Python<'_>, listener: u64) -> PyResult<Counters> {
    // SAFETY: the size is that of the struct.
    counters(py, |size, out| unsafe { abi::cmws_listener_counters(listener, size, out) })
}

/// What all connections of the process have done.
#[pyfunction]
pub fn process_counters(py: Python<'_>) -> PyResult<Counters> {
    // SAFETY: the size is that of the struct.
    counters(py, |size, out| unsafe { abi::cmws_process_counters(size, out) })
}

/// The counters as text for Prometheus.
#[pyfunction]
pub fn process_metrics(py: Python<'_>) -> PyResult<String> {
    let mut text: Vec<u8> = Vec::new();
    loop {
        let mut length = 0;
        let (place, room) =
            if text.is_empty() { (ptr::null_mut(), 0) } else { (text.as_mut_ptr().cast(), text.len()) };
        // SAFETY: there is room for as many bytes as the call says.
        check(py, unsafe { abi::cmws_process_metrics(place, room, &mut length) })?;
        if length <= room {
            text.truncate(length);
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        // Counters grow meanwhile, by a digit or so.
        text.resize(length.saturating_add(256), 0);
    }
}
