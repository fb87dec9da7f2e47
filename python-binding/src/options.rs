//! Options, set by their names: the library knows them, this binding keeps no list.

use coromega_ws_abi as abi;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::error::check;

/// The options of a connect or of a listener.
#[pyclass(frozen, module = "coromega_ws._native")]
pub struct Options {
    pub raw: abi::cmws_options_t,
}

#[pymethods]
impl Options {
    #[new]
    fn new(py: Python<'_>, values: Vec<(String, Bound<'_, PyAny>)>) -> PyResult<Self> {
        let mut raw = std::mem::MaybeUninit::<abi::cmws_options_t>::zeroed();
        let size = size_of::<abi::cmws_options_t>();
        // SAFETY: `raw` has room for `size` bytes; zeroed, it is a valid value to begin with.
        let mut raw = unsafe {
            check(py, abi::cmws_options_init(size, raw.as_mut_ptr()))?;
            raw.assume_init()
        };
        for (name, value) in values {
            if value.is_instance_of::<PyBool>() || !value.hasattr("__float__")? {
                return Err(PyTypeError::new_err(format!(
                    "option {name}: a number, not {}",
                    value.get_type().name()?
                )));
            }
            let number: f64 = value.extract()?;
            // SAFETY: the name is passed with its length and both live through the call.
            check(py, unsafe { abi::cmws_options_set(&mut raw, name.as_ptr().cast(), name.len(), number) })?;
        }
        Ok(Options { raw })
    }

    /// How many callbacks of one connection may be unfinished (S16).
    #[getter]
    fn max_callbacks(&self) -> u32 {
        self.raw.max_callbacks
    }
}
