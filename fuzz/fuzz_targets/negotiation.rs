//! permessage-deflate's offers and answers: whatever a server answers, the client that asked takes,
//! and neither side sends what the other can't read.
#![no_main]

use coromega_ws_core::fuzzing::{Agreement, accept, check_answer, offer};
use coromega_ws_fuzz::Input;
use libfuzzer_sys::fuzz_target;

const ANYTHING: (u8, bool) = (15, true);

/// Whether what a side sends can be read by the other.
fn fits(client: Agreement, server: Agreement) -> bool {
    let can_read = |send: (u8, bool), receive: (u8, bool)| send.0 <= receive.0 && send.1 <= receive.1;
    can_read(client.0, server.1) && can_read(server.0, client.1)
}

fn is_in_range(agreement: Agreement) -> bool {
    (8..=15).contains(&agreement.0.0) && (8..=15).contains(&agreement.1.0)
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (client, server) = (input.direction(), input.direction());
    let (client, server) = ((client.0.max(9), client.1), (server.0.max(9), server.1));
    // The values of fields, each a line.
    let values: Vec<&[u8]> = input.0.split(|b| *b == b'\n').collect();

    // Anybody's offer to our server.
    if let Ok(Some((agreed, text))) = accept(&values, server) {
        assert!(is_in_range(agreed));
        assert!(agreed.0.0 <= server.0 && agreed.0.1 <= server.1 && agreed.1.1 <= server.1);
        assert!(text.starts_with("permessage-deflate") && text.bytes().all(|b| (b' '..0x7f).contains(&b)));
        let seen = check_answer(&[text.as_bytes()], ANYTHING).expect("a valid answer").expect("an answer");
        assert!(fits(seen, agreed), "{seen:?} {agreed:?}");
    }
    // Anybody's answer to our client.
    if let Ok(Some(agreed)) = check_answer(&values, client) {
        assert!(is_in_range(agreed));
        assert!(agreed.0.0 <= client.0 && agreed.0.1 <= client.1 && agreed.1.1 <= client.1);
        assert!(client.0 == 15 || agreed.1.0 <= client.0);
    }
    // Our client's offer to our server, behind whatever else is offered.
    let ours = offer(client);
    let (theirs, text) = accept(&[ours.as_bytes()], server).expect("well formed").expect("our offer");
    let seen = check_answer(&[text.as_bytes()], client).expect("our answer").expect("an answer");
    assert!(fits(seen, theirs), "{seen:?} {theirs:?}");
    let with_others = [&values[..], &[ours.as_bytes()]].concat();
    let well_formed = accept(&values, server).is_ok();
    assert_eq!(accept(&with_others, server).is_ok(), well_formed);
});
