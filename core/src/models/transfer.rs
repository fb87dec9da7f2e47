//! A connection moves between mailboxes: nothing of it is lost, and nothing is told where it is not.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::world::{Guest, Pair, arrives, check, start, take};
use crate::{connection::Connection, error::Kind, event::EventKind};

/// The guest that it leaves hears of it under the handle that it had there, and at last that it has
/// moved.
fn listens_until_it_moves(guest: &Guest, old: u64) -> usize {
    let mut readable = 0;
    loop {
        for event in guest.hears(true).unwrap() {
            assert_eq!(event.1, old);
            match event.0 {
                EventKind::Readable => readable += 1,
                EventKind::Moved => return readable,
                kind => panic!("{kind:?}"),
            }
        }
    }
}

#[test]
fn the_guest_that_gets_a_connection_hears_of_what_comes_meanwhile() {
    check(Some(3), || {
        let (from, to) = (Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let (connection, old) = (pair.connection.clone(), pair.handle());
        let runtime = start(move || arrives(&connection, "a"));
        let new = Connection::transfer(old, to.handle).unwrap();
        let mut messages = 0;
        while messages < 1 {
            assert_eq!(to.hears(true).unwrap(), [(EventKind::Readable, new)]);
            messages += take(&pair);
        }
        runtime.join().unwrap();
        assert!(listens_until_it_moves(&from, old) <= 1);
        assert!(to.hears(false).unwrap().is_empty());
        assert!(!pair.told.waits());
    });
}

#[test]
fn the_guest_that_gives_a_connection_away_hears_nothing_of_it_after_that() {
    check(Some(3), || {
        let (from, to) = (Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let (connection, old) = (pair.connection.clone(), pair.handle());
        arrives(&pair, "a");
        let other = to.clone();
        let mover = start(move || Connection::transfer(old, other.handle).unwrap());
        let runtime = start(move || connection.tell(EventKind::Readable));
        let mut last = None;
        while last != Some(EventKind::Moved) {
            for event in from.hears(true).unwrap() {
                assert!(event.1 == old && last != Some(EventKind::Moved));
                last = Some(event.0);
            }
        }
        let new = mover.join().unwrap();
        runtime.join().unwrap();
        assert!(from.hears(false).unwrap().is_empty());
        assert_eq!(to.hears(false).unwrap(), [(EventKind::Readable, new)]);
        // The next is news.
        assert!(!pair.told.waits());
    });
}

#[test]
fn two_that_move_a_connection_agree_on_where_it_is() {
    check(Some(3), || {
        let (from, one, other) = (Guest::new(), Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let old = pair.handle();
        arrives(&pair, "a");
        let there = one.clone();
        let mover = start(move || Connection::transfer(old, there.handle));
        let second = Connection::transfer(old, other.handle);
        let first = mover.join().unwrap();
        let (guest, new, late) = match (first, second) {
            (Ok(new), Err(late)) => (one, new, late),
            (Err(late), Ok(new)) => (other, new, late),
            both => panic!("{both:?}"),
        };
        assert_eq!(late.kind, Kind::Moved);
        assert_eq!((pair.handle(), guest.hears(false).unwrap()), (new, vec![(EventKind::Readable, new)]));
        assert_eq!(from.hears(false).unwrap(), [(EventKind::Moved, old)]);
    });
}

#[test]
fn a_connection_whose_mailbox_ends_while_it_moves_belongs_to_one() {
    check(Some(3), || {
        let (from, to) = (Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let (old, mailbox) = (pair.handle(), from.handle);
        let ends = start(move || crate::Mailbox::end(mailbox).unwrap().len());
        let new = Connection::transfer(old, to.handle);
        let let_go = ends.join().unwrap();
        assert_eq!(let_go == 0, new.is_ok());
        assert_eq!(pair.freed.load(Relaxed), new.is_err());
        let found = Connection::find(pair.handle());
        assert!(found.is_ok_and(|found| Arc::ptr_eq(&found, &pair)) == new.is_ok());
    });
}

#[test]
fn a_connection_that_moves_into_a_mailbox_that_ends_is_let_go_or_stays() {
    check(Some(3), || {
        let (from, to) = (Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let (old, mailbox) = (pair.handle(), to.handle);
        let ends = start(move || crate::Mailbox::end(mailbox).unwrap().len());
        let new = Connection::transfer(old, mailbox);
        let let_go = ends.join().unwrap();
        assert_eq!(let_go == 1, new.is_ok());
        assert_eq!(pair.freed.load(Relaxed), new.is_ok());
        assert!(Connection::find(old).is_ok() == new.is_err());
        assert!(Connection::find(pair.handle()).is_ok() == new.is_err());
    });
}
