//! Addresses: what is shown leads to the same place again, and no password is ever in it.
#![no_main]

use coromega_ws_core::fuzzing::address;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok((shown, host, port, _)) = address(data) {
        assert!(port > 0 && !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']));
        // The path of a Unix socket is shown as the file's name, not as an address has it.
        if !shown.starts_with("ws+unix:") {
            let again = address(shown.as_bytes()).expect("what is shown is an address");
            assert!(shown.bytes().all(|b| b.is_ascii_graphic()), "{shown}");
            assert_eq!(again, (shown, host, port, None));
        }
    }

    // The same with a password, wherever the host begins: two that differ can't be told apart.
    let Ok(text) = str::from_utf8(data) else { return };
    let Some((scheme, rest)) = text.split_once("://") else { return };
    let user_end = rest.find('|').unwrap_or(0);
    let user: String = rest[..user_end].chars().filter(|c| !"/?#@\\:".contains(*c)).collect();
    let host = &rest[user_end..];
    let told = |password: &str| {
        let text = format!("{scheme}://{user}:{password}@{host}");
        address(text.as_bytes()).map(|(shown, host, port, _)| (shown, host, port))
    };
    assert_eq!(told("0p3nS3sam3"), told("differs..."));
});
