//! How deep a value is nested, asked before it becomes JSON.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// Nesting beyond this is refused (S19).
const LIMIT: usize = 128;

fn check(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    if let Ok(dict) = value.cast::<PyDict>() {
        enter(depth)?;
        for (_, item) in dict.iter() {
            check(&item, depth + 1)?;
        }
    } else if let Ok(list) = value.cast::<PyList>() {
        enter(depth)?;
        for item in list.iter() {
            check(&item, depth + 1)?;
        }
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        enter(depth)?;
        for item in tuple.iter() {
            check(&item, depth + 1)?;
        }
    }
    Ok(())
}

fn enter(depth: usize) -> PyResult<()> {
    if depth < LIMIT {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("nested deeper than {LIMIT}, or holding itself")))
}

/// Raises ValueError if `value` is nested deeper than JSON is sent, or contains itself.
#[pyfunction]
pub fn check_depth(value: &Bound<'_, PyAny>) -> PyResult<()> {
    check(value, 0)
}
