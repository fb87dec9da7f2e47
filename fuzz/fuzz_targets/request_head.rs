//! The head of a request: whatever comes, the answer is good HTTP, and only what asks for a
//! WebSocket with a good key opens one.
#![no_main]

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use coromega_ws_core::{Options, fuzzing::request_head};
use coromega_ws_fuzz::{Input, peak_of};
use httparse::{EMPTY_HEADER, Request, Response};
use libfuzzer_sys::fuzz_target;

/// As the library's: what the last digit has too much is nobody's to judge.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// What a listener asks for.
fn options(flags: u8, texts: &[u8]) -> Options {
    let mut options = Options::default();
    if flags & 1 != 0 {
        let _ = options.set("compression", 1.0);
    }
    let names = ["path", "health_path", "origins", "subprotocols", "response_headers"];
    for (name, text) in names.iter().zip(texts.split(|b| *b == 0)) {
        let _ = options.set_text(name, text);
    }
    options
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let length = usize::from(input.byte());
    let options = options(flags, input.take(length));
    let head = &input.0[..input.0.len().min(16 * 1024)];

    let mut answered = None;
    let peak = peak_of(|| answered = request_head(head, &options));
    assert!(peak <= 128 * 1024 + 32 * head.len(), "{peak} for {}", head.len());
    let Some((answer, accept)) = answered else { return };

    let mut fields = [EMPTY_HEADER; 32];
    let mut response = Response::new(&mut fields);
    let parsed = response.parse(&answer).expect("an answer of good HTTP");
    assert!(parsed.is_complete());
    let body = answer.len() - parsed.unwrap();
    let values = |name: &str| -> Vec<&[u8]> {
        response.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect()
    };
    let Some(accept) = accept else {
        assert!(matches!(response.code, Some(200 | 400 | 403 | 404 | 405 | 426 | 431)));
        let length: usize =
            str::from_utf8(values("Content-Length")[0]).expect("ASCII").parse().expect("a number");
        assert!(body == length || (body == 0 && head.trim_ascii_start().starts_with(b"HEAD ")));
        return;
    };
    assert_eq!((response.code, body), (Some(101), 0));
    assert_eq!(values("Sec-WebSocket-Accept"), [accept.as_bytes()]);

    // What was accepted, read once more.
    let mut fields = [EMPTY_HEADER; 100];
    let mut request = Request::new(&mut fields);
    assert!(request.parse(head).is_ok_and(|s| s.is_complete()), "an accepted request is HTTP");
    let all = |name: &str| -> Vec<&[u8]> {
        request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect()
    };
    assert_eq!((request.method, request.version), (Some("GET"), Some(1)));
    let keys = all("Sec-WebSocket-Key");
    assert!(keys.len() == 1 && BASE64.decode(keys[0]).is_ok_and(|key| key.len() == 16));
    assert_eq!(accept, tungstenite::handshake::derive_accept_key(keys[0]));
    assert_eq!(all("Sec-WebSocket-Version"), [b"13"]);
    assert!(all("Host").len() == 1 && all("Transfer-Encoding").is_empty());
    for chosen in values("Sec-WebSocket-Protocol") {
        let offers = all("Sec-WebSocket-Protocol").join(&b',');
        assert!(offers.split(|b| *b == b',').any(|o| o.trim_ascii() == chosen));
    }
    if !values("Sec-WebSocket-Extensions").is_empty() {
        assert!(flags & 1 != 0 && !all("Sec-WebSocket-Extensions").is_empty());
    }
});
