//! `receive_message`: at once if a message is there, otherwise by a waiter.

use coromega_ws_abi as abi;
use parking_lot::Mutex;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::asyncio::cancelled;
use crate::awaitable::{finish_next, thrown, used_up};
use crate::connection::Connection;
use crate::delivery::Ready;
use crate::error::exception;
use crate::waiter::{Listener, Listening, Waiter};

/// How a wait ended.
pub enum Outcome {
    Message(Py<PyAny>),
    /// Nothing more comes.
    Ended,
    TimedOut,
}

enum Stage {
    New,
    Waiting { waiter: Waiter, timer: Option<Py<PyAny>> },
    Settled(Outcome),
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

    fn begin(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let (py, this) = (slf.py(), slf.get());
        let connection = this.connection.bind(py);
        let outcome = match Connection::receive_now(connection)? {
            Ready::Message(message) => Outcome::Message(message),
            Ready::Ended => Outcome::Ended,
            Ready::Wait { first } => {
                let mailbox = connection.get().mailbox.get();
                let waiter = Waiter::new(py, mailbox)?;
                let future = waiter.future(py);
                let timer = match this.timeout {
                    Some(seconds) => Some(Receive::timer(slf, seconds.max(0.0))?),
                    None => None,
                };
                *this.stage.lock() = Stage::Waiting { waiter, timer };
                Connection::wait(connection, slf.clone().unbind(), first)?;
                return Ok(Some(future));
            }
        };
        *this.stage.lock() = Stage::Done;
        this.finish(py, outcome)
    }

    fn timer(slf: &Bound<'_, Self>, seconds: f64) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let expire = slf.getattr(pyo3::intern!(py, "_expire"))?;
        let own = slf.get().connection.get().mailbox.get().loop_of(py)?;
        Ok(own.call_method1(pyo3::intern!(py, "call_later"), (seconds, expire))?.unbind())
    }

    /// Ends the await.
    fn finish(&self, py: Python<'_>, outcome: Outcome) -> PyResult<Option<Py<PyAny>>> {
        match outcome {
            Outcome::Message(message) => finish_next(message.bind(py)),
            Outcome::Ended if self.connection.get().has_moved() => {
                let text = format!("{}: the connection has moved", self.name);
                Err(exception(py, abi::CMWS_STATUS_MOVED, &text, 0))
            }
            Outcome::Ended => finish_next(py.None().bind(py)),
            Outcome::TimedOut => {
                let text = format!("{}: nothing came within {} s", self.name, self.timeout.unwrap_or(0.0));
                Err(exception(py, abi::CMWS_STATUS_TIMEOUT, &text, 0))
            }
        }
    }

    /// What it waits on, if it waits.
    fn waiter(&self, py: Python<'_>) -> Option<Waiter> {
        match &*self.stage.lock() {
            Stage::Waiting { waiter, .. } => Some(waiter.clone_ref(py)),
            _ => None,
        }
    }

    /// Who listens to it. A task that does not yet is told to look again: the messages wait for it.
    pub fn listening<'py>(&self, py: Python<'py>) -> PyResult<Listening<'py>> {
        let Some(waiter) = self.waiter(py) else {
            return Ok(Listening::Cancelled);
        };
        let listening = waiter.listening(py)?;
        if matches!(listening, Listening::NotYet) {
            waiter.wake_later(py)?;
        }
        Ok(listening)
    }

    /// Ends the wait and runs the task that listens. Only from where no task is current.
    pub fn resolve(&self, py: Python<'_>, outcome: Outcome, listener: &Listener<'_>) -> PyResult<()> {
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Settled(outcome));
        if let Stage::Waiting { waiter, timer } = stage {
            cancel(py, timer)?;
            waiter.wake(self.connection.get().mailbox.get(), listener)?;
        }
        Ok(())
    }

    /// Woken without an outcome: waits on, unless it was cancelled.
    fn wait_on(slf: &Bound<'_, Self>, waiter: &Waiter) -> PyResult<Option<Py<PyAny>>> {
        let (py, this) = (slf.py(), slf.get());
        if waiter.cancelled(py)? {
            this.abandon(py)?;
            return Err(cancelled(py));
        }
        if !waiter.done(py)? {
            waiter.block(py)?;
            return Ok(Some(waiter.future(py)));
        }
        let connection = this.connection.bind(py);
        let mut fresh = Waiter::new(py, connection.get().mailbox.get())?;
        let future = fresh.future(py);
        let late = match &mut *this.stage.lock() {
            Stage::Waiting { waiter, timer } => {
                std::mem::swap(waiter, &mut fresh);
                this.timeout.is_some() && timer.is_none()
            }
            _ => false,
        };
        if late {
            let again = Receive::timer(slf, 0.0)?;
            if let Stage::Waiting { timer, .. } = &mut *this.stage.lock() {
                *timer = Some(again);
            }
        }
        Connection::listens_again(connection)?;
        Ok(Some(future))
    }

    /// Stops waiting. A message that was handed over and not fetched goes back to the front.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Done);
        let connection = self.connection.bind(py);
        match stage {
            Stage::Waiting { waiter, timer } => {
                cancel(py, timer)?;
                Connection::withdraw(connection, self)?;
                waiter.wake_later(py)
            }
            Stage::Settled(Outcome::Message(message)) => Connection::put_back(connection, message),
            _ => Ok(()),
        }
    }
}

fn cancel(py: Python<'_>, timer: Option<Py<PyAny>>) -> PyResult<()> {
    match timer {
        Some(timer) => timer.call_method0(py, pyo3::intern!(py, "cancel")).map(|_| ()),
        None => Ok(()),
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

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let (py, this) = (slf.py(), slf.get());
        let mut stage = this.stage.lock();
        match &*stage {
            Stage::New => {
                drop(stage);
                Receive::begin(slf)
            }
            Stage::Waiting { waiter, .. } => {
                let waiter = waiter.clone_ref(py);
                drop(stage);
                Receive::wait_on(slf, &waiter)
            }
            Stage::Settled(_) | Stage::Done => match std::mem::replace(&mut *stage, Stage::Done) {
                Stage::Settled(outcome) => {
                    drop(stage);
                    this.finish(py, outcome)
                }
                _ => Err(used_up()),
            },
        }
    }

    fn send(slf: &Bound<'_, Self>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        // Where `__next__` has ended, StopIteration is set.
        Receive::__next__(slf)?.ok_or_else(|| PyErr::fetch(slf.py()))
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

    /// The deadline. A message that has arrived beats it.
    fn _expire(&self, py: Python<'_>) -> PyResult<()> {
        let timer = match &mut *self.stage.lock() {
            Stage::Waiting { timer, .. } => timer.take(),
            _ => None,
        };
        drop(timer);
        let connection = self.connection.bind(py);
        Connection::pump(connection)?;
        let Some(waiter) = self.waiter(py) else {
            return Ok(());
        };
        match waiter.listening(py)? {
            Listening::To(listener) => {
                drop(waiter);
                Connection::withdraw(connection, self)?;
                self.resolve(py, Outcome::TimedOut, &listener)
            }
            Listening::NotYet if !waiter.done(py)? => {
                Connection::withdraw(connection, self)?;
                *self.stage.lock() = Stage::Settled(Outcome::TimedOut);
                waiter.wake_later(py)
            }
            // There is something for it, or it was cancelled: its task is about to look.
            _ => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        if let Some(stage) = self.stage.try_lock() {
            match &*stage {
                Stage::Waiting { waiter, timer } => {
                    waiter.traverse(&visit)?;
                    visit.call(timer)?;
                }
                Stage::Settled(Outcome::Message(message)) => visit.call(message)?,
                _ => {}
            }
        }
        Ok(())
    }
}
