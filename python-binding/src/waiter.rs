//! What a task waits on: a future of our own that is resolved from within the drain.
//!
//! A task is resumed right there, so that between the arrival of a message and the code that
//! takes it there is no moment in which it could be cancelled and the message lost.

use std::sync::Mutex;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::asyncio::{asyncio, cancelled, unless_closed};
use crate::connection::Connection;
use crate::lock;

/// What the task waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Receive,
    Send,
}

/// How a wait ended.
pub enum Outcome {
    Waiting,
    /// A message, or None after the last one; None too when a send was accepted.
    Value(Py<PyAny>),
    TimedOut,
    /// A send that can't be sent any more.
    Failed(PyErr),
    Cancelled,
    /// Fetched by the awaitable.
    Fetched,
}

struct State {
    outcome: Outcome,
    blocking: bool,
    /// The task's wake-up and its context. Without it the task does not listen yet.
    wake: Option<(Py<PyAny>, Py<PyAny>)>,
    timer: Option<Py<PyAny>>,
}

/// A future that only its own task awaits.
#[pyclass(frozen, weakref, module = "coromega_ws._native")]
pub struct Waiter {
    connection: Py<Connection>,
    purpose: Purpose,
    state: Mutex<State>,
}

impl Waiter {
    /// A waiter that the caller is about to yield to its task.
    pub fn new(connection: Py<Connection>, purpose: Purpose) -> Self {
        let state = State { outcome: Outcome::Waiting, blocking: true, wake: None, timer: None };
        Waiter { connection, purpose, state: Mutex::new(state) }
    }

    /// Whether a task listens.
    pub fn armed(&self) -> bool {
        lock(&self.state).wake.is_some()
    }

    pub fn waiting(&self) -> bool {
        matches!(lock(&self.state).outcome, Outcome::Waiting)
    }

    /// Has to be yielded again.
    pub fn block(&self) {
        lock(&self.state).blocking = true;
    }

    /// What it came to; only the first caller gets it.
    pub fn fetch(&self) -> Outcome {
        let mut state = lock(&self.state);
        match state.outcome {
            Outcome::Waiting => Outcome::Waiting,
            _ => std::mem::replace(&mut state.outcome, Outcome::Fetched),
        }
    }

    pub fn set_timer(&self, timer: Py<PyAny>) {
        lock(&self.state).timer = Some(timer);
    }

    /// Sets the outcome and returns the wake-up, if it was waiting.
    fn settle(&self, py: Python<'_>, outcome: Outcome) -> PyResult<Option<(Py<PyAny>, Py<PyAny>)>> {
        let (wake, timer) = {
            let mut state = lock(&self.state);
            if !matches!(state.outcome, Outcome::Waiting) {
                return Ok(None);
            }
            state.outcome = outcome;
            (state.wake.take(), state.timer.take())
        };
        if let Some(timer) = timer {
            timer.bind(py).call_method0(pyo3::intern!(py, "cancel"))?;
        }
        Ok(wake)
    }

    /// Resolves it, but for a cancellation, and runs its task up to the next wait. Only from where no
    /// task is current.
    pub fn resolve(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        let py = slf.py();
        if let Some((wake, context)) = slf.get().settle(py, outcome)? {
            let done = slf.get().connection.get().mailbox.get().done_future(py);
            let done = done.unwrap_or_else(|| slf.clone().into_any().unbind());
            asyncio(py)?.run_in_context.bind(py).call1((context, wake, done))?;
        }
        Ok(())
    }

    /// Resolves it from anywhere on the loop's thread: its task runs later, or never where the loop
    /// was closed.
    pub fn resolve_later(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        if let Some((wake, context)) = slf.get().settle(slf.py(), outcome)? {
            let woken = slf.get().call_soon(slf, wake, context);
            unless_closed(&slf.get().get_loop(slf.py())?, woken)?;
        }
        Ok(())
    }

    fn call_soon(&self, slf: &Bound<'_, Self>, wake: Py<PyAny>, context: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let keywords = PyDict::new(py);
        keywords.set_item(pyo3::intern!(py, "context"), context)?;
        let mailbox = self.connection.get().mailbox(py);
        mailbox.get().loop_of(py)?.call_method(
            pyo3::intern!(py, "call_soon"),
            (wake, slf),
            Some(&keywords),
        )?;
        Ok(())
    }
}

#[pymethods]
impl Waiter {
    #[getter]
    fn _asyncio_future_blocking(&self) -> bool {
        lock(&self.state).blocking
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        lock(&self.state).blocking = blocking;
    }

    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.connection.get().mailbox(py).get().loop_of(py)
    }

    #[pyo3(signature = (wake, *, context=None))]
    fn add_done_callback(slf: &Bound<'_, Self>, wake: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let context = match context {
            Some(context) => context,
            None => asyncio(py)?.copy_context.call0(py)?,
        };
        let waiter = slf.get();
        {
            let mut state = lock(&waiter.state);
            if matches!(state.outcome, Outcome::Waiting) {
                if state.wake.is_some() {
                    drop(state);
                    return Err(PyRuntimeError::new_err("only one task can wait here"));
                }
                state.wake = Some((wake, context));
                drop(state);
                // What came before the task listened has been left lying.
                return Connection::armed(waiter.connection.bind(py));
            }
        }
        waiter.call_soon(slf, wake, context)
    }

    fn remove_done_callback(&self, wake: &Bound<'_, PyAny>) -> PyResult<usize> {
        let taken = {
            let mut state = lock(&self.state);
            state.wake.take()
        };
        match taken {
            Some((mine, _)) if mine.bind(wake.py()).eq(wake)? => Ok(1),
            Some(other) => {
                lock(&self.state).wake = Some(other);
                Ok(0)
            }
            None => Ok(0),
        }
    }

    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let _ = msg;
        let waiter = slf.get();
        if !waiter.waiting() {
            return Ok(false);
        }
        Connection::withdraw(waiter.connection.bind(slf.py()), waiter.purpose, slf)?;
        Waiter::resolve_later(slf, Outcome::Cancelled)?;
        Ok(true)
    }

    fn cancelled(&self) -> bool {
        matches!(lock(&self.state).outcome, Outcome::Cancelled)
    }

    fn done(&self) -> bool {
        !self.waiting()
    }

    /// Called by the task when it is woken; what was waited for is fetched by the awaitable.
    fn result(&self, py: Python<'_>) -> PyResult<()> {
        if self.cancelled() { Err(cancelled(py)) } else { Ok(()) }
    }

    /// The deadline of a receive. A message that has arrived beats it.
    fn _expire(slf: &Bound<'_, Self>) -> PyResult<()> {
        let waiter = slf.get();
        lock(&waiter.state).timer = None;
        let connection = waiter.connection.bind(slf.py());
        Connection::pump(connection)?;
        if waiter.waiting() {
            Connection::withdraw(connection, waiter.purpose, slf)?;
            Waiter::resolve(slf, Outcome::TimedOut)?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        if let Ok(state) = self.state.try_lock() {
            if let Some((wake, context)) = &state.wake {
                visit.call(wake)?;
                visit.call(context)?;
            }
            visit.call(&state.timer)?;
            if let Outcome::Value(value) = &state.outcome {
                visit.call(value)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let (wake, timer) = {
            let mut state = lock(&self.state);
            (state.wake.take(), state.timer.take())
        };
        drop((wake, timer));
    }
}
