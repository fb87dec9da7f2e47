//! A client that has been accepted: its TLS and its request, up to the connection.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::Listener;
use crate::{
    connection::Connection,
    counters::Tally,
    driver::Driver,
    error::{Error, Kind, io_text},
    handshake::server::Client,
    log::Level,
    protocol::{Refusal, Role, elements},
    review::{self, Denied},
    runtime::Runtime,
    socket::Socket,
    stream::Stream,
};

/// A client's handshake, then its connection. False if it comes to none, which a health check is
/// not meant to.
pub(super) async fn greet(listener: &Arc<Listener>, client: Socket, runtime: &'static Runtime) -> bool {
    let deadline = Instant::now() + listener.options.open_timeout();
    let stream = match &listener.tls {
        Some(tls) => {
            let Ok(session) = tls.session() else { return false };
            match timeout_at(deadline, Stream::secure(client, session, Role::Server)).await {
                Ok(Ok(stream)) => stream,
                failed => {
                    let why =
                        failed.map_or("it took too long".into(), |r| r.err().map_or("".into(), |e| e.text));
                    listener.log(Level::Warning, || format!("a client's TLS handshake failed: {why}"));
                    return false;
                }
            }
        }
        None => Stream::Plain(client),
    };
    let asked = Client::read(stream, &listener.rules, &listener.options, deadline).await;
    let (mut client, request) = match asked {
        Ok(asked) => asked,
        Err(status) => {
            let level = if status == 200 { Level::Debug } else { Level::Warning };
            listener.log(level, || match status {
                0 => "a client left before its request was there".into(),
                _ => format!("a client's request was answered with {status}"),
            });
            return status == 200;
        }
    };
    let admitted = match listener.admission.admit(request.peer().map(|peer| peer.ip())) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            listener.count(Tally::refused);
            listener.log(Level::Warning, || format!("a client was refused with {}", refusal.status));
            return client.refuse(&refusal).await;
        }
    };
    // The answer waits for a place: a client that has been answered can be taken.
    let place = match timeout_at(deadline, listener.places.clone().acquire_owned()).await {
        Ok(Ok(place)) => place,
        Ok(Err(_)) => return client.refuse(&Refusal::new(503, CLOSING)).await,
        Err(_) => return client.refuse(&Refusal::new(503, "The server is busy.\n")).await,
    };
    let made = Connection::new(listener.mailbox.clone(), Role::Server, listener.options.clone(), None);
    let Ok(connection) = made else { return client.refuse(&Refusal::new(503, CLOSING)).await };
    let _ = connection.request.set(request);
    let _ = connection.listener.set(listener.clone());
    let mut unopened = Unopened { connection: Some(connection.clone()), error: None };
    let (mut subprotocol, mut lines) = (Vec::new(), Vec::new());
    if listener.options.review {
        match review::ask(&connection, &mut client, &listener.stopped, deadline).await {
            Ok(chosen) => (subprotocol, lines) = chosen,
            Err(Denied { refusal, error }) => {
                unopened.error = Some(error);
                drop((unopened, place)); // the guest hears of it now
                if let Some(refusal) = refusal {
                    client.refuse(&refusal).await;
                }
                return false;
            }
        }
    }
    if let Some(request) = connection.request() {
        if subprotocol.is_empty() {
            let offers = elements(request.values("Sec-WebSocket-Protocol"));
            subprotocol.extend_from_slice(listener.rules.choose(offers));
        }
        request.choose_subprotocol(&subprotocol);
    }
    lines.extend_from_slice(&listener.rules.lines);
    let agreed = client.agreed;
    match timeout_at(deadline, client.upgrade(&subprotocol, &lines)).await {
        Ok(Ok((stream, leftover))) => {
            unopened.connection = None;
            connection.control().review = None;
            connection.inbox().announced = false; // until it is taken
            Driver::start(connection.clone(), stream, leftover, agreed, Some(admitted), runtime);
            listener.offer(connection, place);
            return true;
        }
        Ok(Err(e)) => unopened.error = Some(Error::new(Kind::Tcp, io_text(&e))),
        Err(_) => unopened.error = Some(Error::new(Kind::Timeout, "the client does not read its answer")),
    }
    false
}

const CLOSING: &str = "The server is closing.\n";

/// Ends a connection that does not come to open, whatever keeps it from that.
struct Unopened {
    /// None once it is open.
    connection: Option<Arc<Connection>>,
    error: Option<Error>,
}

impl Drop for Unopened {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let error = self.error.take();
            connection.ended(Some(error.unwrap_or_else(|| Kind::Internal.into())));
            if !connection.inbox().announced {
                Connection::free(connection.handle()); // the guest never heard of it
            }
            connection.give_up();
        }
    }
}
