//! TLS of one connection without any I/O: sealed bytes in, plain bytes out, and back.
//!
//! rustls keeps no bytes of its own here: what is read is opened where it was read to, so that a
//! quiet connection has no buffer. Everything above works on plain bytes and is the same code
//! with TLS and without.

mod config;
mod failure;

use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig,
    client::UnbufferedClientConnection,
    pki_types::ServerName,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus},
};

pub(crate) use config::{Client, Server, Shared};
pub(crate) use failure::{ended_early, in_io, to_io};

use crate::{
    error::{Error, Kind, Result},
    limits,
    protocol::Role,
};

/// What a record adds to its content at most (RFC 8446, 5.2; RFC 5246, 6.2.3).
const RECORD_COST: usize = 64;
/// The content of the largest record.
const RECORD_SIZE: usize = 16 * 1024;

enum Session {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// The TLS session of a connection.
pub(crate) struct Tls {
    session: Session,
    /// What came and is not whole yet: part of a record, or of the handshake.
    partial: Vec<u8>,
    /// Bytes for the socket.
    sealed: Vec<u8>,
    /// Bytes of `sealed` that have left.
    start: usize,
    /// The first bytes of the peer, to tell what speaks there if it is not TLS.
    greeting: [u8; 8],
    greeting_length: usize,
    peer_closed: bool,
    /// Our own end has been sealed.
    closed: bool,
    failed: bool,
}

/// What is to be written when the session lets us.
#[derive(Clone, Copy)]
enum Write<'a> {
    Nothing,
    Data(&'a [u8]),
    CloseNotify,
}

/// Where a step of the session leads.
enum Step {
    /// There may be more to do.
    More,
    /// It waits for the peer, or for something to write.
    Rest,
    /// The peer has said that nothing more comes.
    PeerClosed,
}

/// Appends what `write` puts into a buffer; it tells how much room it needs.
fn append(
    sealed: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Room>,
) -> Result<(), rustls::Error> {
    let before = sealed.len();
    let mut room = room;
    // The second try has the room that the first one asked for.
    for _ in 0..2 {
        sealed.resize(before + room, 0);
        match write(&mut sealed[before..]) {
            Ok(written) => {
                sealed.truncate(before + written);
                return Ok(());
            }
            Err(Room::Needs(needed)) => room = needed,
            Err(Room::Never) => break,
        }
    }
    sealed.truncate(before);
    Err(rustls::Error::EncryptError)
}

enum Room {
    Needs(usize),
    Never,
}

impl From<EncryptError> for Room {
    fn from(e: EncryptError) -> Room {
        match e {
            EncryptError::InsufficientSize(e) => Room::Needs(e.required_size),
            EncryptError::EncryptExhausted => Room::Never,
        }
    }
}

impl From<EncodeError> for Room {
    fn from(e: EncodeError) -> Room {
        match e {
            EncodeError::InsufficientSize(e) => Room::Needs(e.required_size),
            EncodeError::AlreadyEncoded => Room::Never,
        }
    }
}

/// Does what the session wants done next. Returns how much of the input it is done with.
fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    sealed: &mut Vec<u8>,
    plain: &mut Vec<u8>,
    write: &mut Write<'_>,
) -> (usize, Result<Step, rustls::Error>) {
    let mut done = status.discard;
    let step = status.state.and_then(|state| match state {
        ConnectionState::EncodeTlsData(mut data) => {
            append(sealed, 512, |to| Ok(data.encode(to)?)).map(|()| Step::More)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done(); // it leaves with the rest of what is sealed
            Ok(Step::More)
        }
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                done += record.discard;
                plain.extend_from_slice(record.payload);
            }
            Ok(Step::More)
        }
        ConnectionState::WriteTraffic(mut traffic) => match std::mem::replace(write, Write::Nothing) {
            Write::Nothing => Ok(Step::Rest),
            Write::Data(data) => {
                let room = data.len() + RECORD_COST * (data.len() / RECORD_SIZE + 1);
                append(sealed, room, |to| Ok(traffic.encrypt(data, to)?)).map(|()| Step::Rest)
            }
            Write::CloseNotify => {
                append(sealed, RECORD_COST, |to| Ok(traffic.queue_close_notify(to)?)).map(|()| Step::Rest)
            }
        },
        ConnectionState::PeerClosed => Ok(Step::PeerClosed),
        ConnectionState::BlockedHandshake | ConnectionState::Closed => Ok(Step::Rest),
        // Early data is off: it could be replayed.
        _ => Err(rustls::Error::General("unexpected state".into())),
    });
    (done, step)
}

impl Tls {
    /// A client's session with the server of this name.
    fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Tls> {
        let session = UnbufferedClientConnection::new(config, name);
        let mut tls = Tls::new(Session::Client(session.map_err(|e| failure::error(&e, Role::Client))?));
        tls.begin()?;
        Ok(tls)
    }

    /// A server's session with a client.
    fn server(config: Arc<ServerConfig>) -> Result<Tls> {
        let session = UnbufferedServerConnection::new(config);
        Ok(Tls::new(Session::Server(session.map_err(|e| failure::error(&e, Role::Server))?)))
    }

    fn new(session: Session) -> Tls {
        Tls {
            session,
            partial: Vec::new(),
            sealed: Vec::new(),
            start: 0,
            greeting: [0; 8],
            greeting_length: 0,
            peer_closed: false,
            closed: false,
            failed: false,
        }
    }

    /// Seals the first words of a client.
    fn begin(&mut self) -> Result<()> {
        self.work(&mut [], &mut Vec::new(), Write::Nothing).map(|_| ())
    }

    fn role(&self) -> Role {
        match self.session {
            Session::Client(_) => Role::Client,
            Session::Server(_) => Role::Server,
        }
    }

    /// Whether plain bytes can't be sent yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.session {
            Session::Client(s) => s.is_handshaking(),
            Session::Server(s) => s.is_handshaking(),
        }
    }

    /// Opens bytes that came from the socket, in their place, and appends what was in them to
    /// `plain`: never more than came. What the session has to answer is sealed. An error ends the
    /// session; what is sealed then tells the peer why.
    pub(crate) fn open(&mut self, came: &mut [u8], plain: &mut Vec<u8>) -> Result<()> {
        if self.greeting_length < self.greeting.len() && self.is_handshaking() {
            let part = came.len().min(self.greeting.len() - self.greeting_length);
            self.greeting[self.greeting_length..][..part].copy_from_slice(&came[..part]);
            self.greeting_length += part;
        }
        if self.partial.is_empty() {
            let done = self.work(came, plain, Write::Nothing)?;
            self.partial.extend_from_slice(&came[done..]);
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(came);
            let done = self.work(&mut whole, plain, Write::Nothing)?;
            // A quiet connection has no buffer.
            if done < whole.len() {
                whole.drain(..done);
                self.partial = whole;
            }
        }
        if self.partial.len() > limits::MAX_TLS_PARTIAL {
            self.failed = true;
            return Err(Error::new(Kind::Tls, "the peer's TLS handshake is too large"));
        }
        Ok(())
    }

    /// Seals plain bytes. They are accepted from the end of the handshake on, until the close.
    pub(crate) fn seal(&mut self, plain: &[u8]) -> Result<()> {
        if self.closed {
            return Err(Error::new(Kind::Tls, "nothing can be sent after the end of TLS"));
        }
        self.write(Write::Data(plain))
    }

    /// Seals the word that nothing more comes (RFC 8446, 6.1).
    pub(crate) fn close_notify(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.closed, true) { Ok(()) } else { self.write(Write::CloseNotify) }
    }

    fn write(&mut self, write: Write<'_>) -> Result<()> {
        // What has left makes room once it is more than half: that costs a copy per byte at most.
        if self.start > self.sealed.len() / 2 {
            self.sealed.drain(..self.start);
            self.start = 0;
        }
        // The session is shown what is not whole yet: it may know a part of it.
        let mut partial = std::mem::take(&mut self.partial);
        let done = self.work(&mut partial, &mut Vec::new(), write)?;
        partial.drain(..done);
        self.partial = partial;
        Ok(())
    }

    /// Has the session work on what came until it wants more, and write. Returns how many bytes
    /// it is done with.
    fn work(&mut self, came: &mut [u8], plain: &mut Vec<u8>, mut write: Write<'_>) -> Result<usize> {
        if self.failed {
            return Err(Error::new(Kind::Tls, "the TLS session has failed"));
        }
        let mut done = 0;
        loop {
            let (discard, step) = self.step(&mut came[done..], plain, &mut write);
            done = (done + discard).min(came.len());
            match step {
                Ok(Step::More) => {}
                Ok(Step::Rest) => {
                    return match write {
                        Write::Data(_) => Err(Error::new(Kind::Tls, "nothing can be sent over TLS now")),
                        _ => Ok(done),
                    };
                }
                Ok(Step::PeerClosed) => self.peer_closed = true,
                Err(error) => {
                    self.failed = true;
                    let greeting = &self.greeting[..self.greeting_length];
                    if let Some(stranger) = failure::stranger(greeting, self.role())
                        && self.is_handshaking()
                    {
                        return Err(stranger);
                    }
                    // The alert that tells the peer is the next thing it wants sent.
                    let _ = self.step(&mut came[done..], &mut Vec::new(), &mut Write::Nothing);
                    return Err(failure::error(&error, self.role()));
                }
            }
        }
    }

    fn step(
        &mut self,
        came: &mut [u8],
        plain: &mut Vec<u8>,
        write: &mut Write<'_>,
    ) -> (usize, Result<Step, rustls::Error>) {
        match &mut self.session {
            Session::Client(s) => step(s.process_tls_records(came), &mut self.sealed, plain, write),
            Session::Server(s) => step(s.process_tls_records(came), &mut self.sealed, plain, write),
        }
    }

    /// Whether the peer has said that nothing more comes from it.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Whether what came first is a request of plain HTTP.
    pub(crate) fn met_http(&self) -> bool {
        failure::is_http_request(&self.greeting[..self.greeting_length])
    }

    /// Sealed bytes that have not left.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.sealed[self.start..]
    }

    /// The first `count` of them have left.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start = (self.start + count).min(self.sealed.len());
        if self.start == self.sealed.len() {
            self.start = 0;
            self.sealed.clear();
            if self.sealed.capacity() > limits::KEPT_OUT_BUFFER {
                self.sealed = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests;
