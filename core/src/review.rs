//! Reviews: a server's guest looks at each request before it is answered.
//!
//! The guest hears of the request by an event and answers on any thread; the runtime waits for
//! that, and for everything that makes an answer pointless.

use std::{future::poll_fn, sync::Arc, task::Poll};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use crate::{
    connection::Connection,
    error::{Error, Kind, Result, io_text},
    event::EventKind,
    handshake::server::Client,
    headers::Header,
    limits,
    protocol::{Refusal, answer_lines, elements},
};

/// How far the review of a request has come. A connection has one until it opens.
pub(crate) enum Review {
    /// The guest has not answered.
    Asked,
    /// It has, and the runtime does not know yet.
    Answered(Verdict),
    /// The runtime does what the guest said.
    Done,
}

/// What a guest says to a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    Upgrade {
        /// Empty: the listener's own choice.
        subprotocol: Vec<u8>,
        /// Header lines beside those of every upgrade.
        lines: Vec<u8>,
    },
    Refuse(Refusal),
}

/// Why a request is not upgraded: what the client is told, if it is still there, and what the
/// guest is told.
pub(crate) struct Denied {
    pub refusal: Option<Refusal>,
    pub error: Error,
}

impl Denied {
    pub(crate) fn unavailable(text: &'static str, error: Error) -> Denied {
        Denied { refusal: Some(Refusal::new(503, text)), error }
    }
}

/// Puts a client's request to the guest, and waits for its verdict until the deadline.
pub(crate) async fn ask(
    connection: &Arc<Connection>,
    client: &mut Client,
    stopped: &Semaphore,
    deadline: Instant,
) -> Result<(Vec<u8>, Vec<u8>), Denied> {
    connection.control().review = Some(Box::new(Review::Asked));
    connection.inbox().announced = true;
    connection.tell(EventKind::Requested);
    let verdict = poll_fn(|cx| {
        connection.waker.register(cx.waker());
        if let Some(verdict) = connection.take_verdict() {
            return Poll::Ready(Some(verdict));
        }
        if connection.first_close.get().is_some() { Poll::Ready(None) } else { Poll::Pending }
    });
    tokio::select! {
        biased;
        verdict = verdict => match verdict {
            Some(Verdict::Upgrade { subprotocol, lines }) => Ok((subprotocol, lines)),
            Some(Verdict::Refuse(refusal)) => {
                Err(Denied { refusal: Some(refusal), error: Error::new(Kind::Closed, "refused") })
            }
            None => {
                let error = Error::new(Kind::Closed, "closed before it was open");
                Err(Denied::unavailable("The server does not answer this request.\n", error))
            }
        },
        _ = stopped.acquire() => {
            let error = Error::new(Kind::Closed, "the listener has stopped");
            Err(Denied::unavailable("The server is closing.\n", error))
        }
        gone = client.gone() => {
            let text = format!("the client left before it was answered: {}", io_text(&gone));
            Err(Denied { refusal: None, error: Error::new(Kind::Tcp, text) })
        }
        () = sleep_until(deadline) => {
            let error = Error::new(Kind::Timeout, "the request was not answered in time");
            Err(Denied::unavailable("The server did not decide in time.\n", error))
        }
    }
}

fn invalid(text: &'static str) -> Error {
    Error::new(Kind::InvalidArgument, text)
}

impl Connection {
    fn take_verdict(&self) -> Option<Verdict> {
        let mut control = self.control();
        let review = control.review.as_deref_mut()?;
        if !matches!(review, Review::Answered(_)) {
            return None;
        }
        match std::mem::replace(review, Review::Done) {
            Review::Answered(verdict) => Some(verdict),
            Review::Asked | Review::Done => None,
        }
    }

    /// Whether its request is with the guest, or has not been answered yet.
    pub(crate) fn is_under_review(&self) -> bool {
        self.control().review.is_some()
    }

    /// Answers a request that is under review: 101 upgrades it, 300-599 refuses it. A connection
    /// that is refused is let go of.
    ///
    /// Fails with `Closed` if the client, the listener or the time has gone.
    pub fn answer(
        self: &Arc<Self>,
        status: u16,
        subprotocol: &[u8],
        headers: &[Header<'_>],
        body: &[u8],
    ) -> Result<()> {
        if self.end.get().is_some() || self.first_close.get().is_some() {
            return Err(Kind::Closed.into());
        }
        let verdict = self.verdict(status, subprotocol, headers, body)?;
        match self.control().review.as_deref_mut() {
            Some(review @ Review::Asked) => *review = Review::Answered(verdict),
            Some(_) => return Err(invalid("this request has been answered")),
            None => return Err(invalid("this connection has no request to be answered")),
        }
        if status == 101 {
            self.waker.wake();
        } else {
            Connection::free(self.handle()); // which wakes, too
        }
        Ok(())
    }

    /// Checks an answer.
    fn verdict(
        &self,
        status: u16,
        subprotocol: &[u8],
        headers: &[Header<'_>],
        body: &[u8],
    ) -> Result<Verdict> {
        let lines = answer_lines(headers.iter().copied())?;
        if status == 101 {
            if !body.is_empty() {
                return Err(invalid("an upgrade has no body"));
            }
            let request = self.request.get().ok_or(Kind::InvalidArgument)?;
            let mut offers = elements(request.values("Sec-WebSocket-Protocol"));
            if !subprotocol.is_empty() && !offers.any(|offer| offer == subprotocol) {
                return Err(invalid("the client did not offer this subprotocol"));
            }
            return Ok(Verdict::Upgrade { subprotocol: subprotocol.to_vec(), lines });
        }
        if !(300..=599).contains(&status) {
            return Err(invalid("the status of an answer is 101, or 300 to 599"));
        }
        if !subprotocol.is_empty() {
            return Err(invalid("a refusal has no subprotocol"));
        }
        if body.len() > limits::MAX_ANSWER_BODY || (status == 304 && !body.is_empty()) {
            return Err(invalid("the body of an answer is 64 KiB at most, and 304 has none"));
        }
        Ok(Verdict::Refuse(Refusal { status, lines, body: body.to_vec().into(), without_body: false }))
    }
}
