//! Addresses: what is shown leads to the same place again, and no password is ever in it.
#![no_main]

use coromega_ws_core::fuzzing::address;
use libfuzzer_sys::fuzz_target;

const PASSWORD: &str = "z0p3nS3sam3";

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

    // The same with a password, wherever the host begins.
    let Ok(text) = str::from_utf8(data) else { return };
    let Some((scheme, rest)) = text.split_once("://") else { return };
    let user_end = rest.find('|').unwrap_or(0);
    let user: String = rest[..user_end].chars().filter(|c| !"/?#@\\:".contains(*c)).collect();
    let host = &rest[user_end..];
    // With a slash before it, it is no user's.
    if text.contains(&PASSWORD[..4]) || scheme.contains('/') {
        return;
    }
    let with_password = format!("{scheme}://{user}:{PASSWORD}@{host}");
    let told = match address(with_password.as_bytes()) {
        Ok((shown, ..)) => shown,
        Err(text) => text,
    };
    assert!(!told.contains(&PASSWORD[..4]), "{told}");
});
