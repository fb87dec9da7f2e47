//! What the decoder makes of streams, good and bad.

use super::*;
use crate::{
    lock::Mutex,
    protocol::{Deflater, Encoder, extension::Window},
};

fn decode(bytes: &[u8], max: u64) -> (Incoming, Result<(), Violation>) {
    let mut out = Incoming::default();
    let mut decoder = Decoder::new(Role::Client, max, None);
    let result = decoder.feed(&mut bytes.to_vec(), usize::MAX, &mut out);
    (out, result.map(|_| ()))
}

/// Feeds pieces until a close, and what `place` asks for in place.
fn feed_all(decoder: &mut Decoder, pieces: &[&[u8]]) -> Result<Incoming, Violation> {
    let mut out = Incoming::default();
    for piece in pieces {
        let mut piece = piece.to_vec();
        if out.close.is_some() {
            break;
        }
        if let Some((payload, most)) = decoder.place() {
            let count = most.min(piece.len());
            payload.extend(piece.drain(..count));
            decoder.placed(count, &mut out)?;
        }
        let taken = decoder.feed(&mut piece, usize::MAX, &mut out)?;
        assert!(taken == piece.len() || out.close.is_some());
    }
    Ok(out)
}

#[test]
fn a_stream_split_at_every_byte_gives_the_same_messages() {
    let (mut encoder, spare) = (Encoder::new(Role::Client), Mutex::default());
    let mut stream = Vec::new();
    encoder.message(&mut stream, MessageKind::Text, "grüße".as_bytes(), true, &spare).unwrap();
    encoder.pong(&mut stream, b"unasked").unwrap();
    encoder.message(&mut stream, MessageKind::Binary, &[9; 300], true, &spare).unwrap();
    encoder.message(&mut stream, MessageKind::Text, b"", true, &spare).unwrap();
    encoder.close(&mut stream, &Close::new(4000, "done")).unwrap();
    for at in 0..=stream.len() {
        for second in [at, (at + 1).min(stream.len()), (at + 7).min(stream.len())] {
            let mut decoder = Decoder::new(Role::Server, 1000, None);
            let pieces = [&stream[..at], &stream[at..second], &stream[second..]];
            let out = feed_all(&mut decoder, &pieces).unwrap();
            let [a, b, c] = &out.messages[..] else { panic!("split at {at}: {out:?}") };
            assert_eq!((a.kind, &a.payload[..]), (MessageKind::Text, "grüße".as_bytes()));
            assert_eq!((b.kind, &b.payload[..]), (MessageKind::Binary, &[9; 300][..]));
            assert_eq!((c.kind, &c.payload[..]), (MessageKind::Text, &b""[..]));
            assert_eq!(out.close, Some(Close::new(4000, "done")));
            assert_eq!(out.size, "grüße".len() + 300 + 3 * limits::MESSAGE_COST);
        }
    }
}

#[test]
fn large_payloads_are_received_in_place() {
    let payload: Vec<u8> = (0..300_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let (mut encoder, spare) = (Encoder::new(Role::Client), Mutex::default());
    let mut stream = Vec::new();
    encoder.message(&mut stream, MessageKind::Binary, &payload, true, &spare).unwrap();
    encoder.message(&mut stream, MessageKind::Binary, b"after", true, &spare).unwrap();
    for step in [1000, 4096, 65_535, 65_537] {
        let mut decoder = Decoder::new(Role::Server, 1 << 20, None);
        let mut out = Incoming::default();
        let (mut at, mut in_place) = (0, 0);
        while at < stream.len() {
            let end = (at + step).min(stream.len());
            if let Some((place, most)) = decoder.place() {
                let end = (at + most).min(end);
                assert!(place.capacity() <= 2 * (place.len() + limits::READ_BUFFER), "grows with what came");
                place.extend_from_slice(&stream[at..end]);
                decoder.placed(end - at, &mut out).unwrap();
                in_place += end - at;
                at = end;
            } else {
                decoder.feed(&mut stream[at..end].to_vec(), usize::MAX, &mut out).unwrap();
                at = end;
            }
        }
        assert!(in_place > 200_000, "{in_place} by {step}");
        assert_eq!(out.messages.len(), 2);
        assert!(out.messages[0].payload[..] == payload && out.messages[1].payload[..] == *b"after");
    }
}

#[test]
fn s30_a_declared_length_over_the_limit_is_refused_before_its_bytes_come() {
    for head in [&[0x82, 0x7e, 0x03, 0xe9][..], &[0x82, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
    {
        assert_eq!(decode(head, 1000).1.unwrap_err().code, 1009);
    }
    let fragments = [&[0x02, 0x7e, 0x02, 0x00][..], &[1; 512], &[0x80, 0x7e, 0x02, 0x00], &[1; 512]].concat();
    assert_eq!(decode(&fragments, 1000).1.unwrap_err().code, 1009);
    assert_eq!(decode(&fragments, 1024).0.messages.len(), 1);
}

#[test]
fn s30_a_declared_length_reserves_nothing() {
    let mut decoder = Decoder::new(Role::Client, 1 << 30, None);
    let mut head = [0x82, 0x7f, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff];
    decoder.feed(&mut head, usize::MAX, &mut Incoming::default()).unwrap();
    if let Some((place, most)) = decoder.place() {
        assert!(place.capacity() <= limits::READ_BUFFER && most <= limits::READ_BUFFER);
    }
}

#[test]
fn s30_a_length_that_the_last_message_had_reserves_a_few_times_what_has_come() {
    let (mut encoder, spare) = (Encoder::new(Role::Client), Mutex::default());
    let mut stream = Vec::new();
    encoder.message(&mut stream, MessageKind::Binary, &vec![7; 1 << 20], true, &spare).unwrap();
    let mut decoder = Decoder::new(Role::Server, 1 << 30, None);
    let pieces: Vec<&[u8]> = stream.chunks(limits::READ_BUFFER).collect();
    assert_eq!(feed_all(&mut decoder, &pieces).unwrap().messages.len(), 1);
    for come in [1, 1000, 60_000] {
        let room = |decoder: &Decoder| decoder.message.as_ref().map_or(0, |m| m.payload.capacity());
        feed_all(&mut decoder, &[&stream[..14 + come]]).unwrap();
        assert!(room(&decoder) <= 5 * come + 64, "{} for {come}", room(&decoder));
        let rest: Vec<&[u8]> = stream[14 + come..].chunks(limits::READ_BUFFER).collect();
        assert_eq!(feed_all(&mut decoder, &rest).unwrap().messages[0].payload, vec![7; 1 << 20]);
    }
}

#[test]
fn s30_the_fragments_of_a_message_are_counted() {
    let mut decoder = Decoder::new(Role::Client, 1000, None);
    let mut out = Incoming::default();
    decoder.feed(&mut [0x01, 0x00], usize::MAX, &mut out).unwrap();
    let mut empty = [0x00, 0x00].repeat(limits::MAX_FRAGMENTS as usize - 1);
    decoder.feed(&mut empty, usize::MAX, &mut out).unwrap();
    assert_eq!(decoder.feed(&mut [0x00, 0x00], usize::MAX, &mut out).unwrap_err().code, 1009);
    assert!(out.messages.is_empty());
}

#[test]
fn s26_violations_have_the_rfcs_codes() {
    for (bytes, code) in [
        (&[0xc1, 0x00][..], 1002),
        (&[0x83, 0x00], 1002),
        (&[0x80, 0x00], 1002),             // a continuation of nothing
        (&[0x01, 0x00, 0x81, 0x00], 1002), // a message within a message
        (&[0x88, 0x01, 0x03], 1002),
        (&[0x88, 0x02, 0x03, 0xed], 1002), // 1005
        (&[0x88, 0x02, 0x03, 0xf7], 1002), // 1015
        (&[0x88, 0x03, 0x03, 0xe8, 0xff], 1007),
        (&[0x81, 0x01, 0xff], 1007),
        (&[0x01, 0x01, 0xff], 1007), // at once, not at the end of the message
        (&[0x81, 0x05, 0xff], 1007), // before the rest of the frame is there
        (&[0x81, 0x02, 0xe2, 0x82], 1007),
        (&[0x01, 0x02, 0xe2, 0x82, 0x80, 0x00], 1007),
    ] {
        assert_eq!(decode(bytes, 1000).1.unwrap_err().code, code, "{bytes:x?}");
    }
    assert_eq!(decode(&[0x88, 0x02, 0x03, 0xf6], 1000).0.close, Some(Close::new(1014, "")));
    let mut unmasked = Decoder::new(Role::Server, 1000, None);
    let refused = unmasked.feed(&mut [0x81, 0x00], usize::MAX, &mut Incoming::default());
    assert_eq!(refused.unwrap_err().code, 1002);
}

#[test]
fn control_frames_come_between_fragments() {
    let bytes = [
        &[0x01, 0x02, b'a', b'b'][..],
        &[0x89, 0x01, b'1', 0x8a, 0x00, 0x89, 0x01, b'2'],
        &[0x00, 0x01, b'c', 0x89, 0x01, b'3', 0x80, 0x01, b'd'],
    ];
    let bytes = bytes.concat();
    for at in 0..=bytes.len() {
        let mut decoder = Decoder::new(Role::Client, 100, None);
        let out = feed_all(&mut decoder, &[&bytes[..at], &bytes[at..]]).unwrap();
        assert_eq!(out.messages.len(), 1);
        assert_eq!(out.messages[0].payload[..], *b"abcd");
        assert_eq!(out.pings.iter().map(|p| &p[..]).collect::<Vec<_>>(), [b"1", b"2", b"3"]);
        assert_eq!(decoder.unfinished(), None);
    }
}

#[test]
fn messages_before_a_violation_are_kept() {
    let (out, result) = decode(&[0x81, 0x01, b'a', 0xc1, 0x00], 1000);
    assert_eq!(out.messages.len(), 1);
    assert!(result.is_err());
}

#[test]
fn nothing_counts_behind_a_close() {
    let mut bytes = [0x88, 0x00, 0x81, 0x01, b'a', 0xff];
    let mut out = Incoming::default();
    let taken = Decoder::new(Role::Client, 1000, None).feed(&mut bytes, usize::MAX, &mut out);
    assert_eq!((taken, out.messages.len()), (Ok(2), 0));
}

fn compressing(takeover: bool) -> (Encoder, Decoder) {
    let window = Window { bits: 15, takeover };
    let mut encoder = Encoder::new(Role::Server);
    encoder.compress(Deflater::new(window, 6), 0);
    (encoder, Decoder::new(Role::Client, 100_000, Some(Box::new(Inflater::new(window)))))
}

#[test]
fn compressed_messages_split_at_every_byte_come_through() {
    for takeover in [false, true] {
        let (mut encoder, _) = compressing(takeover);
        let (spare, mut stream) = (Mutex::default(), Vec::new());
        let texts = ["grüße grüße grüße", "", "grüße again, grüße", "x"];
        for (i, text) in texts.iter().enumerate() {
            encoder.message(&mut stream, MessageKind::Text, text.as_bytes(), i != 1, &spare).unwrap();
        }
        for at in 0..=stream.len() {
            let (_, mut decoder) = compressing(takeover);
            let out = feed_all(&mut decoder, &[&stream[..at], &stream[at..]]).unwrap();
            let got: Vec<_> = out.messages.iter().map(|m| std::str::from_utf8(&m.payload).unwrap()).collect();
            assert_eq!(got, texts);
        }
    }
}

#[test]
fn s30_what_inflates_to_too_much_is_refused() {
    let (mut encoder, mut decoder) = compressing(false);
    let mut stream = Vec::new();
    encoder.message(&mut stream, MessageKind::Binary, &[0; 100_001], true, &Mutex::default()).unwrap();
    assert!(stream.len() < 1000);
    let refused = decoder.feed(&mut stream, usize::MAX, &mut Incoming::default());
    assert_eq!(refused.unwrap_err().code, 1009);
}

#[test]
fn s30_many_that_inflate_to_much_are_taken_some_at_a_time() {
    let (mut encoder, mut decoder) = compressing(false);
    let (spare, mut stream) = (Mutex::default(), Vec::new());
    for _ in 0..100 {
        encoder.message(&mut stream, MessageKind::Binary, &[0; 100_000], true, &spare).unwrap();
    }
    let (mut taken, mut messages) = (0, 0);
    while taken < stream.len() {
        let mut out = Incoming::default();
        taken += decoder.feed(&mut stream[taken..], 250_000, &mut out).unwrap();
        assert!(out.messages.len() <= 3, "{}", out.messages.len());
        messages += out.messages.len();
    }
    assert_eq!(messages, 100);
}

#[test]
fn s30_one_that_inflates_to_much_is_taken_some_at_a_time() {
    let (mut encoder, _) = compressing(false);
    let mut stream = Vec::new();
    encoder.message(&mut stream, MessageKind::Binary, &[0; 30 << 20], true, &Mutex::default()).unwrap();
    let receive = Window { bits: 15, takeover: false };
    let mut decoder = Decoder::new(Role::Client, 30 << 20, Some(Box::new(Inflater::new(receive))));
    let (mut taken, mut turns, mut messages) = (0, 0, Vec::new());
    while taken < stream.len() {
        let mut out = Incoming::default();
        taken += decoder.feed(&mut stream[taken..], 100_000, &mut out).unwrap();
        // Deflate makes at most 1032 times as much of a byte.
        assert!(out.size <= 100_000 + 1032 * limits::INFLATE_INPUT, "{}", out.size);
        messages.append(&mut out.messages);
        turns += 1;
    }
    assert!(turns > 20, "{turns}");
    assert_eq!(messages.len(), 1);
    assert!(messages[0].payload.len() == 30 << 20 && messages[0].payload.iter().all(|b| *b == 0));
}

#[test]
fn s26_a_compressed_frame_that_was_not_agreed_on_is_refused() {
    let (mut encoder, _) = compressing(false);
    let mut stream = Vec::new();
    encoder.message(&mut stream, MessageKind::Text, b"aaaaaaaaaaaaaaaa", true, &Mutex::default()).unwrap();
    assert_eq!(decode(&stream, 1000).1.unwrap_err().code, 1002);
}

#[test]
fn s30_a_message_behind_a_split_ping_has_a_time_of_its_own() {
    let (mut decoder, mut out) = (Decoder::new(Role::Client, 1000, None), Incoming::default());
    decoder.feed(&mut [0x89, 2, b'a'], usize::MAX, &mut out).unwrap();
    let ping = decoder.unfinished().unwrap();
    decoder.feed(&mut [b'b'], usize::MAX, &mut out).unwrap();
    assert_eq!(decoder.unfinished(), None);
    decoder.feed(&mut [0x02, 1, b'c'], usize::MAX, &mut out).unwrap();
    let message = decoder.unfinished().unwrap();
    assert_ne!(message, ping);
    // One within the message gives it no more time.
    decoder.feed(&mut [0x89, 0], usize::MAX, &mut out).unwrap();
    assert_eq!(decoder.unfinished(), Some(message));
}

/// Appends a message in fragments.
fn fragmented(encoder: &mut Encoder, out: &mut Vec<u8>, kind: MessageKind, parts: &[&[u8]], compress: bool) {
    let spare = Mutex::default();
    for (index, part) in parts.iter().enumerate() {
        encoder.fragment(out, (index == 0).then_some(kind), part, compress, &spare).unwrap();
        encoder.pong(out, b"between").unwrap();
    }
    encoder.last_fragment(out, parts.is_empty().then_some(kind), compress, &spare).unwrap();
}

/// What was passed on, put together again: each message with its kind.
fn joined(messages: &[Message]) -> Vec<(MessageKind, Vec<u8>)> {
    let (mut whole, mut begun): (Vec<_>, Option<(MessageKind, Vec<u8>)>) = (Vec::new(), None);
    for message in messages {
        let mut own = begun.take().unwrap_or((message.kind, Vec::new()));
        assert_eq!(own.0, message.kind);
        assert!(message.kind == MessageKind::Binary || std::str::from_utf8(&message.payload).is_ok());
        assert!(message.fin || !message.payload.is_empty());
        own.1.extend_from_slice(&message.payload);
        if message.fin { whole.push(own) } else { begun = Some(own) }
    }
    assert_eq!(begun, None);
    whole
}

#[test]
fn s37_fragments_split_at_every_byte_are_the_same_messages() {
    let text = "grüße 🦀 ".repeat(4);
    let (a, b) = text.as_bytes().split_at(9); // within the crab
    for (takeover, compress) in [(false, false), (false, true), (true, true)] {
        let (mut encoder, _) = compressing(takeover);
        let mut stream = Vec::new();
        fragmented(&mut encoder, &mut stream, MessageKind::Text, &[a, b], compress);
        encoder
            .message(&mut stream, MessageKind::Text, text.as_bytes(), compress, &Mutex::default())
            .unwrap();
        fragmented(&mut encoder, &mut stream, MessageKind::Binary, &[], compress);
        fragmented(&mut encoder, &mut stream, MessageKind::Binary, &[b"x", a, a, a], compress);
        let expected = [
            (MessageKind::Text, text.clone().into_bytes()),
            (MessageKind::Text, text.clone().into_bytes()),
            (MessageKind::Binary, Vec::new()),
            (MessageKind::Binary, [b"x", a, a, a].concat()),
        ];
        for at in 0..=stream.len() {
            let (_, mut whole) = compressing(takeover);
            let out = feed_all(&mut whole, &[&stream[..at], &stream[at..]]).unwrap();
            assert!(out.messages.iter().all(|m| m.fin));
            assert_eq!(joined(&out.messages), expected);
            let (_, mut passing) = compressing(takeover);
            passing.pass_on_fragments();
            let out = feed_all(&mut passing, &[&stream[..at], &stream[at..]]).unwrap();
            assert!(out.messages.len() > 4);
            assert_eq!(joined(&out.messages), expected);
            assert_eq!(passing.unfinished(), None);
        }
    }
}

#[test]
fn s37_a_message_larger_than_memory_costs_what_has_not_been_taken() {
    let part: Vec<u8> = (0..100_000u64).map(|i| (i * i / 7) as u8).collect();
    for compress in [false, true] {
        let receive = Window { bits: 15, takeover: false };
        let mut encoder = Encoder::new(Role::Server);
        encoder.compress(Deflater::new(receive, 1), 0);
        let inflater = Some(Box::new(Inflater::new(receive)));
        let mut decoder = Decoder::new(Role::Client, 40_000_000, inflater);
        decoder.pass_on_fragments();
        let (spare, mut got) = (Mutex::default(), 0);
        for index in 0..400 {
            let mut stream = Vec::new();
            let kind = (index == 0).then_some(MessageKind::Binary);
            encoder.fragment(&mut stream, kind, &part, compress, &spare).unwrap();
            for message in feed_all(&mut decoder, &[&stream]).unwrap().messages {
                assert!(message.payload.capacity() <= message.payload.len() + limits::MESSAGE_COST);
                assert_eq!(message.payload, part[got % part.len()..][..message.payload.len()]);
                got += message.payload.len();
            }
            let held = decoder.message.as_ref().map_or(0, |m| m.payload.capacity());
            assert!(held <= 2 * limits::READ_BUFFER, "{held}");
        }
        assert_eq!(got, 40_000_000);
        // `max_message_size` counts all of it.
        let mut stream = Vec::new();
        encoder.fragment(&mut stream, None, &part, compress, &spare).unwrap();
        let refused = decoder.feed(&mut stream, usize::MAX, &mut Incoming::default());
        assert_eq!(refused.unwrap_err().code, 1009);
    }
}

#[test]
fn s37_fragments_are_bounded_only_where_they_are_kept() {
    for passing in [false, true] {
        let mut decoder = Decoder::new(Role::Client, 1000, None);
        if passing {
            decoder.pass_on_fragments();
        }
        let mut stream = [&[0x02, 0][..], &[0x00, 0].repeat(limits::MAX_FRAGMENTS as usize)].concat();
        let mut out = Incoming::default();
        let refused = decoder.feed(&mut stream, usize::MAX, &mut out).err().map(|v| v.code);
        assert_eq!((refused, out.messages.len()), (if passing { None } else { Some(1009) }, 0));
        // Empty ones are no progress.
        assert_eq!(decoder.unfinished(), Some(0));
    }
}
