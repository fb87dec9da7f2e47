//! A connection with TLS: the driver seals what guests have queued, and opens what comes.

use std::{io, sync::atomic::Ordering, task::Context};

use rustix::net::SendFlags;
use tokio::io::Interest;

use super::{Driver, Phase};
use crate::{
    error::{Error, Kind},
    protocol::Incoming,
    socket::Socket,
    tls::Tls,
};

/// What sending once gave.
enum Sent {
    All,
    Full,
    Lost,
}

/// Sends what is sealed, as far as the socket takes it.
fn send(tls: &mut Tls, socket: &Socket) -> Sent {
    while !tls.pending().is_empty() {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = socket.try_io(Interest::WRITABLE, || Ok(rustix::net::send(socket, tls.pending(), flags)?));
        match sent {
            Ok(sent) => tls.advance(sent),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Sent::Full,
            Err(_) => return Sent::Lost,
        }
    }
    Sent::All
}

impl Driver {
    /// Sends what is sealed, and seals more once that has left, until the socket is full or there
    /// is nothing more.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) {
        let Some(tls) = &mut self.tls else { return };
        if self.phase == Phase::Draining || self.connection.broken.load(Ordering::Acquire) {
            return;
        }
        loop {
            match send(tls, &self.socket) {
                Sent::All => {}
                // It is registered for the moment when there is room; if that is now, go on.
                Sent::Full if self.socket.poll_write_ready(cx).is_pending() => {
                    let _ = self.connection.seal(tls); // tells how much has left
                    return;
                }
                Sent::Full => continue,
                Sent::Lost => return self.connection.lose_writer(),
            }
            match self.connection.seal(tls) {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => {
                    self.end = Some(e);
                    return self.connection.lose_writer();
                }
            }
        }
    }

    /// Opens bytes in their place and decodes what was in them.
    pub(super) fn open(&mut self, came: &mut [u8], plain: &mut Vec<u8>, incoming: &mut Incoming) {
        let Some(tls) = &mut self.tls else { return };
        let result = tls.open(came, plain);
        let ended = tls.peer_closed();
        if result.is_err() {
            send(tls, &self.socket); // the alert, if there is room for it
        }
        self.feed(plain, incoming);
        plain.clear();
        match result {
            Err(e) => {
                self.end = Some(e);
                self.connection.lose_writer();
            }
            Ok(()) if ended => self.end = Some(Error::new(Kind::Tcp, "the peer ended the connection")),
            Ok(()) => {}
        }
    }

    /// Tells the peer that nothing more comes (RFC 8446, 6.1): both close frames have been sent.
    pub(super) fn end_tls(&mut self) {
        if let Some(tls) = &mut self.tls
            && tls.close_notify().is_ok()
        {
            send(tls, &self.socket);
        }
    }
}
