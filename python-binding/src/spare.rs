//! The task that callbacks take their first step in, and that goes on with one that waits.
//!
//! Making a task costs more than most callbacks do. So one is kept: it waits, unknown to
//! `asyncio.all_tasks()`, until a callback needs it for good.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::asyncio::asyncio;
use crate::callback::Driver;
use crate::mailbox::Mailbox;

/// A task that has not been needed yet.
pub struct Spare {
    pub driver: Py<Driver>,
    pub task: Py<PyAny>,
    pub begin: Py<PyAny>,
    pub context: Py<PyAny>,
    fresh: Py<PyAny>,
    references: u32,
}

impl Spare {
    pub fn new(mailbox: &Bound<'_, Mailbox>) -> PyResult<Self> {
        let py = mailbox.py();
        let driver = Bound::new(py, Driver::new(mailbox.clone().unbind()))?;
        let base = mailbox.get().context_of(py)?;
        let context = base.call_method0(pyo3::intern!(py, "copy"))?;
        let fresh = base.call_method0(pyo3::intern!(py, "copy"))?;
        let keywords = PyDict::new(py);
        keywords.set_item(pyo3::intern!(py, "loop"), mailbox.get().loop_of(py)?)?;
        keywords.set_item(pyo3::intern!(py, "context"), &context)?;
        let task = asyncio(py)?.task.bind(py).call((&driver,), Some(&keywords))?;
        let begin = driver.getattr(pyo3::intern!(py, "_begin"))?;
        Ok(Spare {
            driver: driver.unbind(),
            task: task.unbind(),
            begin: begin.unbind(),
            context: context.unbind(),
            fresh: fresh.unbind(),
            references: 0,
        })
    }

    /// To be called before a callback: what `untouched` compares with.
    pub fn mark(&mut self, py: Python<'_>) {
        self.references = references(self.task.bind(py));
    }

    /// Whether the callback left nothing behind on the task: no reference, no context variable, no
    /// cancellation.
    pub fn untouched(&self, py: Python<'_>) -> PyResult<bool> {
        let task = self.task.bind(py);
        Ok(references(task) == self.references
            && !self.driver.get().park_is_done(py)?
            && self.context.bind(py).eq(&self.fresh)?
            && !task.getattr(pyo3::intern!(py, "_must_cancel"))?.is_truthy()?)
    }

    /// Hides a task that waits for nothing, so that no program waits for it.
    pub fn hide(&self, py: Python<'_>) -> PyResult<()> {
        asyncio(py)?.unregister_task.bind(py).call1((&self.task,))?;
        self.task.bind(py).setattr(pyo3::intern!(py, "_log_destroy_pending"), false)
    }

    /// Makes it a task like others, which goes on in the next iteration of the loop.
    pub fn release(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(park) = self.driver.get().take_park() {
            asyncio(py)?.register_task.bind(py).call1((&self.task,))?;
            self.task.bind(py).setattr(pyo3::intern!(py, "_log_destroy_pending"), true)?;
            if !park.call_method0(py, pyo3::intern!(py, "done"))?.is_truthy(py)? {
                park.call_method1(py, pyo3::intern!(py, "set_result"), (py.None(),))?;
            }
        }
        Ok(self.task)
    }
}

fn references(object: &Bound<'_, PyAny>) -> u32 {
    // SAFETY: the GIL is held and the object is live. The upper half has flags since 3.14.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) as u32 }
}
