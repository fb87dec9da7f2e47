//! A connection: who gets which message (S14-S16, S22), and the sends that wait (S20).

use std::collections::VecDeque;

use coromega_ws_abi as abi;
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::asyncio::running_loop;
use crate::error::{elsewhere, exception, failure};
use crate::foreign::close_foreign;
use crate::mailbox::Mailbox;
use crate::message::put_back;
use crate::pending::PendingSend;
use crate::receive::Receive;
use crate::request::{info, text};
use crate::send::{Argument, flags, send};

pub struct State {
    /// Taken from the core, and not delivered yet.
    pub inbox: VecDeque<Py<PyAny>>,
    /// Those who wait in `receive_message`, the longest-waiting first.
    pub waiters: VecDeque<Py<Receive>>,
    pub callback: Option<Py<PyAny>>,
    pub callback_is_async: bool,
    /// The last call of a callback, with None, has been made: there is one (S22).
    pub told: bool,
    pub unfinished: u32,
    pub sends: VecDeque<Py<PendingSend>>,
    /// Some wait for room to write fragments, or to begin.
    pub writers_wait: bool,
    /// The core has no more messages and never will.
    pub drained: bool,
    /// The core had no more messages when it was last asked in this turn: an event tells of the next.
    pub dry: bool,
    /// That event may have been the last: the end has been told.
    pub closed: bool,
    /// A connect or close is under way, which nobody may be waiting for.
    pub busy: bool,
    /// What there was to do had to wait until a task listens to its waiter.
    pub stalled: bool,
    pub pumping: bool,
    pub pump_scheduled: bool,
    /// A task that got a message runs and has not given way yet: it is the first again.
    pub serving: bool,
    /// How many of `waiters` the one that is served has put before the others.
    pub ahead: usize,
    pub pinned: bool,
    /// Others know the handle: nothing is taken that is not delivered.
    pub lent: bool,
    /// Told by the end of the mailbox, where the handle is gone with it.
    pub end: Option<(u16, String)>,
}

/// The reason of the end of an object whose connection has moved.
const MOVED: &str = "moved";

/// The native half of a connection.
#[pyclass(frozen, subclass, weakref, module = "coromega_ws._native")]
pub struct Connection {
    pub mailbox: Py<Mailbox>,
    pub handle: u64,
    pub max_callbacks: u32,
    /// What comes are parts of messages.
    pub fragments: bool,
    pub state: Mutex<State>,
}

impl Connection {
    pub fn mailbox<'py>(&self, py: Python<'py>) -> &Bound<'py, Mailbox> {
        self.mailbox.bind(py)
    }

    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// Raises RuntimeError unless the connection's own loop runs here.
    pub fn here(&self, py: Python<'_>) -> PyResult<()> {
        let mailbox = self.mailbox.get();
        if mailbox.is_current() || mailbox.is_loop(py, &running_loop(py)?) {
            return Ok(());
        }
        // SAFETY: takes a number and stores nothing.
        match unsafe { abi::cmws_mailbox_flush(mailbox.handle) } {
            abi::CMWS_STATUS_FORKED => Err(failure(py, abi::CMWS_STATUS_FORKED)),
            _ => Err(elsewhere()),
        }
    }

    /// Raises RuntimeError where messages come in fragments.
    fn wants_messages(&self, name: &str) -> PyResult<()> {
        if self.fragments {
            return Err(PyRuntimeError::new_err(format!(
                "{name}: this connection has the option fragments: use receive_fragment"
            )));
        }
        Ok(())
    }

    fn receive(
        slf: &Bound<'_, Self>,
        timeout: Option<&Bound<'_, PyAny>>,
        name: &'static str,
    ) -> PyResult<Receive> {
        slf.get().here(slf.py())?;
        let timeout = match timeout {
            None => None,
            Some(timeout) => {
                let seconds: f64 = timeout.extract().map_err(|_| {
                    PyTypeError::new_err(format!("{name}: the timeout is a number of seconds, or None"))
                })?;
                if seconds.is_nan() {
                    return Err(PyValueError::new_err(format!("{name}: the timeout is not a number")));
                }
                seconds.is_finite().then_some(seconds)
            }
        };
        Ok(Receive::new(slf.clone().unbind(), timeout, name))
    }

    /// Whether its end has been told by that of the mailbox.
    pub fn is_over(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Whether another mailbox has taken it over.
    pub fn has_moved(&self) -> bool {
        matches!(&self.state.lock().end, Some((_, why)) if why == MOVED)
    }

    /// Another mailbox has taken it over: nothing more comes here.
    pub fn note_moved(&self) {
        let mut state = self.state.lock();
        state.drained = true;
        state.end = Some((1006, MOVED.into()));
    }

    /// The mailbox keeps a connection that somebody waits for, and no other (S27).
    pub fn repin(slf: &Bound<'_, Self>) -> PyResult<()> {
        let connection = slf.get();
        let pin = {
            let mut state = connection.state.lock();
            let wanted = state.callback.is_some()
                || !state.waiters.is_empty()
                || !state.sends.is_empty()
                || state.writers_wait
                || state.busy;
            if wanted == state.pinned {
                return Ok(());
            }
            state.pinned = wanted;
            wanted
        };
        connection.mailbox.get().pin(slf, connection.handle, pin)
    }

    pub fn callback_started(&self) {
        self.state.lock().unfinished += 1;
    }

    pub fn callback_finished(slf: &Bound<'_, Self>) -> PyResult<()> {
        let resume = {
            let mut state = slf.get().state.lock();
            let full = state.unfinished >= slf.get().max_callbacks;
            state.unfinished = state.unfinished.saturating_sub(1);
            full
        };
        if resume { Connection::schedule(slf) } else { Ok(()) }
    }

    /// Keeps close code and reason, before the handle goes.
    pub fn remember(&self, py: Python<'_>) {
        if let Ok(Some(end)) = self._end(py) {
            self.state.lock().end = Some(end);
        }
    }

    /// The mailbox ended and took the handle with it.
    pub fn mailbox_ended(slf: &Bound<'_, Self>, code: u16) -> PyResult<()> {
        let py = slf.py();
        let (sends, callback) = {
            let mut state = slf.get().state.lock();
            state.drained = true;
            state.busy = false;
            state.pinned = false;
            if state.end.is_none() {
                state.end = Some((code, String::new()));
            }
            (std::mem::take(&mut state.sends), state.callback.take())
        };
        drop(callback);
        for send in sends {
            let error =
                exception(py, abi::CMWS_STATUS_CLOSED, "send: the event loop of the connection ended", 0);
            send.get().settle(py, Err(error), false)?;
        }
        Connection::tell_writers(slf)
    }
}

#[pymethods]
impl Connection {
    #[new]
    fn new(mailbox: Py<Mailbox>, handle: u64, max_callbacks: u32, fragments: bool) -> Self {
        let state = State {
            inbox: VecDeque::new(),
            waiters: VecDeque::new(),
            callback: None,
            callback_is_async: false,
            told: false,
            unfinished: 0,
            sends: VecDeque::new(),
            writers_wait: false,
            drained: false,
            dry: false,
            closed: false,
            busy: false,
            stalled: false,
            pumping: false,
            pump_scheduled: false,
            serving: false,
            ahead: 0,
            pinned: false,
            lent: false,
            end: None,
        };
        Connection { mailbox, handle, max_callbacks, fragments, state: Mutex::new(state) }
    }

    /// The number that names this connection in every language of the process: by it `from_handle` of
    /// another loop or language takes it over. From now on messages are taken one at a time.
    #[getter(handle)]
    fn py_handle(&self, py: Python<'_>) -> PyResult<u64> {
        let taken = {
            let mut state = self.state.lock();
            state.lent = true;
            std::mem::take(&mut state.inbox)
        };
        for message in taken.iter().rev() {
            put_back(message.bind(py), self.handle)?;
        }
        Ok(self.handle)
    }

    /// The same, for this package.
    #[getter]
    fn _handle(&self) -> u64 {
        self.handle
    }

    /// Another mailbox has taken the connection over.
    fn _cut_off(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().note_moved();
        let sends = {
            let mut state = slf.get().state.lock();
            state.busy = false;
            std::mem::take(&mut state.sends)
        };
        for send in sends {
            let error = exception(slf.py(), abi::CMWS_STATUS_MOVED, "send: the connection has moved", 0);
            send.get().settle(slf.py(), Err(error), false)?;
        }
        Connection::tell_writers(slf)?;
        Connection::schedule(slf)?;
        Connection::repin(slf)
    }

    #[getter]
    fn _mailbox(&self, py: Python<'_>) -> Py<Mailbox> {
        self.mailbox.clone_ref(py)
    }

    /// Whether sends wait for room.
    #[getter]
    fn _sending(&self) -> bool {
        self.sends_waiting()
    }

    /// Sends text as one message. Await it: that is where it gives way when the peer is slow.
    /// `compress=False` sends it as it is, whatever was agreed on with the peer.
    #[pyo3(signature = (text, *, compress=true))]
    fn send_message(slf: &Bound<'_, Self>, text: &Bound<'_, PyAny>, compress: bool) -> PyResult<Py<PyAny>> {
        send(slf, Argument::Text(text), flags(compress))
    }

    /// Sends bytes, or anything with a buffer, as one binary message.
    #[pyo3(signature = (buffer, *, compress=true))]
    fn send_binary(slf: &Bound<'_, Self>, buffer: &Bound<'_, PyAny>, compress: bool) -> PyResult<Py<PyAny>> {
        send(slf, Argument::Binary(buffer), flags(compress))
    }

    /// Waits for the next message: str or bytes, or None when the connection has ended.
    #[pyo3(signature = (timeout=None))]
    fn receive_message(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Receive> {
        slf.get().wants_messages("receive_message")?;
        Connection::receive(slf, timeout, "receive_message")
    }

    /// The same for `receive_fragment`; with the option `fragments` it is a pair.
    #[pyo3(signature = (timeout=None))]
    fn _receive_fragment(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Receive> {
        Connection::receive(slf, timeout, "receive_fragment")
    }

    /// Whether it has the option `fragments`.
    #[getter]
    fn _fragments(&self) -> bool {
        self.fragments
    }

    /// Has `_has_room` called when there may be room to write fragments, or to begin.
    fn _want_room(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.lock().writers_wait = true;
        Connection::repin(slf)
    }

    fn _set_callback(slf: &Bound<'_, Self>, callback: Option<Py<PyAny>>, is_async: bool) -> PyResult<()> {
        let connection = slf.get();
        connection.here(slf.py())?;
        if callback.is_some() {
            connection.wants_messages("when_new_msg")?;
        }
        let old = {
            let mut state = connection.state.lock();
            state.callback_is_async = is_async;
            std::mem::replace(&mut state.callback, callback)
        };
        drop(old);
        // Never inside this call (S15).
        Connection::schedule(slf)?;
        Connection::repin(slf)
    }

    /// A connect or close is under way, or has ended.
    fn _set_busy(slf: &Bound<'_, Self>, busy: bool) -> PyResult<()> {
        slf.get().state.lock().busy = busy;
        Connection::repin(slf)
    }

    /// Called by the loop.
    fn _pump(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.lock().pump_scheduled = false;
        Connection::pump(slf)
    }

    /// Starts closing; False if a close frame has been sent or received already.
    fn _close(&self, py: Python<'_>, code: u16, reason: &str) -> PyResult<bool> {
        if matches!(&self.state.lock().end, Some((_, why)) if why != MOVED) {
            return Ok(false);
        }
        close_foreign(py, self.handle, code, reason)
    }

    /// Lets go of the handle: a connect that was cancelled.
    fn _free(slf: &Bound<'_, Self>) -> PyResult<()> {
        Connection::mailbox_ended(slf, 1006)?;
        slf.get().mailbox.get().pin(slf, slf.get().handle, false)?;
        // SAFETY: never fails, whatever the handle.
        unsafe { abi::cmws_connection_free(slf.get().handle) };
        Ok(())
    }

    /// Close code and reason; None while there is neither a close frame nor an end.
    #[getter]
    fn _end(&self, py: Python<'_>) -> PyResult<Option<(u16, String)>> {
        if let Some(end) = &self.state.lock().end {
            return Ok(Some(end.clone()));
        }
        let info = info(py, self.handle)?;
        // SAFETY: the text lives until the connection is freed, with this object.
        let reason = unsafe { text(info.close_reason, info.close_reason_length) };
        Ok((info.close_code != 0).then_some((info.close_code, reason)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.mailbox)?;
        if let Some(state) = self.state.try_lock() {
            visit.call(&state.callback)?;
            for waiter in &state.waiters {
                visit.call(waiter)?;
            }
            for send in &state.sends {
                visit.call(send)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let old = {
            let mut state = self.state.lock();
            (state.callback.take(), std::mem::take(&mut state.waiters), std::mem::take(&mut state.sends))
        };
        drop(old);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.mailbox.get().forget(self.handle);
        // SAFETY: never fails, whatever the handle, and never blocks.
        unsafe { abi::cmws_connection_free(self.handle) };
    }
}
