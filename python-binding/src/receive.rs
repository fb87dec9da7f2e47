//! `receive_message`: at once if a message is there, otherwise by a waiter.

use std::sync::Mutex;

use coromega_ws_abi as abi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::asyncio::cancelled;
use crate::awaitable::{finish_next, thrown, used_up};
use crate::connection::Connection;
use crate::delivery::Ready;
use crate::error::exception;
use crate::lock;
use crate::waiter::{Outcome, Purpose, Waiter};

enum Stage {
    New,
    Waiting(Py<Waiter>),
    Done,
}

/// The awaitable of one `receive_message`.
#[pyclass(frozen, weakref, module = "coromega_ws._native")]
pub struct Receive {
    connection: Py<Connection>,
    timeout: Option<f64>,
    /// The method's.
    name: &'static str,
    stage: Mutex<Stage>,
}

impl Receive {
    pub fn new(connection: Py<Connection>, timeout: Option<f64>, name: &'static str) -> Self {
        Receive { connection, timeout, name, stage: Mutex::new(Stage::New) }
    }

    fn begin(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let connection = self.connection.bind(py);
        match Connection::receive_now(connection)? {
            Ready::Message(message) => {
                *lock(&self.stage) = Stage::Done;
                finish_next(message.bind(py))
            }
            Ready::Ended => {
                *lock(&self.stage) = Stage::Done;
                self.end(py)
            }
            Ready::Wait { first } => {
                let waiter = Py::new(py, Waiter::new(self.connection.clone_ref(py), Purpose::Receive))?;
                if let Some(timeout) = self.timeout {
                    let expire = waiter.getattr(py, pyo3::intern!(py, "_expire"))?;
                    let mailbox = connection.get().mailbox(py);
                    let timer = mailbox
                        .get()
                        .loop_of(py)?
                        .call_method1(pyo3::intern!(py, "call_later"), (timeout.max(0.0), expire))?;
                    waiter.get().set_timer(timer.unbind());
                }
                Connection::wait(connection, waiter.clone_ref(py), first)?;
                *lock(&self.stage) = Stage::Waiting(waiter.clone_ref(py));
                Ok(Some(waiter.into_any()))
            }
        }
    }

    /// Nothing more comes: None, or Moved.
    fn end(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if self.connection.get().has_moved() {
            let text = format!("{}: the connection has moved", self.name);
            return Err(exception(py, abi::CMWS_STATUS_MOVED, &text, 0));
        }
        finish_next(py.None().bind(py))
    }

    /// Stops waiting. A message that was handed over and not fetched goes back to the front.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        let stage = std::mem::replace(&mut *lock(&self.stage), Stage::Done);
        if let Stage::Waiting(waiter) = stage {
            let connection = self.connection.bind(py);
            match waiter.get().fetch() {
                Outcome::Waiting => {
                    Connection::withdraw(connection, Purpose::Receive, waiter.bind(py))?;
                    Waiter::resolve_later(waiter.bind(py), Outcome::Fetched)?;
                }
                Outcome::Value(message) => Connection::put_back(connection, message)?,
                _ => {}
            }
        }
        Ok(())
    }
}

#[pymethods]
impl Receive {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let waiter = match &*lock(&self.stage) {
            Stage::New => None,
            Stage::Waiting(waiter) => Some(waiter.clone_ref(py)),
            Stage::Done => return Err(used_up()),
        };
        let Some(waiter) = waiter else {
            return self.begin(py);
        };
        let outcome = waiter.get().fetch();
        if matches!(outcome, Outcome::Waiting) {
            waiter.get().block();
            return Ok(Some(waiter.into_any()));
        }
        *lock(&self.stage) = Stage::Done;
        match outcome {
            Outcome::Value(message) if message.is_none(py) => self.end(py),
            Outcome::Value(message) => finish_next(message.bind(py)),
            Outcome::TimedOut => Err(exception(
                py,
                abi::CMWS_STATUS_TIMEOUT,
                &format!("{}: nothing came within {} s", self.name, self.timeout.unwrap_or(0.0)),
                0,
            )),
            Outcome::Failed(error) => Err(error),
            _ => Err(cancelled(py)),
        }
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        // Where `__next__` has ended, StopIteration is set.
        self.__next__(py)?.ok_or_else(|| PyErr::fetch(py))
    }

    #[pyo3(signature = (kind, value=None, _traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.abandon(py)?;
        Err(thrown(kind, value))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.abandon(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        if let Ok(stage) = self.stage.try_lock()
            && let Stage::Waiting(waiter) = &*stage
        {
            visit.call(waiter)?;
        }
        Ok(())
    }
}
