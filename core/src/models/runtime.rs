//! What stands for `runtime` in the models: no thread, and nothing is read. A model does what the
//! runtime would.

use std::{io, sync::Arc};

use crate::{
    alarms::Alarms,
    buffers::Returned,
    lock::{Mutex, MutexGuard},
    protocol::Incoming,
};

pub(crate) struct Runtime {
    scratch: Mutex<Scratch>,
    pub returned: Returned,
    pub alarms: Arc<Alarms>,
}

#[derive(Default)]
pub(crate) struct Scratch {
    pub bytes: Vec<u8>,
    pub plain: Vec<u8>,
    pub incoming: Incoming,
}

impl Runtime {
    pub(crate) fn start() -> io::Result<Runtime> {
        let alarms = Arc::new(Alarms::new()?);
        Ok(Runtime { scratch: Mutex::default(), returned: Returned::default(), alarms })
    }

    pub(crate) fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}

    pub(crate) fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock()
    }
}

/// Drops them.
pub fn release(payloads: impl Iterator<Item = Vec<u8>>) {
    payloads.for_each(drop);
}
