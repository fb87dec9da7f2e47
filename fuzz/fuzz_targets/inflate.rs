//! Compressed messages: never more than the limit, the same however they are cut, and what another
//! inflater makes of them.
#![no_main]

use coromega_ws_core::fuzzing::Inflating;
use coromega_ws_fuzz::{Input, peak_of};
use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

/// What a flush ends with and permessage-deflate leaves out, and a last block without content.
const END: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];

fn one(inflating: &mut Inflating, message: &[u8], step: usize, max: usize) -> Result<Vec<u8>, u16> {
    let mut out = Vec::new();
    let mut result = Ok(());
    for piece in message.chunks(step) {
        result = inflating.feed(piece, &mut out, max);
        assert!(out.len() <= max && out.capacity() <= max + 1);
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| inflating.finish(&mut out, max));
    assert!(out.len() <= max && out.capacity() <= max + 1);
    if let Err(code) = result {
        assert!(matches!(code, 1007..=1009), "{code}");
    }
    result.map(|()| out)
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let receive = input.direction();
    let max = [0, 100, 4096, 1 << 20][usize::from(input.byte() & 3)];
    let step = 1 + usize::from(input.byte());
    // The messages of one connection.
    let first_length = usize::from(input.byte()) * 4;
    let messages = [input.take(first_length), input.0];

    let (mut whole, mut cut) = (Inflating::new(receive), Inflating::new(receive));
    for (index, message) in messages.into_iter().enumerate() {
        let mut result = Ok(Vec::new());
        let peak = peak_of(|| result = one(&mut whole, message, usize::MAX, max));
        assert!(peak <= 256 * 1024 + 3 * max && peak <= 256 * 1024 + 4 * 1032 * message.len(), "{peak}");
        // How many final blocks are too many depends on how much has come (1008).
        let other = one(&mut cut, message, step, max);
        if other == Err(1008) || result == Err(1008) {
            return;
        }
        assert_eq!(other, result);

        // The other one stops at the first final block.
        if index == 0 && !message.is_empty() {
            let bytes = [message, &END].concat();
            match (decompress_to_vec_with_limit(&bytes, max), &result) {
                (Ok(other), Ok(out)) => assert!(out.starts_with(&other)),
                (Ok(_), Err(_)) => {} // what follows the final block is wrong or too large
                (Err(e), Ok(_)) => panic!("{e:?}"),
                (Err(e), Err(code)) => assert!(e.status != TINFLStatus::HasMoreOutput || *code != 1008),
            }
        }
        if result.is_err() {
            return;
        }
    }
});
