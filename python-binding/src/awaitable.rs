//! What a native awaitable needs: results as StopIteration, and one that is always ready.

use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::asyncio::asyncio;

/// Ends a native iterator with `value`, as `return value` ends a coroutine.
pub fn finish(py: Python<'_>, value: Py<PyAny>) -> PyErr {
    // SAFETY: the GIL is held and both are live objects. `value` is a str, bytes or None: neither
    // a tuple nor an exception, which StopIteration would take apart.
    unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value.as_ptr()) };
    PyErr::fetch(py)
}

/// As [`finish`], for `__next__`: the slot's way of ending is NULL with StopIteration set, which
/// spares making an exception.
pub fn finish_next(value: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    // Python would take a tuple's elements for the arguments of the exception.
    if value.is_instance_of::<PyTuple>() {
        return Err(PyStopIteration::new_err((value.clone().unbind(),)));
    }
    // SAFETY: as above.
    unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value.as_ptr()) };
    Ok(None)
}

/// The exception that `throw(kind, value, traceback)` was called with.
pub fn thrown(kind: &Bound<'_, PyAny>, value: Option<&Bound<'_, PyAny>>) -> PyErr {
    let made = match value {
        Some(value) if !value.is_none() => Ok(value.clone()),
        _ if kind.is_instance_of::<pyo3::types::PyType>() => kind.call0(),
        _ => Ok(kind.clone()),
    };
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// One step of a coroutine.
pub enum Step {
    Yielded(Py<PyAny>),
    Returned,
}

/// `coroutine.send(None)`.
pub fn step(coroutine: &Bound<'_, PyAny>) -> PyResult<Step> {
    let py = coroutine.py();
    let mut out = std::ptr::null_mut();
    // SAFETY: the GIL is held, `coroutine` is live, `out` is written unless there is an error.
    let sent = unsafe { ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &mut out) };
    match sent {
        ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
        kind => {
            // SAFETY: PyIter_Send hands over a reference.
            let value = unsafe { Bound::from_owned_ptr(py, out) }.unbind();
            Ok(if kind == ffi::PySendResult::PYGEN_NEXT { Step::Yielded(value) } else { Step::Returned })
        }
    }
}

/// What can be stepped for `await object`, or None if it can't be awaited.
pub fn steps<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    if asyncio(py)?.coroutine.is(object.get_type().as_any()) {
        return Ok(Some(object.clone()));
    }
    // A coroutine is its own iterator; asked for another one, it would only wrap itself.
    let Some(method) = object.getattr_opt(pyo3::intern!(py, "__await__"))? else {
        return Ok(None);
    };
    if object.hasattr(pyo3::intern!(py, "send"))? && object.hasattr(pyo3::intern!(py, "throw"))? {
        return Ok(Some(object.clone()));
    }
    method.call0().map(Some)
}

/// Nothing to wait for: awaiting it returns None at once, any number of times.
#[pyclass(frozen, module = "coromega_ws._native")]
pub struct Ready;

static READY: PyOnceLock<Py<Ready>> = PyOnceLock::new();

/// The one `Ready` there needs to be.
pub fn ready(py: Python<'_>) -> PyResult<Py<PyAny>> {
    READY.get_or_try_init(py, || Py::new(py, Ready)).map(|ready| ready.clone_ref(py).into_any())
}

#[pymethods]
impl Ready {
    #[new]
    fn new() -> Self {
        Ready
    }
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }
    fn __next__(&self) -> Option<Py<PyAny>> {
        None
    }
    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        Err(finish(py, py.None()))
    }
    #[pyo3(signature = (kind, value=None, _traceback=None))]
    fn throw(
        &self,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        _traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Err(thrown(kind, value))
    }
    fn close(&self) {}
}

/// A native awaitable is used up by one await.
pub fn used_up() -> PyErr {
    PyTypeError::new_err("this has been awaited already")
}
