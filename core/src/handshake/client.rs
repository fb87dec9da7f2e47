//! A client's part of the opening handshake, over a stream that stands.

use std::io;

use tokio::io::AsyncWriteExt;

use super::{Head, Upgraded};
use crate::{
    error::{Error, Kind, Result, io_text},
    limits,
    protocol::{Answer, Opening},
    request::Request,
    stream::Stream,
    tls,
};

/// How a handshake went that did not fail.
pub(crate) enum Outcome {
    Upgraded(Upgraded),
    /// What is asked for is elsewhere; `refusal` says so where that is not followed.
    Redirected {
        location: Vec<u8>,
        refusal: Error,
    },
}

/// Sends the request and takes the answer.
pub(crate) async fn connect(socket: Stream, opening: &Opening) -> Result<Outcome> {
    let lost = |e: io::Error| match e.kind() {
        io::ErrorKind::Other => tls::in_io(&e).unwrap_or_else(|| Kind::Internal.into()),
        io::ErrorKind::InvalidData => Error::new(Kind::Handshake, e.to_string()),
        io::ErrorKind::UnexpectedEof => {
            Error::new(Kind::Handshake, "the peer ended the connection during the handshake")
        }
        _ => Error::new(Kind::Tcp, format!("during the handshake: {}", io_text(&e))),
    };
    let peer = socket.peer();
    let mut stream = Head::new(socket);
    stream.socket().map_err(lost)?.write_all(&opening.head()).await.map_err(lost)?;
    for _ in 0..=limits::MAX_INTERIM_ANSWERS {
        stream.read().await.map_err(lost)?;
        match opening.check(&stream.head)? {
            Answer::Interim => {}
            Answer::Open { subprotocol, agreed } => {
                let fields = opening.fields.iter().map(|f| (&*f.name, &*f.value));
                let request = Request::new(&opening.target, fields, &subprotocol, peer);
                return Ok(Outcome::Upgraded(stream.upgraded(request, agreed)?));
            }
            Answer::Redirect { location, refusal } => return Ok(Outcome::Redirected { location, refusal }),
        }
    }
    Err(Error::new(Kind::Handshake, "the server sends one interim answer after the other"))
}
