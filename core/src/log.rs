//! What the library says of its work, to the mailbox that it is done for: nothing unless asked. No
//! payload is in it, no query, and of the headers' values only those that are nobody's secret.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU32, Ordering},
};

use crate::{
    connection::Connection,
    error::{Error, Kind},
    event::{Event, EventKind, Source},
    limits,
    listener::Listener,
    mailbox::Mailbox,
    protocol::Role,
    request::Request,
};

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// A fault of the library's, or of the machine's.
    Error = 1,
    /// Something failed, or was refused.
    Warning = 2,
    /// Connections and listeners come and go.
    Info = 3,
    /// Each step on the way there.
    Debug = 4,
}

/// What was said, of whom.
pub struct Record {
    /// How much it matters.
    pub level: Level,
    /// UTF-8, ended by a NUL.
    pub text: Box<[u8]>,
    /// Those of the mailbox that wait.
    waiting: Arc<AtomicU32>,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a mailbox wants to hear.
#[derive(Default)]
pub(crate) struct Log {
    /// The highest level; 0: nothing.
    level: AtomicU8,
    waiting: Arc<AtomicU32>,
    left_out: AtomicU32,
}

/// Header fields whose values may be shown.
const SHOWN: [&str; 8] = [
    "host",
    "upgrade",
    "connection",
    "origin",
    "user-agent",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "x-forwarded-for",
];

/// A request as it may be shown.
pub(crate) fn shown(request: &Request) -> String {
    let mut text = format!("GET {}", String::from_utf8_lossy(request.path()).escape_debug());
    for header in (0..).map_while(|index| request.header(index)) {
        let name = String::from_utf8_lossy(header.name);
        let is_shown = SHOWN.iter().any(|shown| name.eq_ignore_ascii_case(shown));
        let value = String::from_utf8_lossy(header.value);
        let value = if is_shown { value.escape_debug().to_string() } else { "(not shown)".into() };
        text += &format!("; {name}: {value}");
    }
    text
}

impl Mailbox {
    /// From now on there are events `Log` for what matters so much; None: for nothing.
    pub fn set_log_level(&self, level: Option<Level>) {
        self.log.level.store(level.map_or(0, |level| level as u8), Ordering::Relaxed);
    }

    fn logs(&self, level: Level) -> bool {
        level as u8 <= self.log.level.load(Ordering::Relaxed)
    }

    fn log(self: &Arc<Self>, level: Level, handle: u64, what: &str, text: &str) {
        let log = &self.log;
        if log.waiting.load(Ordering::Relaxed) >= limits::WAITING_RECORDS {
            log.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let left_out = log.left_out.swap(0, Ordering::Relaxed);
        let note = if left_out > 0 {
            format!(" ({left_out} records before this were left out)")
        } else {
            String::new()
        };
        // A NUL would end the text for C; a peer's head may be long.
        let text: String = text.replace('\0', "\u{fffd}").chars().take(limits::RECORD).collect();
        let text = format!("{what} {handle}: {text}{note}\0");
        log.waiting.fetch_add(1, Ordering::Relaxed);
        let record = Record { level, text: text.into_bytes().into(), waiting: log.waiting.clone() };
        self.push(Event { kind: EventKind::Log, handle, source: Source::Log(Arc::new(record)) });
    }
}

impl Connection {
    /// Says something of it to its mailbox, if that wants to hear it.
    pub(crate) fn log(&self, level: Level, text: impl FnOnce() -> String) {
        let home = self.home();
        if home.logs(level) {
            home.log(level, self.handle(), "connection", &text());
        }
    }

    /// Says that it is open.
    pub(crate) fn log_opened(&self) {
        let peer = || match self.request().and_then(Request::peer) {
            Some(peer) => peer.to_string(),
            None => "a Unix socket".into(),
        };
        self.log(Level::Info, || match self.role {
            Role::Client => format!("open, to {}", peer()),
            Role::Server => format!("open, from {}", peer()),
        });
        if let Some(request) = self.request() {
            self.log(Level::Debug, || shown(request));
        }
    }

    /// Says how it ended.
    pub(crate) fn log_ended(&self, error: Option<&Error>, comes_again: bool) {
        let again = if comes_again { "; it is made again" } else { "" };
        match (error, self.closed_by(), self.close_info()) {
            (Some(error), ..) => {
                let level = if error.kind == Kind::Internal { Level::Error } else { Level::Warning };
                self.log(level, || format!("ended: {}{again}", error.text));
            }
            (None, Some(by), Some((code, _))) => {
                self.log(Level::Info, || format!("closed with {code}, first by {}{again}", by.text()));
            }
            _ => self.log(Level::Info, || format!("ended{again}")),
        }
    }
}

impl Listener {
    /// Says something of it to its mailbox, if that wants to hear it.
    pub(crate) fn log(&self, level: Level, text: impl FnOnce() -> String) {
        if self.mailbox.logs(level) {
            self.mailbox.log(level, self.handle, "listener", &text());
        }
    }
}
