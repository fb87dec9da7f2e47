//! The mailbox of one asyncio loop: drains events when its descriptor is readable.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use coromega_ws_abi as abi;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefMethods, PyWeakrefReference};

use crate::asyncio::{asyncio, running_loop, unless_closed};
use crate::callback::{Driver, Kind};
use crate::connection::Connection;
use crate::current;
use crate::error::check;
use crate::event::Event;
use crate::options::{Field, Options, to_c};
use crate::registry::{Entry, HandleHasher};
use crate::spare::Spare;

/// Messages that tasks may take in a row without giving way (S2).
const IN_A_ROW: u32 = 64;

#[derive(Default)]
pub struct State {
    pub running_loop: Option<Py<PyAny>>,
    pub context: Option<Py<PyAny>>,
    /// A future of the loop's, which has its result.
    pub done: Option<Py<PyAny>>,
    /// One that has none, and that nobody waits for.
    pub future: Option<Py<PyAny>>,
    pub events: VecDeque<Event>,
    pub spare: Option<Spare>,
    /// The tasks of callbacks that wait: asyncio itself holds tasks weakly.
    pub running: HashMap<usize, Py<PyAny>>,
    pub listeners: HashMap<u64, Py<PyAny>>,
    pub connections: HashMap<u64, Entry, BuildHasherDefault<HandleHasher>>,
    pub pins: usize,
    /// An asynchronous generator that the end of the loop closes.
    pub sentinel: Option<Py<PyAny>>,
    /// Called once when nothing is active any more.
    pub idle: Option<Py<PyAny>>,
    pub closed: bool,
}

/// The events of one event loop.
#[pyclass(frozen, weakref, module = "coromega_ws._native")]
pub struct Mailbox {
    pub handle: u64,
    pub fd: i32,
    /// As `current::forks` gave it where it was made.
    pub forks: u32,
    pub in_a_row: AtomicU32,
    /// How many calls of ours that call Python code are under way.
    pub inside: AtomicU32,
    pub state: Mutex<State>,
}

impl Mailbox {
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub fn loop_of<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.state.lock().running_loop {
            Some(running) => Ok(running.bind(py).clone()),
            None => Err(PyRuntimeError::new_err("no event loop runs yet")),
        }
    }

    pub fn context_of<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.state.lock().context {
            Some(context) => Ok(context.bind(py).clone()),
            None => Err(PyRuntimeError::new_err("no event loop runs yet")),
        }
    }

    /// What a task that waits is told is done.
    pub fn done_future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.state.lock().done {
            Some(done) => Ok(done.bind(py).clone()),
            None => Err(PyRuntimeError::new_err("no event loop runs yet")),
        }
    }

    pub fn is_loop(&self, _py: Python<'_>, other: &Bound<'_, PyAny>) -> bool {
        self.state.lock().running_loop.as_ref().is_some_and(|running| running.is(other))
    }

    /// Calls `work` in a later iteration of the loop, in the mailbox's own context. A loop that was
    /// closed has none.
    pub fn call_soon(&self, py: Python<'_>, work: Bound<'_, PyAny>) -> PyResult<()> {
        let (own, context) = (self.loop_of(py)?, self.context_of(py)?);
        let keywords = PyDict::new(py);
        keywords.set_item(pyo3::intern!(py, "context"), context)?;
        let name = if running_loop(py)?.is(&own) {
            pyo3::intern!(py, "call_soon")
        } else {
            pyo3::intern!(py, "call_soon_threadsafe")
        };
        unless_closed(&own, own.call_method(name, (work,), Some(&keywords)).map(|_| ()))
    }

    /// Counts a message taken at once, and says whether there were too many in a row.
    pub fn must_give_way(&self) -> bool {
        self.in_a_row.fetch_add(1, Ordering::Relaxed) >= IN_A_ROW
    }

    pub fn gave_way(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }
}

#[pymethods]
impl Mailbox {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let (mut handle, mut fd) = (0, -1);
        // SAFETY: both calls write one number.
        unsafe {
            check(py, abi::cmws_mailbox_new(&mut handle))?;
            check(py, abi::cmws_mailbox_fd(handle, &mut fd))?;
        }
        Ok(Mailbox {
            handle,
            fd,
            forks: current::forks(),
            in_a_row: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            state: Mutex::new(State::default()),
        })
    }

    /// Makes it the mailbox of a loop, which runs now or is about to.
    fn attach(slf: &Bound<'_, Self>, running: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let context = asyncio(py)?.copy_context.call0(py)?;
        let done = running.call_method0(py, "create_future")?;
        done.call_method1(py, "set_result", (py.None(),))?;
        {
            let mut state = slf.get().state.lock();
            state.running_loop = Some(running.clone_ref(py));
            state.context = Some(context);
            state.done = Some(done);
        }
        let drain = slf.getattr("_drain")?;
        running.call_method1(py, "add_reader", (slf.get().fd, drain)).map(|_| ())
    }

    #[getter(r#loop)]
    fn py_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.lock().running_loop.as_ref().map(|running| running.clone_ref(py))
    }

    /// Keeps what notices the end of the loop.
    fn keep(&self, sentinel: Py<PyAny>) {
        let old = self.state.lock().sentinel.replace(sentinel);
        drop(old);
    }

    #[getter]
    fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.lock().context.as_ref().map(|context| context.clone_ref(py))
    }

    #[getter]
    fn closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Whether a listener is open, or a connection that somebody waits for (S3).
    #[getter]
    fn active(&self) -> bool {
        let state = self.state.lock();
        state.pins > 0 || !state.listeners.is_empty() || !state.events.is_empty()
    }

    /// Has `idle` called once when it is not active any more.
    fn when_idle(&self, idle: Option<Py<PyAny>>) {
        let old = std::mem::replace(&mut self.state.lock().idle, idle);
        drop(old);
    }

    /// Called by the loop when the descriptor is readable.
    fn _drain(slf: &Bound<'_, Self>) -> PyResult<()> {
        Mailbox::drain(slf)
    }

    /// Starts a connect; returns the connection's handle.
    fn connect(
        &self,
        py: Python<'_>,
        address: &str,
        headers: Vec<Field>,
        options: &Bound<'_, Options>,
    ) -> PyResult<u64> {
        let headers = to_c(&headers);
        let mut handle = 0;
        // SAFETY: everything is passed with its length and lives through the call.
        check(py, unsafe {
            abi::cmws_mailbox_connect(
                self.handle,
                address.as_ptr().cast(),
                address.len(),
                headers.as_ptr(),
                headers.len(),
                &options.get().raw,
                &mut handle,
            )
        })?;
        Ok(handle)
    }

    /// Has records told from this level on.
    fn set_log_level(&self, py: Python<'_>, level: u32) -> PyResult<()> {
        // SAFETY: takes numbers and checks them.
        check(py, unsafe { abi::cmws_mailbox_set_log_level(self.handle, level) })
    }

    /// Takes a connection over; returns its handle here, its `max_callbacks` and `fragments`.
    fn take_over(&self, py: Python<'_>, connection: u64) -> PyResult<(u64, u32, bool)> {
        let mut handle = 0;
        // SAFETY: takes handles and checks them, and writes one number.
        check(py, unsafe { abi::cmws_connection_move(connection, self.handle, &mut handle) })?;
        let info = crate::request::info(py, handle)?;
        Ok((handle, info.max_callbacks, info.fragments != 0))
    }

    /// Binds a port; returns the listener's handle. The name is looked up without the GIL.
    fn listen(&self, py: Python<'_>, host: &str, port: u16, options: &Bound<'_, Options>) -> PyResult<u64> {
        let (mailbox, options) = (self.handle, options.get());
        let listened = py.detach(|| {
            let mut handle = 0;
            // SAFETY: everything is passed with its length and lives through the call.
            let status = unsafe {
                abi::cmws_mailbox_listen(
                    mailbox,
                    host.as_ptr().cast(),
                    host.len(),
                    port,
                    &options.raw,
                    &mut handle,
                )
            };
            // The text belongs to this thread, and the exception is made on it.
            if status == abi::CMWS_STATUS_OK { Ok(handle) } else { Err(status) }
        });
        listened.map_err(|status| crate::error::failure(py, status))
    }

    /// Takes a new connection's object into the table.
    fn register(&self, connection: &Bound<'_, Connection>) -> PyResult<()> {
        let weak = PyWeakrefReference::new(connection.as_any())?.unbind();
        let old = self.state.lock().connections.insert(connection.get().handle(), Entry { weak, pin: None });
        drop(old);
        Ok(())
    }

    /// The object of a handle, or None.
    fn lookup(&self, py: Python<'_>, handle: u64) -> Option<Py<Connection>> {
        self.find(py, handle).map(Bound::unbind)
    }

    /// A listener lives until it is closed (S12).
    fn add_listener(&self, handle: u64, listener: Py<PyAny>) {
        let old = self.state.lock().listeners.insert(handle, listener);
        drop(old);
    }

    fn remove_listener(&self, py: Python<'_>, handle: u64) -> PyResult<()> {
        let old = self.state.lock().listeners.remove(&handle);
        drop(old);
        // SAFETY: never fails, whatever the handle.
        unsafe { abi::cmws_listener_free(handle) };
        self.tell_idle(py)
    }

    /// Calls a callback that is not one for messages. Only from where no task is current.
    fn start(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        is_async: bool,
        argument: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match argument.cast::<Connection>() {
            Ok(connection) => {
                let connection = connection.clone();
                Driver::start(slf, callback, is_async, argument, Some(&connection), Kind::NewConnection)
            }
            Err(_) => Driver::start(slf, callback, is_async, argument, None, Kind::Other),
        }
    }

    /// Ends it with all its listeners and connections; accepted bytes get at most 1 s.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let connections: Vec<_> = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.closed, true) {
                return Ok(());
            }
            state.connections.values().map(|entry| entry.weak.clone_ref(py)).collect()
        };
        self.stop_reading(py);
        let connections: Vec<_> = connections
            .iter()
            .filter_map(|weak| weak.bind(py).upgrade()?.cast_into::<Connection>().ok())
            .collect();
        for connection in &connections {
            connection.get().remember(py);
        }
        let handle = self.handle;
        // SAFETY: takes a handle and checks it.
        py.detach(|| unsafe { abi::cmws_mailbox_close(handle) });
        let old = {
            let mut state = self.state.lock();
            state.pins = 0;
            let pins: Vec<_> = state.connections.values_mut().filter_map(|entry| entry.pin.take()).collect();
            (
                pins,
                std::mem::take(&mut state.events),
                std::mem::take(&mut state.listeners),
                std::mem::take(&mut state.running),
                state.spare.take(),
                state.idle.take(),
            )
        };
        drop(old);
        for connection in &connections {
            Connection::mailbox_ended(connection, 1001)?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.try_lock() else {
            return Ok(());
        };
        visit.call(&state.running_loop)?;
        visit.call(&state.context)?;
        visit.call(&state.done)?;
        visit.call(&state.future)?;
        visit.call(&state.idle)?;
        visit.call(&state.sentinel)?;
        for object in state.running.values().chain(state.listeners.values()) {
            visit.call(object)?;
        }
        for entry in state.connections.values() {
            visit.call(&entry.weak)?;
            visit.call(&entry.pin)?;
        }
        if let Some(spare) = &state.spare {
            visit.call(&spare.driver)?;
            visit.call(&spare.task)?;
            visit.call(&spare.begin)?;
            visit.call(&spare.context)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let old = {
            let mut state = self.state.lock();
            let pins: Vec<_> = state.connections.values_mut().filter_map(|entry| entry.pin.take()).collect();
            (
                pins,
                (state.running_loop.take(), state.done.take(), state.future.take(), state.sentinel.take()),
                std::mem::take(&mut state.listeners),
                std::mem::take(&mut state.running),
                state.spare.take(),
                state.idle.take(),
            )
        };
        drop(old);
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        if self.state.lock().closed {
            return;
        }
        let handle = self.handle;
        // SAFETY: takes a handle and checks it.
        Python::attach(|py| py.detach(|| unsafe { abi::cmws_mailbox_close(handle) }));
    }
}

/// Ends several mailboxes at the same time, so that the end of the process takes at most 1 s.
#[pyfunction]
pub fn close_mailboxes(py: Python<'_>, mailboxes: Vec<Py<Mailbox>>) -> PyResult<()> {
    let handles: Vec<u64> = mailboxes.iter().map(|mailbox| mailbox.get().handle).collect();
    if handles.len() > 1 {
        py.detach(|| {
            std::thread::scope(|scope| {
                for handle in handles {
                    // SAFETY: takes a handle and checks it.
                    scope.spawn(move || unsafe { abi::cmws_mailbox_close(handle) });
                }
            });
        });
    }
    for mailbox in &mailboxes {
        mailbox.get().close(py)?;
    }
    // A daemon thread is ended where it next asks for the GIL, and must not be inside of us then.
    let until = Instant::now() + Duration::from_secs(1);
    while mailboxes.iter().any(|mailbox| mailbox.get().inside.load(Ordering::Relaxed) > 0)
        && Instant::now() < until
    {
        py.detach(|| std::thread::sleep(Duration::from_millis(1)));
    }
    Ok(())
}
