//! A send that waits for room, as an awaitable.

use parking_lot::Mutex;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::asyncio::{cancelled, running_loop};
use crate::awaitable::{Step, finish, step, thrown, used_up};
use crate::connection::Connection;
use crate::message::Outgoing;
use crate::waiter::{Listening, Waiter};

enum Stage {
    /// Queued and not awaited yet.
    New,
    /// Awaited on the connection's own loop.
    Here(Waiter),
    /// Awaited on another loop: a future of that loop, and its steps.
    There {
        future: Py<PyAny>,
        steps: Py<PyAny>,
    },
    /// Accepted, or refused for good.
    Settled(Result<(), PyErr>),
    Done,
}

/// Whether a send is to be tried.
pub enum Wanted {
    Now,
    Later,
    No,
}

/// A send that waits for room. It is sent in its turn, awaited or not, unless it is cancelled.
#[pyclass(frozen, weakref, module = "coromega_ws._native")]
pub struct PendingSend {
    connection: Py<Connection>,
    message: Outgoing,
    flags: u32,
    /// The loop of the call that made it.
    caller: Py<PyAny>,
    stage: Mutex<Stage>,
}

impl PendingSend {
    pub fn new(connection: Py<Connection>, message: Outgoing, flags: u32, caller: Py<PyAny>) -> Self {
        PendingSend { connection, message, flags, caller, stage: Mutex::new(Stage::New) }
    }

    fn waiter(&self, py: Python<'_>) -> Option<Waiter> {
        match &*self.stage.lock() {
            Stage::Here(waiter) => Some(waiter.clone_ref(py)),
            _ => None,
        }
    }

    /// Whether it still wants to be sent, and now: a task that does not listen yet could not be resumed
    /// at once, and is told to look again.
    pub fn wanted(&self, py: Python<'_>) -> PyResult<Wanted> {
        if let Some(waiter) = self.waiter(py) {
            return Ok(match waiter.listening(py)? {
                Listening::To(_) => Wanted::Now,
                Listening::NotYet => {
                    waiter.wake_later(py)?;
                    Wanted::Later
                }
                Listening::Cancelled => Wanted::No,
            });
        }
        let future = match &*self.stage.lock() {
            Stage::There { future, .. } => future.clone_ref(py),
            Stage::New => return Ok(Wanted::Now),
            _ => return Ok(Wanted::No),
        };
        let done = future.call_method0(py, pyo3::intern!(py, "done"))?.is_truthy(py)?;
        Ok(if done { Wanted::No } else { Wanted::Now })
    }

    /// One try; the status is the library's.
    pub fn attempt(&self, py: Python<'_>, connection: u64) -> PyResult<i32> {
        self.message.send(py, connection, self.flags)
    }

    /// Tells who awaits it. `at_once`: no task is current, so that its task may run right here.
    pub fn settle(&self, py: Python<'_>, result: Result<(), PyErr>, at_once: bool) -> PyResult<()> {
        let copy = match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(error.clone_ref(py)),
        };
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Settled(copy));
        match stage {
            Stage::Here(waiter) => {
                if let (true, Listening::To(listener)) = (at_once, waiter.listening(py)?) {
                    return waiter.wake(self.connection.get().mailbox.get(), &listener);
                }
                waiter.wake_later(py)
            }
            Stage::There { future, .. } => {
                let wake = py.import("coromega_ws.waiting")?.getattr("wake")?;
                // The loop may have been closed meanwhile; then nobody waits.
                let _ =
                    self.caller.call_method1(py, pyo3::intern!(py, "call_soon_threadsafe"), (wake, future));
                Ok(())
            }
            Stage::New | Stage::Settled(_) | Stage::Done => Ok(()),
        }
    }

    fn begin(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let running = running_loop(py)?;
        let connection = self.connection.bind(py);
        if connection.get().mailbox(py).get().is_loop(py, &running) {
            let waiter = Waiter::new(py, connection.get().mailbox.get())?;
            let future = waiter.future(py);
            *self.stage.lock() = Stage::Here(waiter);
            return Ok(future);
        }
        let future = running.call_method0("create_future")?;
        let steps = future.call_method0("__await__")?;
        {
            let mut stage = self.stage.lock();
            if !matches!(&*stage, Stage::New) {
                // The connection's loop has settled it meanwhile.
                drop(stage);
                return self.__next__(py);
            }
            *stage = Stage::There { future: future.unbind(), steps: steps.clone().unbind() };
        }
        match step(&steps)? {
            Step::Yielded(value) => Ok(value),
            Step::Returned => Err(finish(py, py.None())),
        }
    }

    /// Woken without a result: waits on, unless it was cancelled.
    fn wait_on(&self, py: Python<'_>, waiter: &Waiter) -> PyResult<Py<PyAny>> {
        if waiter.cancelled(py)? {
            self.abandon(py)?;
            return Err(cancelled(py));
        }
        if !waiter.done(py)? {
            waiter.block(py)?;
            return Ok(waiter.future(py));
        }
        let connection = self.connection.bind(py);
        let mut fresh = Waiter::new(py, connection.get().mailbox.get())?;
        let future = fresh.future(py);
        if let Stage::Here(waiter) = &mut *self.stage.lock() {
            std::mem::swap(waiter, &mut fresh);
        }
        Connection::listens_again(connection)?;
        Ok(future)
    }

    /// Takes it out of the queue: it will not be sent.
    fn abandon(&self, py: Python<'_>) -> PyResult<()> {
        let stage = std::mem::replace(&mut *self.stage.lock(), Stage::Done);
        if let Stage::Here(waiter) = &stage {
            waiter.wake_later(py)?;
        }
        if matches!(stage, Stage::New | Stage::Here(_) | Stage::There { .. }) {
            Connection::forget_send(self.connection.bind(py), self)?;
        }
        Ok(())
    }
}

#[pymethods]
impl PendingSend {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        enum Now {
            Begin,
            Block(Waiter),
            Step(Py<PyAny>),
            Result(Result<(), PyErr>),
        }
        let now = {
            let mut stage = self.stage.lock();
            match &*stage {
                Stage::New => Now::Begin,
                Stage::Here(waiter) => Now::Block(waiter.clone_ref(py)),
                Stage::There { steps, .. } => Now::Step(steps.clone_ref(py)),
                Stage::Settled(_) => match std::mem::replace(&mut *stage, Stage::Done) {
                    Stage::Settled(result) => Now::Result(result),
                    _ => Now::Result(Ok(())),
                },
                Stage::Done => Now::Result(Err(used_up())),
            }
        };
        match now {
            Now::Begin => self.begin(py),
            Now::Block(waiter) => self.wait_on(py, &waiter),
            Now::Step(steps) => match step(steps.bind(py))? {
                Step::Yielded(value) => Ok(value),
                Step::Returned => Err(finish(py, py.None())),
            },
            Now::Result(Ok(())) => Err(finish(py, py.None())),
            Now::Result(Err(error)) => Err(error),
        }
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.__next__(py)
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

    /// An unawaited coroutine is closed when it is thrown away; a send goes out all the same.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if matches!(*self.stage.lock(), Stage::New) {
            return Ok(());
        }
        self.abandon(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        visit.call(&self.caller)?;
        if let Some(stage) = self.stage.try_lock() {
            match &*stage {
                Stage::Here(waiter) => waiter.traverse(&visit)?,
                Stage::There { future, steps } => {
                    visit.call(future)?;
                    visit.call(steps)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
