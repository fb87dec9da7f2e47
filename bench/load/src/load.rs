//! The run: connections are opened, driven, and what came back is counted.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};

use crate::connection::{Connection, Route, State};
use crate::frames::{Random, Supply, add_frame};
use crate::parser::{Message, Seen};
use crate::process::{Usage, usage};
use crate::{Mode, Options};

/// How many upgrades are on their way at a time.
const UPGRADES: usize = 64;
/// Nothing takes longer than this, or the server has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds from the last opening handshake to the first broadcast.
const SETTLING: f64 = 0.2;
/// Connections that were closed hold their port for a minute: they come from so many addresses.
const SOURCES: u32 = 200;

struct Load {
    options: Options,
    route: Route,
    supply: Supply,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    seen: Vec<Seen>,
    random: Random,
    begin: Instant,
    source: u32,
    open: usize,
    /// Messages, or connections of a churn, that count.
    count: u64,
    /// Round trips in nanoseconds.
    times: Histogram<u64>,
    broadcast: Broadcast,
}

/// The messages that are on their way to all.
#[derive(Default)]
struct Broadcast {
    deliveries: u64,
    stamps: std::collections::VecDeque<u64>,
}

/// Drives the load and reports.
pub fn run(options: Options) -> Result<Value, String> {
    let mut load = Load::new(options)?;
    let before = usage(&load.options.pid)?;
    let wanted = load.options.connections;
    // A churn's connections come one after the other for ever.
    if load.options.mode == Mode::Churn {
        for index in 0..wanted {
            load.connect(index)?;
        }
    } else {
        for index in 0..wanted {
            load.connect(index)?;
            load.until(|load| index + 1 - load.open < UPGRADES)?;
        }
        load.until(|load| load.open == wanted)?;
    }
    match load.options.mode {
        Mode::Echo => load.send_first(wanted)?,
        Mode::Broadcast => {
            // Whoever has its answer need not be among those that a server sends to yet.
            load.last(SETTLING)?;
            load.send_first(1)?;
        }
        Mode::Churn | Mode::Idle => {}
    }
    if load.options.messages.is_none() {
        load.last(load.options.warmup)?;
    }
    load.count = 0;
    load.times.reset();
    let (begin, first, own) = (load.begin.elapsed(), usage(&load.options.pid)?, own_cpu()?);
    match load.options.messages {
        Some(messages) => load.until(|load| load.count >= messages)?,
        None => load.last(load.options.seconds)?,
    }
    let (seconds, last) = ((load.begin.elapsed() - begin).as_secs_f64(), usage(&load.options.pid)?);
    load.report(seconds, &before, &first, &last, own_cpu()? - own)
}

fn own_cpu() -> Result<u64, String> {
    usage(&[std::process::id()]).map(|usage| usage.cpu)
}

impl Load {
    fn new(options: Options) -> Result<Load, String> {
        let tls = options.tls.as_ref().map(|path| trust(path)).transpose()?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, options.port);
        Ok(Load {
            route: Route::new(address, options.compress, tls),
            supply: Supply::new(options.size, options.text, options.compress),
            poll: Poll::new().map_err(|e| e.to_string())?,
            connections: (0..options.connections).map(|_| None).collect(),
            buffer: vec![0; 256 * 1024],
            seen: Vec::new(),
            random: Random(0x2545_f491_4f6c_dd1d),
            begin: Instant::now(),
            source: 0,
            open: 0,
            count: 0,
            times: Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(|e| e.to_string())?,
            broadcast: Broadcast::default(),
            options,
        })
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn connect(&mut self, index: usize) -> Result<(), String> {
        let failed = |e: io::Error| format!("connection {index}: {e}");
        if self.options.mode == Mode::Churn || index % 20_000 == 19_999 {
            self.source = (self.source + 1) % SOURCES;
        }
        let mut connection = Connection::new(&self.route, self.source, self.options.raw).map_err(failed)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.stream, Token(index), interest).map_err(failed)?;
        self.open += usize::from(connection.state == State::Open);
        if !self.options.raw {
            connection.stamps.push_back(self.now());
        }
        connection.flush(&self.supply).map_err(failed)?;
        self.connections[index] = Some(connection);
        Ok(())
    }

    /// The first messages of the first `connections`.
    fn send_first(&mut self, connections: usize) -> Result<(), String> {
        for index in 0..connections {
            self.send(index, self.options.depth)?;
        }
        Ok(())
    }

    /// Allows `n` more messages on a connection and sends them.
    fn send(&mut self, index: usize, n: u64) -> Result<(), String> {
        let now = self.now();
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let stamps = if self.options.mode == Mode::Broadcast {
            &mut self.broadcast.stamps
        } else {
            &mut connection.stamps
        };
        stamps.extend((0..n).map(|_| now));
        connection.target += n;
        connection.flush(&self.supply).map_err(|e| format!("connection {index}: {e}"))
    }

    fn last(&mut self, seconds: f64) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut events = Events::with_capacity(1024);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(&mut events, left)?;
        }
        Ok(())
    }

    fn until(&mut self, done: impl Fn(&Load) -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        let mut events = Events::with_capacity(1024);
        while !done(self) {
            let left = end.checked_duration_since(Instant::now()).ok_or("the server does not answer")?;
            self.turn(&mut events, left)?;
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Events, most: Duration) -> Result<(), String> {
        match self.poll.poll(events, Some(most)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(|e| e.to_string())?,
        }
        for event in events.iter() {
            let index = event.token().0;
            if event.is_readable() {
                self.readable(index, event.is_read_closed())
                    .map_err(|e| format!("connection {index}: {e}"))?;
            }
            if event.is_writable()
                && let Some(connection) = &mut self.connections[index]
            {
                connection.flush(&self.supply).map_err(|e| format!("connection {index}: {e}"))?;
            }
        }
        Ok(())
    }

    /// `last` says that the server has sent all that it will.
    fn readable(&mut self, index: usize, last: bool) -> Result<(), String> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        if self.options.raw {
            return self.readable_raw(index);
        }
        let was = connection.state;
        let mut seen = std::mem::take(&mut self.seen);
        let ended = connection.receive(last, &mut self.buffer, &mut seen)?;
        let opened = was == State::Upgrading && connection.state == State::Open;
        if opened {
            self.opened(index)?;
        }
        let mut messages = 0;
        for seen in seen.drain(..) {
            match seen {
                Seen::Message(message) => {
                    self.check(message)?;
                    messages += 1;
                }
                Seen::Ping(payload) => self.control(index, 0x8a, &payload)?,
                Seen::Close if was == State::Closing => {}
                Seen::Close => return Err("the server closes it".into()),
            }
        }
        self.seen = seen;
        self.received(index, messages)?;
        if !ended {
            return Ok(());
        }
        if was != State::Closing {
            return Err("the server has ended it".into());
        }
        // Of a churn.
        self.connections[index] = None;
        self.count += 1;
        self.connect(index)
    }

    fn opened(&mut self, index: usize) -> Result<(), String> {
        self.open += 1;
        let now = self.now();
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let begun = connection.stamps.pop_front().unwrap_or(now);
        if self.options.mode == Mode::Churn {
            connection.state = State::Closing;
            self.times.saturating_record(now - begun);
            self.control(index, 0x88, &1000u16.to_be_bytes())?;
        }
        Ok(())
    }

    fn control(&mut self, index: usize, first: u8, payload: &[u8]) -> Result<(), String> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        add_frame(&mut connection.waiting, first, payload, &mut self.random);
        connection.flush(&self.supply).map_err(|e| e.to_string())
    }

    fn check(&self, message: Message) -> Result<(), String> {
        if message.text != self.options.text {
            return Err("a message came back with another type".into());
        }
        if message.compressed && !self.options.compress {
            return Err("a message is compressed that must not be".into());
        }
        if !message.compressed && message.length != self.options.size as u64 {
            return Err(format!(
                "a message of {} bytes came back with {}",
                self.options.size, message.length
            ));
        }
        let Some(first) = message.first else { return Ok(()) };
        let first = if message.compressed { inflate(first, self.options.size)? } else { first };
        if first == self.supply.first { Ok(()) } else { Err("a message came back with other bytes".into()) }
    }

    /// `n` messages have come on a connection: their round trips are over, more may be sent.
    fn received(&mut self, index: usize, n: u64) -> Result<(), String> {
        if n == 0 {
            return Ok(());
        }
        self.count += n;
        let now = self.now();
        if self.options.mode == Mode::Broadcast {
            let all = self.options.connections as u64;
            let done = (self.broadcast.deliveries + n) / all - self.broadcast.deliveries / all;
            self.broadcast.deliveries += n;
            for _ in 0..done {
                let sent = self.broadcast.stamps.pop_front().ok_or("more came than was sent")?;
                self.times.saturating_record(now - sent);
            }
            return if done > 0 { self.send(0, done) } else { Ok(()) };
        }
        let all = self.options.connections as u64 * self.options.depth;
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        for _ in 0..n {
            let sent = connection.stamps.pop_front().ok_or("more came back than was sent")?;
            self.times.saturating_record(now - sent);
        }
        if !self.options.rounds {
            self.send(index, n)
        } else if self.count.is_multiple_of(all) {
            self.send_first(self.options.connections)
        } else {
            Ok(())
        }
    }

    fn readable_raw(&mut self, index: usize) -> Result<(), String> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        let messages = connection.receive_raw(&mut self.buffer, &self.supply)?;
        self.received(index, messages)
    }

    fn report(
        &self,
        seconds: f64,
        before: &Usage,
        first: &Usage,
        last: &Usage,
        own: u64,
    ) -> Result<Value, String> {
        let idle = self.options.mode == Mode::Idle;
        if self.count == 0 && !idle {
            return Err("nothing came back".into());
        }
        let per = |sum: u64, scale: f64| sum as f64 / scale / (self.count.max(1) as f64);
        let time = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e3;
        Ok(json!({
            // Messages that came back, connections of a churn.
            "count": self.count,
            "seconds": seconds,
            // CPU microseconds of the server for each of them, of all in the idle mode; then our own.
            "server_us": per(last.cpu - first.cpu, 1e3),
            "load_us": per(own, 1e3),
            // Round trips, of a churn until the upgrade is answered, in microseconds.
            "p50_us": time(0.5),
            "p99_us": time(0.99),
            "resident_kib_per_connection":
                (last.resident as f64 - before.resident as f64) / self.options.connections as f64,
        }))
    }
}

fn trust(path: &std::path::Path) -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| e.to_string())? {
        roots.add(certificate.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    }
    Ok(Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// The first message of a connection refers to none before it.
fn inflate(mut bytes: Vec<u8>, size: usize) -> Result<Vec<u8>, String> {
    bytes.extend([0, 0, 255, 255]);
    let mut out = Vec::with_capacity(size + 1);
    flate2::Decompress::new(false)
        .decompress_vec(&bytes, &mut out, flate2::FlushDecompress::Sync)
        .map_err(|e| e.to_string())?;
    Ok(out)
}
