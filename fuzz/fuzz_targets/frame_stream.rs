//! A stream of frames as one side receives it: every split says the same, and memory follows what
//! came, not what was declared.
#![no_main]

use coromega_ws_core::{Message, MessageKind, fuzzing::Decoding};
use coromega_ws_fuzz::{Cuts, Input, feed, peak_of};
use libfuzzer_sys::fuzz_target;

/// What the smallest messages cost beside their bytes: a place in a list, which grows twofold.
const PER_BYTE: usize = 64;
/// What a stream of any size may cost: a buffer for reading in place, an inflater's stream.
const ALWAYS: usize = 512 * 1024;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let is_client = flags & 1 != 0;
    let max = [0, 125, 5000, 1 << 20][usize::from(flags >> 1 & 3)];
    let enough = [0, 200, 1 << 18, usize::MAX][usize::from(flags >> 3 & 3)];
    let direction = input.direction();
    let receive = (flags & 0x20 != 0).then_some(direction);
    let count = usize::from(input.byte() & 7);
    let sizes = input.take(count);
    let stream = input.0;

    let decode = |cuts: &Cuts<'_>, in_place, enough| {
        let mut decoding = Decoding::new(is_client, max, receive);
        feed(&mut decoding, stream, cuts, in_place, enough);
        decoding
    };
    let mut whole = None;
    let peak = peak_of(|| whole = Some(decode(&Cuts::Whole, false, usize::MAX)));
    let whole = whole.expect("decoded");
    let messages: usize = whole.messages.iter().map(|m| m.payload.len()).sum();
    assert!(whole.messages.iter().all(|m| m.payload.len() as u64 <= max));
    if receive.is_none() {
        assert!(messages <= stream.len());
        assert!(peak <= ALWAYS + PER_BYTE * stream.len(), "{peak} for {}", stream.len());
    } else {
        // Deflate makes at most 1032 of one byte; a message is twice as large while it grows.
        assert!(messages <= 1032 * stream.len());
        assert!(peak <= ALWAYS + PER_BYTE * stream.len() + messages + 3 * max as usize, "{peak}");
    }

    let same = |other: Decoding| {
        assert_eq!(other.messages, whole.messages);
        assert_eq!(other.ping, whole.ping);
        assert_eq!(other.close, whole.close);
        // An inflater may find several things wrong with a message; which comes first is the cut's.
        if receive.is_none() {
            assert_eq!(other.violation, whole.violation);
        } else {
            assert_eq!(other.violation.is_some(), whole.violation.is_some());
        }
        assert_eq!(other.has_ended() || other.is_within(), whole.has_ended() || whole.is_within());
    };
    same(decode(&Cuts::Pieces(sizes), true, enough));
    same(decode(&Cuts::Bytes, flags & 0x40 != 0, enough));

    // Passed on as they come, the messages are the same, and no text is cut within a character.
    let mut parts = Decoding::new(is_client, max, receive).in_fragments();
    feed(&mut parts, stream, &Cuts::Pieces(sizes), true, enough);
    let (mut joined, mut begun) = (Vec::new(), None::<Message>);
    for part in &parts.messages {
        assert!(part.kind == MessageKind::Binary || str::from_utf8(&part.payload).is_ok());
        let mut message = begun.take().unwrap_or_else(|| Message { payload: Vec::new(), ..part.clone() });
        assert_eq!(message.kind, part.kind);
        message.payload.extend_from_slice(&part.payload);
        message.fin = part.fin;
        assert!(message.payload.len() as u64 <= max);
        if part.fin { joined.push(message) } else { begun = Some(message) }
    }
    assert_eq!(joined, whole.messages);
    assert_eq!(parts.violation.is_some(), whole.violation.is_some());

    if stream.len() <= 64 {
        (1..stream.len()).for_each(|at| same(decode(&Cuts::At(at), flags & 0x40 != 0, enough)));
    }
});
