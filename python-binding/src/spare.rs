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
    name: Py<PyAny>,
    references: u32,
    weak_references: usize,
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
        // Hidden from the start: it waits for nothing that a program could wait for.
        asyncio(py)?.unregister_task.bind(py).call1((&task,))?;
        task.setattr(pyo3::intern!(py, "_log_destroy_pending"), false)?;
        let name = task.call_method0(pyo3::intern!(py, "get_name"))?.unbind();
        Ok(Spare {
            driver: driver.unbind(),
            task: task.unbind(),
            begin: begin.unbind(),
            context: context.unbind(),
            fresh: fresh.unbind(),
            name,
            references: 0,
            weak_references: 0,
        })
    }

    /// To be called before a callback: what `untouched` compares with.
    pub fn mark(&mut self, py: Python<'_>) -> PyResult<()> {
        self.weak_references = self.count_weak(py)?;
        self.references = references(self.task.bind(py));
        Ok(())
    }

    fn count_weak(&self, py: Python<'_>) -> PyResult<usize> {
        asyncio(py)?.weak_reference_count.bind(py).call1((&self.task,))?.extract()
    }

    /// Whether the callback left nothing behind on the task: no reference, strong or weak, no
    /// context variable, no name, no function to call when it is done, no cancellation.
    pub fn untouched(&self, py: Python<'_>) -> PyResult<bool> {
        let task = self.task.bind(py);
        Ok(references(task) == self.references
            && self.count_weak(py)? == self.weak_references
            && !self.driver.get().park_is_done(py)?
            && task.call_method0(pyo3::intern!(py, "get_name"))?.is(&self.name)
            && !task.getattr(pyo3::intern!(py, "_callbacks"))?.is_truthy()?
            && self.context.bind(py).eq(&self.fresh)?
            && !task.getattr(pyo3::intern!(py, "_must_cancel"))?.is_truthy()?)
    }

    /// Makes it a task like others, which goes on in the next iteration of the loop.
    pub fn release(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        asyncio(py)?.register_task.bind(py).call1((&self.task,))?;
        self.task.bind(py).setattr(pyo3::intern!(py, "_log_destroy_pending"), true)?;
        if let Some(park) = self.driver.get().take_park()
            && !park.call_method0(py, pyo3::intern!(py, "done"))?.is_truthy(py)?
        {
            park.call_method1(py, pyo3::intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(self.task)
    }
}

pub fn references(object: &Bound<'_, PyAny>) -> u32 {
    // SAFETY: the GIL is held and the object is live. The upper half has flags since 3.14.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) as u32 }
}
