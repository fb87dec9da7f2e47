//! Mailboxes: what is told is heard, once, and whoever sleeps is woken for it.

use std::sync::Arc;

use super::world::{Guest, Pair, arrives, burst, check, start, take};
use crate::{connection::Connection, error::Kind, event::EventKind, mailbox::Mailbox};

/// The runtime and another thread have a message each for a connection.
fn two_messages(pair: &Pair) -> impl FnOnce() + use<> {
    let (one, other) = (pair.connection.clone(), pair.connection.clone());
    let runtime = start(move || burst(|| arrives(&one, "a")));
    let thread = start(move || arrives(&other, "b"));
    || {
        runtime.join().unwrap();
        thread.join().unwrap();
    }
}

/// When all has been heard, the next event of any kind is news.
fn all_is_heard(guest: &Guest, connection: &Connection) {
    assert!(guest.hears(false).unwrap().is_empty());
    assert!(!connection.told.waits());
}

#[test]
fn a_guest_that_waits_in_poll_hears_of_all_messages() {
    check(Some(3), || {
        let guest = Guest::new();
        let pair = Pair::new(&guest);
        let end = two_messages(&pair);
        let (mut messages, mut events) = (0, 0);
        while messages < 2 {
            let heard = guest.hears(true).unwrap();
            assert!(heard.iter().all(|event| *event == (EventKind::Readable, pair.handle())));
            assert_eq!(heard.len(), 1);
            events += heard.len();
            messages += take(&pair);
        }
        end();
        // One may have come between what was heard and what was taken.
        events += guest.hears(false).unwrap().len();
        assert!(messages == 2 && events <= 2);
        all_is_heard(&guest, &pair);
    });
}

/// A host with a loop of its own polls when the descriptor is readable, and then either polls until
/// there is nothing or says that it is done.
fn a_watched_guest(flushes: bool) {
    check(Some(3), move || {
        let guest = Guest::new();
        let pair = Pair::new(&guest);
        guest.fd().unwrap();
        let end = two_messages(&pair);
        let mut messages = 0;
        while messages < 2 {
            guest.wake.watch();
            while !guest.hears(false).unwrap().is_empty() {
                messages += take(&pair);
                if flushes {
                    guest.flush();
                    break;
                }
            }
        }
        end();
        assert_eq!(messages, 2);
    });
}

#[test]
fn a_host_that_polls_until_there_is_nothing_hears_of_all_messages() {
    a_watched_guest(false);
}

#[test]
fn a_host_that_flushes_after_a_batch_hears_of_all_messages() {
    a_watched_guest(true);
}

#[test]
fn a_host_that_forgets_events_is_reminded() {
    check(Some(3), || {
        let guest = Guest::new();
        let pair = Pair::new(&guest);
        guest.fd().unwrap();
        let end = two_messages(&pair);
        guest.wake.watch();
        assert!(!guest.hears(false).unwrap().is_empty());
        let messages = take(&pair);
        end();
        let told = pair.told.waits();
        assert!(messages == 2 || told);
        if told {
            guest.time_passes();
            guest.wake.watch();
            assert!(!guest.hears(false).unwrap().is_empty());
        }
    });
}

#[test]
fn an_event_waits_once_whoever_tells_it() {
    check(Some(3), || {
        let guest = Guest::new();
        let pair = Pair::new(&guest);
        let tell = |connection: &Arc<Connection>| {
            let connection = connection.clone();
            start(move || connection.tell(EventKind::Pong))
        };
        let tellers = [tell(&pair), tell(&pair)];
        let early = guest.hears(false).unwrap().len();
        for teller in tellers {
            teller.join().unwrap();
        }
        let late = guest.hears(false).unwrap().len();
        assert!(early <= 1 && late <= 1 && early + late > 0);
        all_is_heard(&guest, &pair);
    });
}

#[test]
fn two_threads_that_poll_share_the_events() {
    check(Some(3), || {
        let guest = Guest::new();
        let pair = Pair::new(&guest);
        let (other, connection) = (guest.clone(), pair.connection.clone());
        let other = start(move || other.hears(false).map_or(0, |heard| heard.len()));
        let teller = start(move || connection.tell(EventKind::Pong));
        let one = guest.hears(false).map_or(0, |heard| heard.len());
        teller.join().unwrap();
        let heard = one + other.join().unwrap() + guest.hears(false).unwrap().len();
        assert_eq!(heard, 1);
        all_is_heard(&guest, &pair);
    });
}

#[test]
fn a_guest_in_poll_hears_that_its_mailbox_ends() {
    check(Some(3), || {
        let guest = Guest::new();
        let pair = Pair::new(&guest);
        let (handle, connection) = (guest.handle, pair.connection.clone());
        let other = start(move || drop(Mailbox::end(handle).unwrap()));
        let runtime = start(move || burst(|| arrives(&connection, "a")));
        let end = loop {
            match guest.hears(true) {
                Ok(events) => assert_eq!(events.len(), 1),
                Err(error) => break error,
            }
        };
        assert_eq!(end.kind, Kind::Closed);
        other.join().unwrap();
        runtime.join().unwrap();
    });
}

#[test]
fn a_guest_in_poll_hears_of_the_end_though_another_asks_for_the_descriptor() {
    check(Some(3), || {
        let guest = Guest::new();
        let (handle, other) = (guest.handle, guest.clone());
        let end = start(move || drop(Mailbox::end(handle).unwrap()));
        let host = start(move || {
            other.fd().unwrap();
            other.wake.watch();
        });
        assert_eq!(guest.hears(true).unwrap_err().kind, Kind::Closed);
        end.join().unwrap();
        host.join().unwrap();
    });
}

#[test]
fn a_guest_in_poll_hears_of_a_message_though_another_asks_for_the_descriptor() {
    check(Some(3), || {
        let guest = Guest::new();
        let pair = Pair::new(&guest);
        let (connection, other) = (pair.connection.clone(), guest.clone());
        let runtime = start(move || burst(|| arrives(&connection, "a")));
        let host = start(move || other.fd().is_ok());
        assert_eq!(guest.hears(true).unwrap().len(), 1);
        runtime.join().unwrap();
        assert!(host.join().unwrap());
    });
}
