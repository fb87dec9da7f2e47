//! The native half of `coromega_ws`: the C ABI as asyncio waits for it.
//!
//! What happens per message is here; what happens once per connection is in the Python package.

mod asyncio;
mod awaitable;
mod broadcast;
mod call;
mod callback;
mod connection;
mod counters;
mod current;
mod delivery;
mod error;
mod event;
mod foreign;
mod fragments;
mod json;
mod listener;
mod mailbox;
mod message;
mod options;
mod pending;
mod queue;
mod receive;
mod registry;
mod request;
mod send;
mod spare;
mod waiter;

/// coromega_ws, native half: private, use the package `coromega_ws`.
#[pyo3::pymodule]
mod _native {
    use coromega_ws_abi as abi;
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::awaitable::Ready;
    #[pymodule_export]
    use crate::broadcast::send_to_many;
    #[pymodule_export]
    use crate::callback::Driver;
    #[pymodule_export]
    use crate::connection::Connection;
    #[pymodule_export]
    use crate::counters::{listener_counters, process_counters, process_metrics};
    #[pymodule_export]
    use crate::current::forked;
    #[pymodule_export]
    use crate::error::status_words;
    #[pymodule_export]
    use crate::foreign::{close_foreign, foreign_state, send_foreign};
    #[pymodule_export]
    use crate::fragments::{Begun, begin};
    #[pymodule_export]
    use crate::json::check_depth;
    #[pymodule_export]
    use crate::listener::{
        listener_accept, listener_address, listener_close, listener_connections, listener_drain,
        listener_reload,
    };
    #[pymodule_export]
    use crate::mailbox::{Mailbox, close_mailboxes};
    #[pymodule_export]
    use crate::options::{Options, is_option};
    #[pymodule_export]
    use crate::pending::PendingSend;
    #[pymodule_export]
    use crate::receive::Receive;
    #[pymodule_export]
    use crate::request::{
        connection_answer, connection_info, connection_latency, connection_ping, connection_request,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // SAFETY: takes nothing and only returns a number.
        let found = unsafe { abi::cmws_abi_version() };
        let (major, minor) = (found >> 16, found & 0xffff);
        // Unsigned comparison with a constant that happens to be small.
        #[allow(clippy::absurd_extreme_comparisons)]
        if major != abi::CMWS_ABI_MAJOR || minor < abi::CMWS_ABI_MINOR {
            return Err(PyImportError::new_err(format!(
                "coromega_ws needs version {}.{} of libcoromega_ws.so.0's ABI and found {major}.{minor}: install the two from one release",
                abi::CMWS_ABI_MAJOR,
                abi::CMWS_ABI_MINOR,
            )));
        }
        // SAFETY: the library's constant.
        module.add("version", unsafe { crate::error::text_of(abi::cmws_version()) })
    }
}
