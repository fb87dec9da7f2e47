//! Reading where the next frame is likely to be as large as the last ones.

use std::os::fd::AsFd;

use super::{Driver, Progress, receive};
use crate::protocol::Incoming;

impl Driver {
    /// Reads once: such a frame's payload in place, what is behind it into `bytes`.
    pub(super) fn read_likely(&mut self, bytes: &mut [u8], incoming: &mut Incoming) -> Progress {
        let mut likely = self.decoder.likely(&mut incoming.stock);
        let room = likely.room() + bytes.len();
        let (got, progress) =
            match receive(&self.socket, room, |socket| likely.receive(socket.as_fd(), bytes)) {
                Ok(received) => received,
                Err(progress) => {
                    incoming.stock.add(likely.payload);
                    return progress;
                }
            };
        let rest = likely.rest(got);
        match self.decoder.take_likely(likely, got, incoming) {
            Ok(Some(likely)) => {
                let mut all = likely.received(got, &bytes[..rest]);
                incoming.stock.add(likely.payload);
                self.feed(&mut all, incoming);
            }
            taken => self.take_before(&mut bytes[..rest], incoming, taken.err()),
        }
        progress
    }
}
