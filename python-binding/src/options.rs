//! Options, set by their names: the library knows them, this binding keeps no list. And headers.

use coromega_ws_abi as abi;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::error::{check, last_text};

/// How the library begins to say that it has no option of a name.
const UNKNOWN: &str = "unknown option";

/// The options of a connect or of a listener.
#[pyclass(frozen, module = "coromega_ws._native")]
pub struct Options {
    pub raw: abi::cmws_options_t,
}

// SAFETY: the struct is not changed after `new`, and what its pointer owns is plain data, which any
// thread may read and drop; the library does no more than read it before `drop`.
unsafe impl Send for Options {}
// SAFETY: as above.
unsafe impl Sync for Options {}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: filled by `defaults`; nobody has a copy of the struct any more.
        unsafe { abi::cmws_options_clear(&mut self.raw) };
    }
}

impl Options {
    fn defaults(py: Python<'_>) -> PyResult<Self> {
        let mut raw = std::mem::MaybeUninit::<abi::cmws_options_t>::zeroed();
        let size = size_of::<abi::cmws_options_t>();
        // SAFETY: `raw` has room for `size` bytes; zeroed, it is a valid value to begin with.
        unsafe {
            check(py, abi::cmws_options_init(size, raw.as_mut_ptr()))?;
            Ok(Options { raw: raw.assume_init() })
        }
    }

    fn set_number(&mut self, py: Python<'_>, name: &str, value: f64) -> PyResult<()> {
        // SAFETY: the name is passed with its length and both live through the call.
        check(py, unsafe { abi::cmws_options_set(&mut self.raw, name.as_ptr().cast(), name.len(), value) })
    }

    fn set_text(&mut self, py: Python<'_>, name: &str, text: &[u8]) -> PyResult<()> {
        // SAFETY: name and text are passed with their lengths and live through the call.
        check(py, unsafe {
            abi::cmws_options_set_text(
                &mut self.raw,
                name.as_ptr().cast(),
                name.len(),
                text.as_ptr().cast(),
                text.len(),
            )
        })
    }

    /// The type of the value picks the call: numbers and flags, texts and paths, or a list of those.
    fn set(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            for item in value.try_iter()? {
                let item = item?;
                match text_of(&item)? {
                    Some(text) => self.set_text(py, name, text.as_bytes())?,
                    None => return Err(unfit(name, "a list of str", &item)),
                }
            }
            return Ok(());
        }
        if let Some(text) = text_of(value)? {
            return self.set_text(py, name, text.as_bytes());
        }
        if value.hasattr(pyo3::intern!(py, "__float__"))? {
            return self.set_number(py, name, value.extract()?);
        }
        Err(unfit(name, "a number, a bool, a str, a path or a list of str", value))
    }
}

fn unfit(name: &str, wanted: &str, value: &Bound<'_, PyAny>) -> PyErr {
    match value.get_type().name() {
        Ok(found) => PyTypeError::new_err(format!("option {name}: {wanted}, not {found}")),
        Err(error) => error,
    }
}

/// The bytes of a str, bytes or path; None for anything else. A path is encoded as the system does.
fn text_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = value.py();
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Some(bytes.clone()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Some(PyBytes::new(py, text.to_str()?.as_bytes())));
    }
    if !value.hasattr(pyo3::intern!(py, "__fspath__"))? {
        return Ok(None);
    }
    let path = py.import("os")?.call_method1("fsencode", (value,))?;
    Ok(Some(path.cast_into::<PyBytes>()?))
}

#[pymethods]
impl Options {
    #[new]
    fn new(py: Python<'_>, values: Vec<(String, Bound<'_, PyAny>)>) -> PyResult<Self> {
        let mut options = Options::defaults(py)?;
        for (name, value) in values {
            options.set(&name, &value)?;
        }
        Ok(options)
    }

    /// How many callbacks of one connection may be unfinished (S16).
    #[getter]
    fn max_callbacks(&self) -> u32 {
        self.raw.max_callbacks
    }
}

/// Name and value of a header.
pub type Field = (Vec<u8>, Vec<u8>);

/// Headers as the library takes them: they point to the fields.
pub fn to_c(fields: &[Field]) -> Vec<abi::cmws_header_t> {
    let header = |(name, value): &Field| abi::cmws_header_t {
        name: name.as_ptr().cast(),
        name_length: name.len(),
        value: value.as_ptr().cast(),
        value_length: value.len(),
    };
    fields.iter().map(header).collect()
}

/// Whether the library has an option of this name.
#[pyfunction]
pub fn is_option(py: Python<'_>, name: &str) -> PyResult<bool> {
    let mut options = Options::defaults(py)?;
    // No option takes what is no number at all: the library always says what it makes of the name.
    // SAFETY: the name is passed with its length and both live through the call.
    unsafe { abi::cmws_options_set(&mut options.raw, name.as_ptr().cast(), name.len(), f64::NAN) };
    Ok(!last_text().starts_with(UNKNOWN))
}
