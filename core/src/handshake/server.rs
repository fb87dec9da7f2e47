//! A server's part of the opening handshake.

use std::{future::pending, io};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::Head;
use crate::{
    limits,
    options::Options,
    protocol::{self, Agreed, Malformed, Refusal, Role, Rules, parse_request, switching},
    request::Request,
    stream::Stream,
};

/// A client that has asked for something that may be upgraded, and waits for its answer.
pub(crate) struct Client {
    stream: Head<Stream>,
    accept: String,
    /// The compression that is agreed on, and what says so in the answer.
    pub agreed: Option<Agreed>,
    extensions: String,
}

impl Client {
    /// Reads the request's head and checks it. Fails with the status that the client has been
    /// answered with, 0 if it is not there any more.
    pub(crate) async fn read(
        socket: Stream,
        rules: &Rules,
        options: &Options,
        deadline: Instant,
    ) -> Result<(Client, Request), u16> {
        let peer = socket.peer();
        let mut stream = Head::new(socket);
        let refusal = match timeout_at(deadline, stream.read()).await {
            Ok(Ok(())) => {
                let head = std::mem::take(&mut stream.head);
                let checked = parse_request(&head, rules, peer)
                    .and_then(|asked| Ok((agree_on_extensions(&asked.request, options)?, asked)));
                match checked {
                    Ok(((agreed, extensions), asked)) => {
                        let client = Client { stream, accept: asked.accept, agreed, extensions };
                        return Ok((client, asked.request));
                    }
                    Err(refusal) => refusal,
                }
            }
            Ok(Err(e)) if e.kind() == io::ErrorKind::InvalidData => {
                Refusal::new(431, "The request's head is larger than 16 KiB.\n")
            }
            Ok(Err(e)) if e.kind() == io::ErrorKind::InvalidInput => {
                Refusal::new(400, "This port does not speak TLS: use ws:// or http://.\n")
            }
            Ok(Err(_)) => return Err(0),
            Err(_) => Refusal::new(408, "The request did not come in time.\n"),
        };
        refuse(stream, &refusal).await;
        Err(refusal.status)
    }

    /// Waits until the client is gone. What it sends meanwhile is kept, up to the size of a head.
    pub(crate) async fn gone(&mut self) -> io::Error {
        loop {
            let mut bytes = [0; 1024];
            let room = bytes.len().min(limits::MAX_HEAD.saturating_sub(self.stream.leftover.len()));
            if room == 0 {
                return pending().await;
            }
            let read = match self.stream.socket() {
                Ok(socket) => socket.read(&mut bytes[..room]).await,
                Err(e) => Err(e),
            };
            match read {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(got) => self.stream.leftover.extend_from_slice(&bytes[..got]),
                Err(e) => return e,
            }
        }
    }

    /// Sends the answer that opens the connection. Gives its socket, and what has come over it.
    pub(crate) async fn upgrade(mut self, subprotocol: &[u8], lines: &[u8]) -> io::Result<(Stream, Vec<u8>)> {
        let answer = switching(&self.accept, subprotocol, &self.extensions, lines);
        let socket = self.stream.socket()?;
        socket.write_all(&answer).await?;
        socket.flush().await?;
        self.stream.release()
    }

    /// Sends another answer, and ends the socket: no connection comes of it.
    pub(crate) async fn refuse(self, refusal: &Refusal) -> bool {
        refuse(self.stream, refusal).await;
        false
    }
}

/// Decides on the extensions that a client offers (RFC 6455, 9.1), before anybody is asked about
/// the request. Gives the value of the answer's Sec-WebSocket-Extensions, too; empty: none.
fn agree_on_extensions(request: &Request, options: &Options) -> Result<(Option<Agreed>, String), Refusal> {
    let Some(ours) = options.compression(Role::Server) else { return Ok(Default::default()) };
    match protocol::accept(request.values("Sec-WebSocket-Extensions"), &ours) {
        Ok(Some((agreed, value))) => Ok((Some(agreed), value)),
        Ok(None) => Ok(Default::default()),
        Err(Malformed) => {
            Err(Refusal::new(400, "Sec-WebSocket-Extensions is not as RFC 6455, 9.1 has it.\n"))
        }
    }
}

/// Sends an answer, and reads on until the client has it.
async fn refuse(mut stream: Head<Stream>, refusal: &Refusal) {
    let _ = timeout(limits::REFUSAL_TIMEOUT, async {
        let socket = stream.socket()?;
        socket.write_all(&refusal.bytes()).await?;
        socket.shutdown().await?;
        let mut rest = [0; 1024];
        while socket.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
}
