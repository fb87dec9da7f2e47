//! What connections have done, in numbers: of each one, of a listener's, of the whole process.

use std::{
    fmt::Write,
    ops::Sub,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{error::Result, process::Process};

/// Messages and the bytes of their payloads, as guests see them: uncompressed, without frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many messages.
    pub messages: u64,
    /// The bytes in them.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.add_fragment(bytes, true);
    }

    /// A message counts with its last fragment.
    pub(crate) fn add_fragment(&mut self, bytes: usize, fin: bool) {
        self.messages += u64::from(fin);
        self.bytes += bytes as u64;
    }
}

impl Sub for Traffic {
    type Output = Traffic;

    fn sub(self, before: Traffic) -> Traffic {
        Traffic { messages: self.messages - before.messages, bytes: self.bytes - before.bytes }
    }
}

/// What many connections have done up to now. Only `open` ever becomes less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that are open: not those whose end the guest has been told.
    pub open: u64,
    /// Connections that have opened.
    pub opened: u64,
    /// Opening handshakes that came to nothing, whoever's fault it was, and connects that failed.
    pub failed: u64,
    /// Those of them that a limit refused.
    pub refused: u64,
    /// What was put into inboxes.
    pub received: Traffic,
    /// What was accepted for sending.
    pub sent: Traffic,
}

/// Counts for many connections. Of messages it is told once for each batch of them.
#[derive(Default)]
pub(crate) struct Tally {
    open: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    received: (AtomicU64, AtomicU64),
    sent: (AtomicU64, AtomicU64),
}

fn add(to: &(AtomicU64, AtomicU64), traffic: Traffic) {
    to.0.fetch_add(traffic.messages, Ordering::Relaxed);
    to.1.fetch_add(traffic.bytes, Ordering::Relaxed);
}

impl Tally {
    pub(crate) fn open(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, traffic: Traffic) {
        add(&self.received, traffic);
    }

    pub(crate) fn sent(&self, traffic: Traffic) {
        add(&self.sent, traffic);
    }

    pub(crate) fn counters(&self) -> Counters {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let traffic =
            |both: &(AtomicU64, AtomicU64)| Traffic { messages: read(&both.0), bytes: read(&both.1) };
        Counters {
            open: read(&self.open),
            opened: read(&self.opened),
            failed: read(&self.failed),
            refused: read(&self.refused),
            received: traffic(&self.received),
            sent: traffic(&self.sent),
        }
    }
}

/// What all connections of the process have done, since its first mailbox.
pub fn counters() -> Result<Counters> {
    Ok(Process::current()?.all.counters())
}

/// A family of metrics: its name, its type, its help, and what it shows.
type Family = (&'static str, &'static str, &'static str, fn(&Counters) -> u64);

const FAMILIES: &[Family] = &[
    ("connections", "gauge", "Open connections.", |c| c.open),
    ("connections_opened_total", "counter", "Connections that have opened.", |c| c.opened),
    ("handshakes_failed_total", "counter", "Opening handshakes that came to nothing.", |c| c.failed),
    ("handshakes_refused_total", "counter", "Opening handshakes that a limit refused.", |c| c.refused),
    ("messages_received_total", "counter", "Messages received.", |c| c.received.messages),
    ("received_bytes_total", "counter", "Payload bytes received.", |c| c.received.bytes),
    ("messages_sent_total", "counter", "Messages accepted for sending.", |c| c.sent.messages),
    ("sent_bytes_total", "counter", "Payload bytes accepted for sending.", |c| c.sent.bytes),
];

/// The same as text in the format that Prometheus reads (version 0.0.4): one series for the
/// process's clients, and one for each listener that has not been freed.
pub fn metrics() -> Result<String> {
    let process = Process::current()?;
    let mut listeners = process.listeners.select(|_| true);
    listeners.sort_unstable_by_key(|listener| listener.handle());
    let mut series = vec![("role=\"client\"".to_string(), process.clients.counters())];
    for listener in &listeners {
        let at = escaped(&listener.shown());
        series.push((format!("role=\"server\",listener=\"{at}\""), listener.counters()));
    }
    let mut text = String::new();
    for (name, kind, help, value) in FAMILIES {
        let _ = writeln!(text, "# HELP coromega_ws_{name} {help}\n# TYPE coromega_ws_{name} {kind}");
        for (labels, counters) in &series {
            let _ = writeln!(text, "coromega_ws_{name}{{{labels}}} {}", value(counters));
        }
    }
    Ok(text)
}

/// A label's value: the path of a socket may have anything in it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown() {
        let tally = Tally::default();
        tally.open();
        tally.open();
        tally.ended();
        tally.failed();
        tally.refused();
        let mut traffic = Traffic::default();
        traffic.add(5);
        traffic.add(0);
        tally.received(traffic);
        tally.sent(traffic - Traffic { messages: 1, bytes: 2 });
        let expected = Counters {
            open: 1,
            opened: 2,
            failed: 1,
            refused: 1,
            received: Traffic { messages: 2, bytes: 5 },
            sent: Traffic { messages: 1, bytes: 3 },
        };
        assert_eq!(tally.counters(), expected);
    }

    #[test]
    fn a_label_can_hold_any_path() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
