//! The head of a server's answer: only what belongs to the request opens a connection, and
//! redirects lead to addresses that show no password.
#![no_main]

use coromega_ws_core::fuzzing::{address, response_head};
use coromega_ws_fuzz::{Input, peak_of};
use httparse::{EMPTY_HEADER, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let subprotocols: &[String] = if flags & 1 != 0 { &["chat".into(), "superchat".into()] } else { &[] };
    let ours = (flags & 8 != 0).then_some((9 + (flags >> 4) % 7, flags & 2 != 0));
    let head = &input.0[..input.0.len().min(16 * 1024)];

    let mut checked = None;
    let peak = peak_of(|| checked = Some(response_head(head, subprotocols, ours, "0p3nS3sam3")));
    assert!(peak <= 128 * 1024 + 32 * head.len(), "{peak} for {}", head.len());
    let checked = checked.expect("checked");
    // Nobody learns the password of the address that is redirected.
    assert_eq!(checked, response_head(head, subprotocols, ours, "differs..."));
    let told = match checked {
        Err(_) | Ok(None) => return,
        Ok(Some(told)) => told,
    };

    let mut fields = [EMPTY_HEADER; 100];
    let mut response = Response::new(&mut fields);
    assert!(response.parse(head).is_ok_and(|s| s.is_complete()));
    let all = |name: &str| -> Vec<&[u8]> {
        response.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect()
    };
    let (status, text, agreed) = told;
    if status != 101 {
        // A query may have backslashes (WHATWG URL, 4.4), which programs may not give.
        assert!(text.contains(&b'\\') || address(&text).is_ok(), "a redirect leads to an address");
        assert!(matches!(response.code, Some(301..=303 | 307 | 308)));
        return;
    }
    assert_eq!(response.code, Some(101));
    let accept = tungstenite::handshake::derive_accept_key(b"AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(all("Sec-WebSocket-Accept"), [accept.as_bytes()]);
    assert!(text.is_empty() || subprotocols.iter().any(|s| s.as_bytes() == text));
    assert_eq!(all("Sec-WebSocket-Protocol").len(), usize::from(!text.is_empty()));
    // Whatever is agreed on was asked for.
    match (agreed, ours) {
        (None, _) => {}
        (Some(_), None) => panic!("compression that was not offered"),
        (Some((send, receive)), Some(ours)) => {
            assert!(send.0 <= ours.0 && send.1 <= ours.1 && receive.1 <= ours.1);
        }
    }
});
