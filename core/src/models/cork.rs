//! Corks: what a guest sends in a batch of events leaves, whoever ends the batch.

use std::sync::Arc;

use super::world::{Guest, Pair, arrives, check, send, start};
use crate::{Mailbox, connection::Connection};

/// A guest that has an event, so that a batch has begun on this thread.
fn in_a_batch() -> (Arc<Guest>, Pair) {
    let guest = Guest::new();
    let pair = Pair::new(&guest);
    arrives(&pair, "");
    assert_eq!(guest.hears(false).unwrap().len(), 1);
    (guest, pair)
}

/// The texts that have left after as long as a timer takes. Then no timer is set for nothing.
fn texts(pair: &mut Pair, guests: &[&Guest]) -> Vec<String> {
    for guest in guests {
        guest.time_passes();
        assert!(!guest.time_passes());
    }
    pair.frames().into_iter().filter(|frame| frame.0 == 1).map(|frame| frame.1).collect()
}

#[test]
fn what_is_sent_in_a_batch_leaves_at_its_end_beside_the_timer() {
    check(Some(3), || {
        let (guest, mut pair) = in_a_batch();
        let other = guest.clone();
        let runtime = start(move || other.time_passes());
        send(&pair, "a").unwrap();
        send(&pair, "b").unwrap();
        guest.hears(false).unwrap();
        runtime.join().unwrap();
        // The batch has ended: no more time has to pass.
        assert_eq!(texts(&mut pair, &[]), ["a", "b"]);
        send(&pair, "c").unwrap();
        assert_eq!(texts(&mut pair, &[]), ["c"]);
    });
}

#[test]
fn what_is_sent_in_a_batch_that_does_not_end_leaves_by_the_timer() {
    check(Some(3), || {
        let (guest, mut one) = in_a_batch();
        let mut other = Pair::new(&guest);
        let watched = guest.clone();
        let runtime = start(move || {
            watched.time_passes();
            watched.time_passes();
        });
        send(&one, "a").unwrap();
        send(&other, "b").unwrap();
        send(&one, "c").unwrap();
        runtime.join().unwrap();
        assert_eq!(texts(&mut one, &[&guest]), ["a", "c"]);
        assert_eq!(texts(&mut other, &[]), ["b"]);
    });
}

#[test]
fn what_is_sent_in_a_batch_leaves_when_another_thread_polls() {
    check(Some(3), || {
        let (guest, mut pair) = in_a_batch();
        let (other, connection) = (guest.clone(), pair.connection.clone());
        let second = start(move || {
            arrives(&connection, "");
            other.hears(false).unwrap();
            send(&connection, "x").unwrap();
        });
        send(&pair, "a").unwrap();
        send(&pair, "b").unwrap();
        second.join().unwrap();
        let mut left = texts(&mut pair, &[&guest]);
        left.retain(|text| text != "x");
        assert_eq!(left, ["a", "b"]);
    });
}

#[test]
fn what_is_accepted_in_a_batch_leaves_before_a_close_by_another_thread() {
    check(Some(3), || {
        let (guest, mut pair) = in_a_batch();
        let mailbox = guest.handle;
        let other = start(move || drop(Mailbox::end(mailbox).unwrap()));
        let accepted = send(&pair, "a").is_ok();
        other.join().unwrap();
        let frames = pair.frames();
        assert_eq!(frames.last().unwrap().0, 8);
        assert_eq!(frames.len(), 1 + usize::from(accepted));
    });
}

#[test]
fn what_is_sent_in_a_batch_leaves_when_the_connection_moves() {
    check(Some(3), || {
        let (guest, mut pair) = in_a_batch();
        let to = Guest::new();
        let (old, mailbox) = (pair.handle(), to.handle);
        let mover = start(move || Connection::transfer(old, mailbox).unwrap());
        send(&pair, "a").unwrap();
        send(&pair, "b").unwrap();
        mover.join().unwrap();
        assert_eq!(texts(&mut pair, &[&guest, &to]), ["a", "b"]);
    });
}

#[test]
fn what_is_sent_in_a_batch_leaves_when_the_connection_moves_and_its_mailbox_ends() {
    check(Some(2), || {
        let (guest, mut pair) = in_a_batch();
        let to = Guest::new();
        let (old, mailbox, from) = (pair.handle(), to.handle, guest.handle);
        let mover = start(move || Connection::transfer(old, mailbox).is_ok());
        let other = start(move || drop(Mailbox::end(from).unwrap()));
        let accepted = send(&pair, "a").is_ok();
        let has_moved = mover.join().unwrap();
        other.join().unwrap();
        // The runtime does not watch the timer of a mailbox that has ended.
        assert_eq!(texts(&mut pair, &[&to]).len(), usize::from(accepted));
        assert!(accepted || !has_moved);
    });
}
