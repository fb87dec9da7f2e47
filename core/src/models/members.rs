//! Connections come to mailboxes and leave them: none is left in one that has ended, and none stays
//! in one after both sides have let go of it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::world::{Guest, Pair, check, start};
use crate::{connection::Connection, mailbox::Mailbox, options::Options, process::was_moved, protocol::Role};

#[test]
fn a_connection_that_comes_when_its_mailbox_ends_is_refused_or_let_go() {
    check(None, || {
        let guest = Guest::new();
        let mailbox = guest.handle;
        let ends = start(move || Mailbox::end(mailbox).unwrap().len());
        let made = Connection::new(guest.mailbox.clone(), Role::Server, Arc::new(Options::default()), None);
        assert_eq!(ends.join().unwrap() == 1, made.is_ok());
        if let Ok(connection) = made {
            assert!(connection.freed.load(Relaxed) && connection.first_close.get().is_some());
            assert!(Connection::find(connection.handle()).is_err());
        }
    });
}

#[test]
fn a_connection_that_both_sides_let_go_of_is_forgotten() {
    check(None, || {
        let guest = Guest::new();
        let pair = Pair::new(&guest);
        let connection = pair.connection.clone();
        let runtime = start(move || connection.give_up());
        Connection::free(pair.handle());
        runtime.join().unwrap();
        assert!(Mailbox::end(guest.handle).unwrap().is_empty());
    });
}

#[test]
fn a_connection_that_is_given_up_while_it_moves_is_forgotten() {
    check(Some(3), || {
        let (from, to) = (Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let connection = pair.connection.clone();
        let runtime = start(move || connection.give_up());
        let new = Connection::transfer(pair.handle(), to.handle).unwrap();
        Connection::free(new);
        runtime.join().unwrap();
        for guest in [from, to] {
            assert!(Mailbox::end(guest.handle).unwrap().is_empty());
        }
    });
}

#[test]
fn a_connection_that_is_freed_while_it_moves_is_in_one_mailbox_until_its_bytes_have_left() {
    check(Some(3), || {
        let (from, to) = (Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let old = pair.handle();
        let free = start(move || Connection::free(old));
        let new = Connection::transfer(old, to.handle);
        free.join().unwrap();
        // Freed after it had moved, it is only the old handle that is forgotten.
        let is_free = pair.freed.load(Relaxed);
        assert!(is_free != new.is_ok() && !was_moved(old));
        let left = [from, to].map(|guest| Mailbox::end(guest.handle).unwrap().len());
        assert_eq!(left, [usize::from(is_free), usize::from(!is_free)]);
    });
}

#[test]
fn a_connection_that_cannot_stay_or_move_is_let_go_of() {
    let is_closed = |pair: &Pair| pair.freed.load(Relaxed) && pair.first_close.get().is_some();
    check(Some(3), move || {
        let (from, to) = (Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let ends = [&from, &to].map(|guest| {
            let mailbox = guest.handle;
            start(move || drop(Mailbox::end(mailbox).unwrap()))
        });
        let _ = Connection::transfer(pair.handle(), to.handle);
        for end in ends {
            end.join().unwrap();
        }
        assert!(is_closed(&pair));
    });
    check(Some(3), move || {
        let (from, to) = (Guest::new(), Guest::new());
        let pair = Pair::new(&from);
        let (old, mailbox) = (pair.handle(), to.handle);
        let free = start(move || Connection::free(old));
        let end = start(move || drop(Mailbox::end(mailbox).unwrap()));
        let _ = Connection::transfer(old, mailbox);
        free.join().unwrap();
        end.join().unwrap();
        assert!(is_closed(&pair));
    });
}
