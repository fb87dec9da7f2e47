//! A client's way to an open connection: name, TCP, proxy, TLS, handshake, redirects, all within
//! `open_timeout`.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::time::{sleep, timeout};

use crate::{
    address::{Address, shown_location, without_query},
    connection::Connection,
    dial::{Step, dial},
    driver::Driver,
    error::{Error, Kind, Result},
    handshake::{
        Upgraded,
        client::{self, Outcome},
    },
    headers::{self, Field, Header},
    log::Level,
    options::Options,
    process::Process,
    protocol::{Compression, Opening, Role, Wishes},
    proxy::{Choice, Proxy},
    stream::Stream,
    tls,
};

/// A connect whose address, headers and options are good.
#[derive(Clone)]
pub(crate) struct Attempt {
    address: Address,
    proxy: Option<Proxy>,
    choice: Choice,
    subprotocols: Vec<String>,
    /// The guest's own headers.
    fields: Vec<Field>,
    max_redirects: u32,
    compression: Option<Compression>,
    /// For addresses that want it; None where there can be none.
    tls: Option<tls::Client>,
}

impl Attempt {
    /// Checks everything that can be checked before any network activity.
    pub(crate) fn new(address: &[u8], extra: &[Header<'_>], options: &Options) -> Result<Attempt> {
        let address = Address::parse(address)?;
        let wants_tls = address.secure || options.max_redirects > 0;
        let tls = if wants_tls { Some(tls::Client::new(options, &address)?) } else { None };
        let fields = headers::check(extra)?;
        if address.authorization.is_some() && fields.iter().any(|f| f.is("authorization")) {
            let text = "header \"Authorization\": the address has a user and password already";
            return Err(Error::new(Kind::InvalidHeader, text));
        }
        let subprotocols = options.texts.subprotocols.clone();
        check_subprotocols(&subprotocols, &fields)?;
        let choice = Choice::new(&options.texts.proxy)?;
        if matches!(choice, Choice::Option(Some(_))) && address.unix.is_some() {
            let text = "option proxy: a Unix socket is not reached through a proxy";
            return Err(Error::new(Kind::InvalidArgument, text));
        }
        let proxy = choice.choose(&address)?;
        let (max_redirects, compression) = (options.max_redirects, options.compression(Role::Client));
        Ok(Attempt { address, proxy, choice, subprotocols, fields, max_redirects, compression, tls })
    }
}

/// The option `subprotocols` (RFC 6455, 4.1).
fn check_subprotocols(subprotocols: &[String], fields: &[Field]) -> Result<()> {
    let fail = |what: String| Err(Error::new(Kind::InvalidArgument, format!("option subprotocols: {what}")));
    if !subprotocols.is_empty() && fields.iter().any(|f| f.is("sec-websocket-protocol")) {
        return fail("there is a header Sec-WebSocket-Protocol as well".into());
    }
    for (i, name) in subprotocols.iter().enumerate() {
        if !headers::is_token(name.as_bytes()) {
            return fail(format!("{name:?} is not a token (RFC 9110, 5.6.2)"));
        }
        if subprotocols[..i].contains(name) {
            return fail(format!("{name:?} is given twice"));
        }
    }
    Ok(())
}

/// Makes the connection after a delay, and then drives it; or tells why it can't be made.
pub(crate) async fn run(connection: Arc<Connection>, attempt: Attempt, delay: Duration) {
    let shown = without_query(&attempt.address.shown);
    let process = connection.process;
    let (limit, step) = (connection.options.open_timeout(), AtomicU8::new(0));
    let at = |now: Step| {
        step.store(now as u8, Ordering::Relaxed);
        connection.log(Level::Debug, || format!("{}, for {shown}", now.text()));
    };
    // Closed or let go of by the guest before it opened.
    let given_up = poll_fn(|cx| {
        connection.waker.register(cx.waker());
        if connection.first_close.get().is_some() { Poll::Ready(()) } else { Poll::Pending }
    });
    let upgraded = async {
        if !delay.is_zero() {
            sleep(delay).await;
        }
        timeout(limit, caught(upgrade(attempt, process, at))).await.unwrap_or_else(|_| {
            let step = Step::ALL.get(usize::from(step.load(Ordering::Relaxed))).unwrap_or(&Step::Lookup);
            let text = format!("timed out after {} s, {}", limit.as_secs_f64(), step.text());
            Err(Error::new(Kind::Timeout, text))
        })
    };
    let result = tokio::select! {
        biased;
        () = given_up => Err(Error::new(Kind::Closed, "closed before it was open")),
        result = upgraded => result,
    };
    let runtime = process.runtime();
    match (result, runtime) {
        (Ok(upgraded), Ok(runtime)) => {
            let _ = connection.request.set(upgraded.request);
            let Upgraded { stream, leftover, agreed, .. } = upgraded;
            Driver::start(connection.clone(), stream, leftover, agreed, None, runtime);
            connection.announce();
        }
        (Err(error), _) | (_, Err(error)) => {
            connection.inbox().announced = true;
            connection.ended(Some(error.within(format_args!("connect to {shown}"))));
            connection.give_up();
        }
    }
}

/// A panic on the way (where no thread can be started to look up a name, for one) is a failure.
async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))).unwrap_or_else(|_| {
            Poll::Ready(Err(Error::new(Kind::Internal, "internal error: a panic was caught")))
        })
    })
    .await
}

/// Dials, shakes hands, and follows redirects.
async fn upgrade(mut attempt: Attempt, process: &'static Process, at: impl Fn(Step)) -> Result<Upgraded> {
    let mut redirects = 0;
    loop {
        // What went wrong behind a redirect is told with where it led to.
        let shown = (redirects > 0).then(|| without_query(&attempt.address.shown));
        let told = |e: Error| match &shown {
            Some(shown) => e.within(format_args!("redirected to {shown}")),
            None => e,
        };
        let (location, refusal) = match visit(&attempt, process, &at).await.map_err(told)? {
            Outcome::Upgraded(upgraded) => return Ok(upgraded),
            Outcome::Redirected { location, refusal } => (location, refusal),
        };
        if redirects == attempt.max_redirects {
            let to = shown_location(&location);
            let why = match redirects {
                0 => "redirects are followed where max_redirects allows it".into(),
                _ => format!("max_redirects is {redirects}"),
            };
            let text = format!("{refusal}, with Location {to:?}: {why}");
            return Err(told(Error { text: text.into(), ..refusal }));
        }
        redirects += 1;
        attempt.redirect(&location).map_err(|why| {
            let text = format!("{refusal}: {why}").into();
            told(Error { text, ..refusal })
        })?;
    }
}

/// One request to one address.
async fn visit(attempt: &Attempt, process: &'static Process, at: impl Fn(Step)) -> Result<Outcome> {
    let Attempt { address, fields, subprotocols, .. } = attempt;
    let socket = dial(address, attempt.proxy.as_ref(), &at).await?;
    let stream = match &attempt.tls {
        Some(tls) if address.secure => {
            at(Step::Tls);
            Stream::secure(socket, tls.session(&address.host, process).await?, Role::Client).await?
        }
        _ => Stream::Plain(socket),
    };
    at(Step::Handshake);
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)
        .map_err(|e| Error::new(Kind::Resources, format!("no random numbers for a key: {e}")))?;
    let wishes = Wishes {
        authority: &address.authority,
        authorization: address.authorization.as_deref(),
        subprotocols,
        compression: attempt.compression,
        fields,
    };
    client::connect(stream, &Opening::new(&address.target, nonce, &wishes)).await
}

impl Attempt {
    /// Goes on to where a redirect leads. What is meant for the origin alone does not go along to
    /// another one. Fails with a text.
    fn redirect(&mut self, location: &[u8]) -> Result<(), String> {
        let to = self.address.redirected(location)?;
        if !to.is_same_origin(&self.address) {
            const OF_THE_ORIGIN: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "host"];
            if let Some(tls) = &mut self.tls {
                tls.leave_origin();
            }
            self.fields.retain(|field| !OF_THE_ORIGIN.iter().any(|name| field.is(name)));
        }
        self.proxy = self.choice.choose(&to).map_err(|e| e.text.into_owned())?;
        self.address = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(address: &str, headers: &[(&str, &str)], options: &[(&str, &str)]) -> Result<Attempt> {
        let headers: Vec<_> =
            headers.iter().map(|h| Header { name: h.0.as_bytes(), value: h.1.as_bytes() }).collect();
        let mut all = Options::default();
        for (name, value) in options {
            all.set_text(name, value.as_bytes()).unwrap();
        }
        Attempt::new(address.as_bytes(), &headers, &all)
    }

    #[test]
    fn s07_tls_is_there_where_it_is_wanted() {
        assert!(attempt("wss://h/", &[], &[]).unwrap().tls.is_some());
        assert!(attempt("ws://h/", &[], &[]).unwrap().tls.is_none());
        let error = attempt("wss://h/", &[], &[("min_tls_version", "1.1")]).err().unwrap();
        assert_eq!(error.kind, Kind::InvalidArgument);
    }

    #[test]
    fn s08_what_contradicts_itself_is_refused() {
        let offered = ("subprotocols", "chat");
        assert!(attempt("ws://h/", &[], &[offered, ("subprotocols", "b")]).is_ok());
        for (address, headers, options) in [
            ("ws://h/", &[("sec-websocket-protocol", "a")][..], &[offered][..]),
            ("ws://h/", &[], &[offered, offered]),
            ("ws://h/", &[], &[("subprotocols", "a, b")]),
            ("ws://u:p@h/", &[("authorization", "Basic x")], &[]),
            ("ws://h/", &[], &[("proxy", "ftp://h")]),
            ("ws+unix:///s", &[], &[("proxy", "http://h")]),
        ] {
            let error = attempt(address, headers, options).err().unwrap();
            assert!(matches!(error.kind, Kind::InvalidArgument | Kind::InvalidHeader), "{error}");
        }
        assert!(attempt("ws+unix:///s", &[], &[("proxy", "none")]).is_ok());
    }

    #[test]
    fn s07_what_is_for_one_origin_does_not_go_to_another() {
        let headers = [("COOKIE", "a"), ("Proxy-authorization", "b"), ("X-A", "c"), ("Host", "d")];
        let mut attempt = attempt("ws://u:p@h/", &headers, &[("proxy", "none")]).unwrap();
        attempt.redirect(b"/elsewhere").unwrap();
        assert_eq!((attempt.fields.len(), attempt.address.authorization.is_some()), (4, true));
        attempt.redirect(b"http://i/").unwrap();
        assert_eq!(
            (&*attempt.fields, attempt.address.authorization.clone()),
            (&[Field::new("X-A", "c")][..], None)
        );
        attempt.redirect(b"ws://h/").unwrap(); // nothing comes back
        assert_eq!((attempt.fields.len(), attempt.address.authorization), (1, None));
    }
}
