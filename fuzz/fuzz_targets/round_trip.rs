//! What one side encodes, the other decodes, whatever compression the two have agreed on and
//! however the bytes are cut.
#![no_main]

use coromega_ws_core::{
    Message, MessageKind,
    fuzzing::{Decoding, Encoding, accept, check_answer, offer},
};
use coromega_ws_fuzz::{Cuts, Input, feed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let is_client = flags & 1 != 0;
    let level = 1 + (flags >> 1) % 9;
    let (client, server) = (input.direction(), input.direction());
    let (client, server) = ((client.0.max(9), client.1), (server.0.max(9), server.1));
    let cuts = [input.byte(), input.byte()];

    // The server's and the client's view of what was agreed on.
    let agreed = (flags & 0x20 != 0).then(|| {
        let (theirs, answer) =
            accept(&[offer(client).as_bytes()], server).expect("well formed").expect("ours");
        let ours = check_answer(&[answer.as_bytes()], client).expect("a good answer").expect("agreed");
        if is_client { (ours.0, theirs.1) } else { (theirs.0, ours.1) }
    });
    let mut encoding = Encoding::new(is_client, agreed.map(|(send, _)| (send, level)));
    let mut decoding = Decoding::new(!is_client, 1 << 20, agreed.map(|(_, receive)| receive));

    let (mut sent, mut bytes) = (Vec::new(), Vec::new());
    while !input.0.is_empty() {
        // Lengths up to 16 KiB, of which all beyond the input's own bytes repeats them.
        let control = input.byte();
        let length = usize::from(input.byte());
        let seed = input.take(length);
        let times = [1, 1, 2, 64][usize::from(control & 3)];
        let payload = seed.repeat(times);
        let is_text = control & 4 != 0 && str::from_utf8(&payload).is_ok();
        let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
        if control & 16 != 0 {
            let parts: Vec<_> = payload.chunks(1 + usize::from(control >> 5) * 100).collect();
            assert!(encoding.fragments(&mut bytes, kind, &parts, control & 8 == 0));
        } else {
            assert!(encoding.message(&mut bytes, kind, &payload, control & 8 == 0));
        }
        sent.push(Message { kind, fin: true, payload });
    }
    assert!(encoding.close(&mut bytes, 4999, "end"));
    feed(&mut decoding, &bytes, &Cuts::Pieces(&cuts), flags & 0x40 != 0, 4096);
    assert_eq!(decoding.violation, None);
    assert_eq!(decoding.messages, sent);
    assert_eq!(decoding.close, Some((4999, "end".into())));
    assert!(!decoding.is_within());
});
