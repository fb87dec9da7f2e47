//! The runtime: one thread that reads every socket of the process.

use std::{
    future::pending,
    io,
    sync::{Arc, mpsc},
    thread,
};

use tokio::runtime::{Builder, Handle};

use crate::{
    alarms::Alarms,
    buffers::Returned,
    burst, limits,
    lock::{Mutex, MutexGuard},
    process,
    protocol::Incoming,
    sys,
};

/// The way into the runtime's thread. It is never torn down.
pub(crate) struct Runtime {
    handle: Handle,
    scratch: Mutex<Scratch>,
    pub returned: Returned,
    pub alarms: Arc<Alarms>,
}

/// What reading a socket needs and leaves behind empty.
pub(crate) struct Scratch {
    pub bytes: Vec<u8>,
    /// What was in them, with TLS.
    pub plain: Vec<u8>,
    pub incoming: Incoming,
}

impl Runtime {
    pub(crate) fn start() -> io::Result<Runtime> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(limits::LOOKUP_THREADS)
            .thread_keep_alive(limits::LOOKUP_IDLE)
            .thread_name("cmws-lookup")
            .build()?;
        let handle = runtime.handle().clone();
        handle.spawn(burst::run());
        let alarms = Arc::new(Alarms::new()?);
        handle.spawn(alarms.clone().run(alarms.timer()?));
        let (up, is_up) = mpsc::channel();
        // Signals are the host's: its own threads take them, this one never does.
        sys::with_signals_blocked(|| {
            thread::Builder::new().name("coromega-ws".into()).stack_size(512 * 1024).spawn(move || {
                sys::prefer_throughput();
                let _ = up.send(());
                runtime.block_on(pending::<()>())
            })
        })?;
        let scratch =
            Scratch { bytes: vec![0; limits::READ_BUFFER], plain: Vec::new(), incoming: Incoming::default() };

        // Whoever looks at the process now finds the thread, and finds it by its name.
        let _ = is_up.recv();
        Ok(Runtime { handle, scratch: Mutex::new(scratch), returned: Returned::default(), alarms })
    }

    /// Has the runtime's thread work on this until it is done.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    /// Takes the one read buffer: whoever drives connections holds it while it reads one of them.
    pub(crate) fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock()
    }
}

/// Takes back the payloads of messages that a guest is done with.
pub fn release(payloads: impl Iterator<Item = Vec<u8>>) {
    match process::runtime() {
        Some(runtime) => runtime.returned.take(payloads),
        None => payloads.for_each(drop),
    }
}
