//! Callbacks: called in order, each run at once to its first wait, and a task from then on.
//!
//! A task that asyncio makes takes its first step an iteration of the loop later. So the first
//! step is taken here, with that task as the current one; if the coroutine waits, the task goes on
//! with it, and if it does not, the same task serves the next callback of the batch.

use parking_lot::Mutex;
use pyo3::exceptions::PyStopIteration;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::asyncio::{asyncio, cancelled};
use crate::awaitable::{Ready, Step, finish, step, steps, thrown};
use crate::call::call;
use crate::connection::Connection;
use crate::error::passes;
use crate::mailbox::Mailbox;
use crate::spare::Spare;

/// What a callback was called for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Message,
    LastMessage,
    NewConnection,
    Other,
}

enum Phase {
    Idle,
    Call {
        callback: Py<PyAny>,
        argument: Py<PyAny>,
    },
    Await(Py<PyAny>),
    /// Waiting; `first` is what it yielded before its task took over.
    Suspended {
        steps: Py<PyAny>,
        first: Option<Py<PyAny>>,
    },
    Over {
        cancelled: bool,
    },
}

struct State {
    phase: Phase,
    kind: Kind,
    connection: Option<Py<Connection>>,
    /// What the task waits for while it is a spare one.
    park: Option<Py<PyAny>>,
}

/// The coroutine that such a task runs: it stands for that of the callback.
#[pyclass(frozen, weakref, module = "coromega_ws._native")]
pub struct Driver {
    mailbox: Py<Mailbox>,
    state: Mutex<State>,
}

impl Driver {
    pub fn new(mailbox: Py<Mailbox>) -> Self {
        let state = State { phase: Phase::Idle, kind: Kind::Other, connection: None, park: None };
        Driver { mailbox, state: Mutex::new(state) }
    }

    pub fn take_park(&self) -> Option<Py<PyAny>> {
        self.state.lock().park.take()
    }

    /// Whether something woke or cancelled the spare task.
    pub fn park_is_done(&self, py: Python<'_>) -> PyResult<bool> {
        let park = match &self.state.lock().park {
            Some(park) => park.clone_ref(py),
            None => return Ok(false),
        };
        park.call_method0(py, pyo3::intern!(py, "done"))?.is_truthy(py)
    }

    /// The task's own first step, and no callback has needed it: it waits for one.
    fn park(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let park = self.mailbox.get().loop_of(py)?.call_method0(pyo3::intern!(py, "create_future"))?;
        if !self.mailbox.get().is_spare(self.key()) {
            return Ok(None);
        }
        park.setattr(pyo3::intern!(py, "_asyncio_future_blocking"), true)?;
        self.state.lock().park = Some(park.clone().unbind());
        Ok(Some(park.unbind()))
    }

    /// Calls `callback(argument)`; what waits goes on by itself. Only from where no task is
    /// current.
    pub fn start(
        mailbox: &Bound<'_, Mailbox>,
        callback: &Bound<'_, PyAny>,
        is_async: bool,
        argument: Bound<'_, PyAny>,
        connection: Option<&Bound<'_, Connection>>,
        kind: Kind,
    ) -> PyResult<()> {
        if is_async {
            let phase = Phase::Call { callback: callback.clone().unbind(), argument: argument.unbind() };
            return Driver::run(mailbox, phase, connection, kind);
        }
        match call(callback, [&argument]) {
            Ok(result) if result.is_none() || result.is_instance_of::<Ready>() => Ok(()),
            Ok(result) => match steps(&result)? {
                Some(steps) => Driver::run(mailbox, Phase::Await(steps.unbind()), connection, kind),
                None => Ok(()),
            },
            Err(error) => failed(mailbox.py(), error, connection, kind).map(|_| ()),
        }
    }

    fn run(
        mailbox: &Bound<'_, Mailbox>,
        phase: Phase,
        connection: Option<&Bound<'_, Connection>>,
        kind: Kind,
    ) -> PyResult<()> {
        let py = mailbox.py();
        let mut spare = match mailbox.get().take_spare() {
            Some(spare) => spare,
            None => Spare::new(mailbox)?,
        };
        spare.mark(py)?;
        let driver = spare.driver.get();
        {
            let mut state = driver.state.lock();
            state.phase = phase;
            state.kind = kind;
            state.connection = connection.map(|connection| connection.clone().unbind());
        }
        let (asyncio, running) = (asyncio(py)?, mailbox.get().loop_of(py)?);
        let task = spare.task.bind(py);
        call(asyncio.enter_task.bind(py), [&running, task])?;
        let result = call(asyncio.run_in_context.bind(py), [spare.context.bind(py), spare.begin.bind(py)]);
        call(asyncio.leave_task.bind(py), [&running, task])?;
        result?;
        if matches!(driver.state.lock().phase, Phase::Suspended { .. }) {
            if let (Some(connection), Kind::Message | Kind::LastMessage) = (connection, kind) {
                connection.get().callback_started();
            }
            let key = driver.key();
            mailbox.get().keep_running(key, spare.release(py)?);
        } else if spare.untouched(py)? {
            let old = {
                let mut state = driver.state.lock();
                state.phase = Phase::Idle;
                state.connection.take()
            };
            drop(old);
            mailbox.get().put_spare(spare);
        } else {
            spare.release(py)?;
        }
        Ok(())
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// The coroutine yielded, returned or raised, after its first wait.
    fn stepped(&self, py: Python<'_>, result: PyResult<Step>) -> PyResult<Option<Py<PyAny>>> {
        let result = match result {
            // It is `Suspended` still.
            Ok(Step::Yielded(value)) => return Ok(Some(value)),
            Ok(Step::Returned) => Ok(()),
            Err(error) => Err(error),
        };
        let (connection, kind) = {
            let mut state = self.state.lock();
            state.phase = Phase::Over { cancelled: false };
            (state.connection.take(), state.kind)
        };
        self.mailbox.get().stop_running(self.key());
        let connection = connection.as_ref().map(|connection| connection.bind(py));
        if let (Some(connection), Kind::Message | Kind::LastMessage) = (connection, kind) {
            Connection::callback_finished(connection)?;
        }
        match result {
            Ok(()) => Ok(None),
            Err(error) => match failed(py, error, connection, kind)? {
                true => Err(cancelled(py)),
                false => Ok(None),
            },
        }
    }
}

/// Reports an error (S4); returns whether it was a cancellation, which is none.
fn failed(
    py: Python<'_>,
    error: PyErr,
    connection: Option<&Bound<'_, Connection>>,
    kind: Kind,
) -> PyResult<bool> {
    if passes(py, &error) {
        return Err(error);
    }
    let cancellation = error.matches(py, asyncio(py)?.cancelled.bind(py))?;
    if !cancellation {
        let report = py.import("coromega_ws.reporting")?.getattr("report")?;
        report.call1((error, kind == Kind::LastMessage))?;
    }
    if let (Some(connection), Kind::NewConnection, false) = (connection, kind, cancellation) {
        connection.call_method1(pyo3::intern!(py, "close"), (1011,))?;
    }
    Ok(cancellation)
}

#[pymethods]
impl Driver {
    /// The first step, in the task's context.
    fn _begin(&self, py: Python<'_>) -> PyResult<()> {
        let (phase, kind, connection) = {
            let mut state = self.state.lock();
            let connection = state.connection.as_ref().map(|connection| connection.clone_ref(py));
            (std::mem::replace(&mut state.phase, Phase::Over { cancelled: false }), state.kind, connection)
        };
        let made = match phase {
            Phase::Call { callback, argument } => {
                call(callback.bind(py), [argument.bind(py)]).and_then(|result| steps(&result))
            }
            Phase::Await(object) => Ok(Some(object.into_bound(py))),
            _ => Ok(None),
        };
        let stepped = match made {
            Ok(Some(steps)) => step(&steps).map(|stepped| Some((steps, stepped))),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match stepped {
            Ok(Some((steps, Step::Yielded(value)))) => {
                self.state.lock().phase = Phase::Suspended { steps: steps.unbind(), first: Some(value) };
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                let connection = connection.as_ref().map(|connection| connection.bind(py));
                let cancelled = failed(py, error, connection, kind)?;
                self.state.lock().phase = Phase::Over { cancelled };
                Ok(())
            }
        }
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let steps = {
            let mut state = self.state.lock();
            match &mut state.phase {
                Phase::Suspended { steps, first } => match first.take() {
                    Some(first) if !first.is_none(py) => return Ok(Some(first)),
                    // A bare yield gave way, and this is a turn later.
                    _ => steps.clone_ref(py),
                },
                Phase::Over { cancelled: true } => return Err(cancelled(py)),
                Phase::Idle => {
                    drop(state);
                    return self.park(py);
                }
                _ => return Ok(None),
            }
        };
        let _inside = self.mailbox.get().enter();
        let stepped = step(steps.bind(py));
        self.stepped(py, stepped)
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.__next__(py)? {
            Some(value) => Ok(value),
            None => Err(finish(py, py.None())),
        }
    }

    #[pyo3(signature = (kind, value=None, _traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let error = thrown(kind, value);
        let (steps, first) = {
            let mut state = self.state.lock();
            match &mut state.phase {
                Phase::Suspended { steps, first } => (steps.clone_ref(py), first.take()),
                _ => {
                    drop(state);
                    self.mailbox.get().forget_spare(self.key());
                    return Err(error);
                }
            }
        };
        // Cancelled before its task saw what it waits for: that is cancelled, as the task would.
        if let Some(first) = first
            && !first.is_none(py)
            && error.matches(py, asyncio(py)?.cancelled.bind(py))?
            && first.call_method0(py, pyo3::intern!(py, "cancel"))?.is_truthy(py)?
        {
            return Ok(first);
        }
        let result = match steps.bind(py).call_method1(pyo3::intern!(py, "throw"), (error,)) {
            Ok(value) => Ok(Step::Yielded(value.unbind())),
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => Ok(Step::Returned),
            Err(error) => Err(error),
        };
        match self.stepped(py, result)? {
            Some(value) => Ok(value),
            None => Err(finish(py, py.None())),
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let phase = std::mem::replace(&mut self.state.lock().phase, Phase::Over { cancelled: false });
        self.mailbox.get().stop_running(self.key());
        match phase {
            Phase::Suspended { steps, .. } if steps.bind(py).hasattr("close")? => {
                steps.call_method0(py, "close").map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// For `repr` and `print_stack` of the task: those of the callback's own coroutine.
    fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let steps = match &self.state.lock().phase {
            Phase::Suspended { steps, .. } => Some(steps.clone_ref(py)),
            _ => None,
        };
        let name: String = name.extract()?;
        match steps {
            Some(steps)
                if matches!(
                    name.as_str(),
                    "cr_code" | "cr_frame" | "cr_running" | "cr_await" | "__name__" | "__qualname__"
                ) =>
            {
                steps.getattr(py, name.as_str())
            }
            _ => Err(pyo3::exceptions::PyAttributeError::new_err(name)),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.mailbox)?;
        if let Some(state) = self.state.try_lock() {
            visit.call(&state.connection)?;
            visit.call(&state.park)?;
            match &state.phase {
                Phase::Call { callback, argument } => {
                    visit.call(callback)?;
                    visit.call(argument)?;
                }
                Phase::Await(object) => visit.call(object)?,
                Phase::Suspended { steps, first } => {
                    visit.call(steps)?;
                    visit.call(first)?;
                }
                Phase::Idle | Phase::Over { .. } => {}
            }
        }
        Ok(())
    }
}
