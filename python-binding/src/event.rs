//! Draining: events are taken in batches and dispatched, when the descriptor is readable.

use std::time::{Duration, Instant};

use coromega_ws_abi as abi;
use pyo3::prelude::*;

use crate::connection::Connection;
use crate::mailbox::Mailbox;
use crate::request::info;

/// Events that one call takes from the library.
const BATCH: usize = 128;
/// After this the loop gets its turn, so that Ctrl-C and timers are seen in full traffic.
const SLICE: Duration = Duration::from_millis(5);

/// An event, with a text of its own.
pub struct Event {
    pub kind: u32,
    pub status: i32,
    pub handle: u64,
    pub close_code: u16,
    pub http_status: u16,
    pub level: u32,
    pub text: String,
}

impl Mailbox {
    /// Moves a batch of events over; returns how many, or None when the mailbox has ended.
    fn poll(&self) -> Option<usize> {
        let mut events = [const { std::mem::MaybeUninit::<abi::cmws_event_t>::uninit() }; BATCH];
        let mut count = 0;
        let size = size_of::<abi::cmws_event_t>();
        // SAFETY: the array has room for as many as the call says.
        let status = unsafe {
            abi::cmws_mailbox_poll(self.handle, 0, events.as_mut_ptr().cast(), size, BATCH, &mut count)
        };
        if status != abi::CMWS_STATUS_OK {
            return (status == abi::CMWS_STATUS_BUSY).then_some(0);
        }
        let mut state = self.state.lock();
        for event in events.iter().take(count) {
            // SAFETY: the call filled the first `count`; the text lives until the next poll.
            let (event, text) = unsafe {
                let event = event.assume_init_ref();
                let text = match event.kind {
                    abi::CMWS_EVENT_CLOSED
                    | abi::CMWS_EVENT_LOST
                    | abi::CMWS_EVENT_DEAD
                    | abi::CMWS_EVENT_LOG
                        if event.text_length > 0 =>
                    {
                        String::from_utf8_lossy(std::slice::from_raw_parts(
                            event.text.cast(),
                            event.text_length,
                        ))
                        .into_owned()
                    }
                    _ => String::new(),
                };
                (event, text)
            };
            state.events.push_back(Event {
                kind: event.kind,
                status: event.status,
                handle: event.handle,
                close_code: event.close_code,
                http_status: event.http_status,
                level: event.level,
                text,
            });
        }
        Some(count)
    }

    fn listener(&self, py: Python<'_>, handle: u64) -> Option<Py<PyAny>> {
        self.state.lock().listeners.get(&handle).map(|listener| listener.clone_ref(py))
    }

    fn dispatch(&self, py: Python<'_>, event: Event) -> PyResult<()> {
        match event.kind {
            abi::CMWS_EVENT_READABLE | abi::CMWS_EVENT_WRITABLE => match self.find(py, event.handle) {
                Some(connection) => {
                    Connection::pump(&connection)?;
                    if event.kind == abi::CMWS_EVENT_WRITABLE {
                        Connection::tell_writers(&connection)?;
                    }
                    Ok(())
                }
                None => Ok(()),
            },
            abi::CMWS_EVENT_PONG => match self.find(py, event.handle) {
                Some(connection) => connection.call_method0("_ponged").map(|_| ()),
                None => Ok(()),
            },
            abi::CMWS_EVENT_OPEN => match self.find(py, event.handle) {
                Some(connection) => connection.call_method0("_opened").map(|_| ()),
                None => Ok(()),
            },
            abi::CMWS_EVENT_MOVED => match self.find(py, event.handle) {
                Some(connection) => connection.call_method0("_moved").map(|_| ()),
                None => {
                    // SAFETY: never fails, whatever the handle.
                    unsafe { abi::cmws_connection_free(event.handle) };
                    Ok(())
                }
            },
            abi::CMWS_EVENT_LOST => match self.find(py, event.handle) {
                Some(connection) => {
                    connection.call_method1("_lost", (event.text, event.close_code)).map(|_| ())
                }
                None => Ok(()),
            },
            abi::CMWS_EVENT_CLOSED => match self.find(py, event.handle) {
                Some(connection) => {
                    connection.get().state.lock().closed = true;
                    connection.call_method1(
                        "_closed",
                        (event.status, event.text, event.http_status, event.close_code),
                    )?;
                    Connection::tell_writers(&connection)?;
                    Connection::pump(&connection)
                }
                None => {
                    // A request that ended before it was a connection, or one that was collected.
                    // SAFETY: never fails, whatever the handle.
                    unsafe { abi::cmws_connection_free(event.handle) };
                    Ok(())
                }
            },
            abi::CMWS_EVENT_REQUESTED => {
                // It may have ended since.
                let listener = info(py, event.handle).map_or(0, |info| info.listener);
                match self.listener(py, listener) {
                    Some(listener) => listener.call_method1(py, "_requested", (event.handle,)).map(|_| ()),
                    None => {
                        // SAFETY: never fails, whatever the handle.
                        unsafe { abi::cmws_connection_free(event.handle) };
                        Ok(())
                    }
                }
            }
            abi::CMWS_EVENT_LOG => {
                let tell = py.import("coromega_ws.log")?.getattr("tell")?;
                tell.call1((event.level, event.text)).map(|_| ())
            }
            abi::CMWS_EVENT_ACCEPTED | abi::CMWS_EVENT_DEAD => match self.listener(py, event.handle) {
                Some(listener) if event.kind == abi::CMWS_EVENT_DEAD => {
                    listener.call_method1(py, "_died", (event.text,)).map(|_| ())
                }
                Some(listener) => listener.call_method0(py, "_accepted").map(|_| ()),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Dispatches what has been polled; returns whether all of it.
    fn dispatch_all(&self, py: Python<'_>, until: Instant) -> PyResult<bool> {
        loop {
            let Some(event) = self.state.lock().events.pop_front() else {
                return Ok(true);
            };
            self.dispatch(py, event)?;
            if Instant::now() >= until {
                return Ok(self.state.lock().events.is_empty());
            }
        }
    }

    fn round(&self, slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let until = Instant::now() + SLICE;
        if !self.dispatch_all(py, until)? {
            return Ok(true);
        }
        match self.poll() {
            Some(count) => Ok(!self.dispatch_all(py, until)? || count == BATCH),
            None => {
                self.stop_reading(py);
                Ok(false)
            }
        }
    }

    pub fn stop_reading(&self, py: Python<'_>) {
        // A closed loop has let go of the descriptor by itself.
        if let Ok(running) = self.loop_of(py) {
            let _ = running.call_method1("remove_reader", (self.fd,));
        }
    }

    pub fn drain(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mailbox = slf.get();
        let _inside = mailbox.enter();
        mailbox.gave_way();
        let result = mailbox.round(slf);
        // SAFETY: takes a handle and checks it.
        unsafe { abi::cmws_mailbox_flush(mailbox.handle) };
        let again = match result {
            Ok(more) => more,
            Err(_) => !mailbox.state.lock().events.is_empty(),
        };
        if again {
            mailbox.call_soon(slf.py(), slf.getattr(pyo3::intern!(slf.py(), "_drain"))?)?;
        }
        result.map(|_| ())
    }
}
