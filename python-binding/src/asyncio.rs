//! The parts of asyncio that the hot path calls, looked up once.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

pub struct Asyncio {
    pub task: Py<PyAny>,
    pub future: Py<PyAny>,
    /// `Future.remove_done_callback`, as a function of a future and what to remove.
    pub remove_done_callback: Py<PyAny>,
    /// Whether a future that nobody waits for any more is as good as a new one: since 3.14 it keeps
    /// the task that last did.
    pub reuses_futures: bool,
    pub enter_task: Py<PyAny>,
    pub leave_task: Py<PyAny>,
    pub register_task: Py<PyAny>,
    pub unregister_task: Py<PyAny>,
    pub running_loop: Py<PyAny>,
    pub copy_context: Py<PyAny>,
    /// `Context.run`, as a function of a context, a function and what to call it with.
    pub run_in_context: Py<PyAny>,
    pub cancelled: Py<PyAny>,
    pub weak_reference_count: Py<PyAny>,
    /// The type of what `async def` makes.
    pub coroutine: Py<PyAny>,
}

impl Asyncio {
    /// Whether it is what a task of asyncio's own has called when what it waits for is done.
    pub fn is_wake_up(&self, function: &Bound<'_, PyAny>) -> bool {
        // SAFETY: the GIL is held, and only what is a function of C's is taken for one; it lives, and
        // with it the object that it is a method of, if any.
        unsafe {
            if ffi::Py_TYPE(function.as_ptr()) != &raw mut ffi::PyCFunction_Type {
                return false;
            }
            let task = ffi::PyCFunction_GetSelf(function.as_ptr());
            !task.is_null() && ffi::Py_TYPE(task).cast() == self.task.as_ptr()
        }
    }
}

static ASYNCIO: PyOnceLock<Asyncio> = PyOnceLock::new();

/// `_enter_task`, `_register_task` and their opposites are documented for third-party tasks and event loops.
pub fn asyncio(py: Python<'_>) -> PyResult<&Asyncio> {
    ASYNCIO.get_or_try_init(py, || {
        let asyncio = py.import("asyncio")?;
        let future = asyncio.getattr("Future")?;
        Ok(Asyncio {
            task: asyncio.getattr("Task")?.unbind(),
            remove_done_callback: future.getattr("remove_done_callback")?.unbind(),
            reuses_futures: !asyncio.hasattr("future_add_to_awaited_by")?,
            future: future.unbind(),
            enter_task: asyncio.getattr("_enter_task")?.unbind(),
            leave_task: asyncio.getattr("_leave_task")?.unbind(),
            register_task: asyncio.getattr("_register_task")?.unbind(),
            unregister_task: asyncio.getattr("_unregister_task")?.unbind(),
            running_loop: asyncio.getattr("_get_running_loop")?.unbind(),
            copy_context: py.import("contextvars")?.getattr("copy_context")?.unbind(),
            run_in_context: py.import("contextvars")?.getattr("Context")?.getattr("run")?.unbind(),
            cancelled: asyncio.getattr("CancelledError")?.unbind(),
            weak_reference_count: py.import("weakref")?.getattr("getweakrefcount")?.unbind(),
            coroutine: py.import("types")?.getattr("CoroutineType")?.unbind(),
        })
    })
}

/// The loop that runs on this thread, or None.
pub fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    asyncio(py)?.running_loop.bind(py).call0()
}

/// What a loop was asked for; where it refuses because it was closed, nobody waits for it any more.
pub fn unless_closed(own: &Bound<'_, PyAny>, outcome: PyResult<()>) -> PyResult<()> {
    match outcome {
        Err(_) if own.call_method0(pyo3::intern!(own.py(), "is_closed"))?.is_truthy()? => Ok(()),
        outcome => outcome,
    }
}

/// A CancelledError.
pub fn cancelled(py: Python<'_>) -> PyErr {
    match asyncio(py).and_then(|asyncio| asyncio.cancelled.bind(py).call0()) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}
