//! Calls of Python functions without a tuple of the arguments, which pyo3 makes for each: the stable ABI
//! of 3.11 has no `PyObject_Vectorcall`.

use std::ptr::null_mut;

use pyo3::ffi;
use pyo3::prelude::*;

/// `function(*arguments)`, with at most three of them.
pub fn call<'py, const N: usize>(
    function: &Bound<'py, PyAny>,
    arguments: [&Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, PyAny>> {
    const { assert!(N <= 3) };
    let argument =
        |at| arguments.get(at).map_or(null_mut(), |argument: &&Bound<'_, PyAny>| argument.as_ptr());
    let end = null_mut::<ffi::PyObject>();
    // SAFETY: the GIL is held, all are live objects, and NULL ends them.
    unsafe {
        let result =
            ffi::PyObject_CallFunctionObjArgs(function.as_ptr(), argument(0), argument(1), argument(2), end);
        Bound::from_owned_ptr_or_err(function.py(), result)
    }
}
