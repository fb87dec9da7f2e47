//! What a task waits on: a future of asyncio's, whose callback is called from within the drain.
//!
//! A task is resumed right there, so that between the arrival of a message and the code that
//! takes it there is no moment in which it could be cancelled and the message lost.
//!
//! For that the future need not be done: its callback is taken from it, and called with another one
//! that is. So it serves again, where nobody else knows it.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::asyncio::{asyncio, unless_closed};
use crate::call::call;
use crate::mailbox::Mailbox;
use crate::spare::references;

pub struct Waiter(Py<PyAny>);

/// What is to be called, and whether nobody else listens.
pub struct Listener<'py> {
    wake: Bound<'py, PyAny>,
    context: Bound<'py, PyAny>,
    is_alone: bool,
}

/// Who listens to a waiter.
pub enum Listening<'py> {
    To(Listener<'py>),
    /// A task that has not seen it yet, or is about to look by itself.
    NotYet,
    /// It has been cancelled, and its task is about to learn that.
    Cancelled,
}

impl Waiter {
    /// One that the caller is about to yield to its task.
    pub fn new(py: Python<'_>, mailbox: &Mailbox) -> PyResult<Self> {
        let waiter = match mailbox.take_future() {
            Some(future) => Waiter(future),
            None => {
                let keywords = PyDict::new(py);
                keywords.set_item(pyo3::intern!(py, "loop"), mailbox.loop_of(py)?)?;
                Waiter(asyncio(py)?.future.bind(py).call((), Some(&keywords))?.unbind())
            }
        };
        waiter.block(py)?;
        Ok(waiter)
    }

    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Waiter(self.0.clone_ref(py))
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }

    /// What is to be yielded.
    pub fn future(&self, py: Python<'_>) -> Py<PyAny> {
        self.0.clone_ref(py)
    }

    /// Has to be yielded again.
    pub fn block(&self, py: Python<'_>) -> PyResult<()> {
        self.0.bind(py).setattr(pyo3::intern!(py, "_asyncio_future_blocking"), true)
    }

    pub fn done(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.bind(py).call_method0(pyo3::intern!(py, "done"))?.is_truthy()
    }

    pub fn cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.bind(py).call_method0(pyo3::intern!(py, "cancelled"))?.is_truthy()
    }

    pub fn listening<'py>(&self, py: Python<'py>) -> PyResult<Listening<'py>> {
        // Of several the first: the others learn that there is nothing more for them.
        if let Ok(callbacks) = self.0.bind(py).getattr(pyo3::intern!(py, "_callbacks"))?.cast_into::<PyList>()
            && let Ok(first) = callbacks.get_item(0)
        {
            let (wake, context) = first.extract()?;
            return Ok(Listening::To(Listener { wake, context, is_alone: callbacks.len() == 1 }));
        }
        Ok(if self.cancelled(py)? { Listening::Cancelled } else { Listening::NotYet })
    }

    /// Runs the task that listens up to its next wait. Only from where no task is current.
    pub fn wake(self, mailbox: &Mailbox, listener: &Listener<'_>) -> PyResult<()> {
        let Listener { wake, context, is_alone } = listener;
        let (py, future) = (wake.py(), self.0.bind(wake.py()));
        let asyncio = asyncio(py)?;
        call(asyncio.remove_done_callback.bind(py), [future, wake])?;
        // Whether only that task knows it, whose next step forgets it.
        if !is_alone || !asyncio.reuses_futures || !asyncio.is_wake_up(wake) || references(future) != 2 {
            self.set_done(py)?;
            return call(asyncio.run_in_context.bind(py), [context, wake, future]).map(|_| ());
        }
        call(asyncio.run_in_context.bind(py), [context, wake, &mailbox.done_future(py)?])?;
        if references(future) == 1 {
            mailbox.put_future(self.0);
        }
        Ok(())
    }

    /// From anywhere on the loop's thread: has the task look by itself, later, or never where the loop
    /// was closed.
    pub fn wake_later(&self, py: Python<'_>) -> PyResult<()> {
        if self.done(py)? {
            return Ok(());
        }
        let own = self.0.bind(py).call_method0(pyo3::intern!(py, "get_loop"))?;
        unless_closed(&own, self.set_done(py))
    }

    fn set_done(&self, py: Python<'_>) -> PyResult<()> {
        self.0.bind(py).call_method1(pyo3::intern!(py, "set_result"), (py.None(),)).map(|_| ())
    }
}
