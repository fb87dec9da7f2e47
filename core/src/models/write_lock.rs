//! The write lock: what the runtime asks for is always done, by it or by the guest that writes.

use std::sync::Arc;

use super::world::{Guest, Pair, check, send, start};
use crate::connection::Connection;

const TEXT: u8 = 1;
const PONG: u8 = 10;

/// For the runtime: a ping has come.
fn pong(connection: &Arc<Connection>, payload: &[u8]) {
    connection.control().ask_pongs(&mut vec![payload.into()]);
    connection.serve_writer();
}

#[test]
fn a_request_is_served_beside_a_guest_that_sends() {
    check(None, || {
        let guest = Guest::new();
        let mut pair = Pair::new(&guest);
        let connection = pair.connection.clone();
        let runtime = start(move || pong(&connection, b"p"));
        send(&pair, "a").unwrap();
        runtime.join().unwrap();
        let mut frames = pair.frames();
        frames.sort();
        assert_eq!(frames, [(TEXT, "a".into()), (PONG, "p".into())]);
    });
}

#[test]
fn the_runtime_waits_for_no_guest_and_its_request_is_served() {
    check(None, || {
        let guest = Guest::new();
        let mut pair = Pair::new(&guest);
        let held = pair.connection.writer.lock();
        let connection = pair.connection.clone();
        start(move || pong(&connection, b"p")).join().unwrap();
        drop(held);
        send(&pair, "a").unwrap();
        assert_eq!(pair.frames(), [(TEXT, "a".into()), (PONG, "p".into())]);
    });
}

#[test]
fn requests_are_served_beside_two_guests_that_send() {
    check(Some(3), || {
        let guest = Guest::new();
        let mut pair = Pair::new(&guest);
        let (one, other) = (pair.connection.clone(), pair.connection.clone());
        let runtime = start(move || {
            pong(&one, b"p");
            pong(&one, b"q");
        });
        let thread = start(move || send(&other, "b").unwrap());
        send(&pair, "a").unwrap();
        runtime.join().unwrap();
        thread.join().unwrap();
        let frames = pair.frames();
        let of = |kind| frames.iter().filter(move |f| f.0 == kind).map(|f| f.1.as_str()).collect::<Vec<_>>();
        assert!([["a", "b"], ["b", "a"]].contains(&of(TEXT).try_into().unwrap()));
        assert_eq!(of(PONG), ["p", "q"]);
    });
}

#[test]
fn a_request_is_served_beside_a_guest_that_asks_for_numbers() {
    check(None, || {
        let guest = Guest::new();
        let mut pair = Pair::new(&guest);
        let connection = pair.connection.clone();
        let runtime = start(move || pong(&connection, b"p"));
        pair.traffic();
        runtime.join().unwrap();
        assert_eq!(pair.frames(), [(PONG, "p".into())]);
    });
}

#[test]
fn a_request_is_served_beside_a_guest_that_waits_for_bytes_to_leave() {
    check(None, || {
        let guest = Guest::new();
        let mut pair = Pair::new(&guest);
        let connection = pair.connection.clone();
        let runtime = start(move || pong(&connection, b"p"));
        pair.has_left();
        runtime.join().unwrap();
        assert_eq!(pair.frames(), [(PONG, "p".into())]);
    });
}

#[test]
fn a_socket_that_is_given_up_is_closed_beside_a_guest_that_sends() {
    check(None, || {
        let guest = Guest::new();
        let mut pair = Pair::new(&guest);
        let connection = pair.connection.clone();
        let runtime = start(move || connection.give_up());
        let _ = send(&pair, "a");
        runtime.join().unwrap();
        assert!(pair.is_closed());
    });
}
