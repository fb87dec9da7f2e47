//! What goes without a proxy: the variable `no_proxy`.

use std::net::IpAddr;

/// Whether a host is this machine by its name or address: such a connect goes through a proxy of
/// the environment never, as browsers have it.
pub(super) fn is_local(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => {
            let host = host.trim_end_matches('.');
            host.eq_ignore_ascii_case("localhost") || ends_with_label(host, "localhost")
        }
    }
}

/// Whether a list names this host. Its elements stand between commas or spaces: `*`; a name, which
/// stands for the names below it as well, with or without a dot before it; an IP address; a network
/// as `10.0.0.0/8`. All but `*` and networks may be followed by `:port`.
pub(super) fn matches(list: &str, host: &str, port: u16) -> bool {
    let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    let mut elements = list.split([',', ' ', '\t']).filter(|element| !element.is_empty());
    elements.any(|element| {
        if element == "*" {
            return true;
        }
        let (name, wanted) = split_port(element);
        if wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        match (ip, name.parse::<IpAddr>(), name.split_once('/')) {
            (Some(ip), Ok(other), _) => ip == other.to_canonical(),
            (Some(ip), _, Some((network, bits))) => is_within(ip, network, bits),
            (Some(_), ..) => false,
            (None, ..) => {
                let (name, host) = (name.trim_matches('.'), host.trim_end_matches('.'));
                !name.is_empty() && (host.eq_ignore_ascii_case(name) || ends_with_label(host, name))
            }
        }
    })
}

/// `host`, `host:port`, `[ip]`, `[ip]:port`, or an IPv6 address without brackets.
fn split_port(element: &str) -> (&str, Option<u16>) {
    if let Some((ip, rest)) = element.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (ip, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match element.split_once(':') {
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (element, None),
        },
        _ => (element, None),
    }
}

/// Whether `host` is below `name`.
fn ends_with_label(host: &str, name: &str) -> bool {
    let Some(at) = host.len().checked_sub(name.len()).filter(|at| *at > 0) else { return false };
    let (below, end) = host.as_bytes().split_at(at);
    below.ends_with(b".") && end.eq_ignore_ascii_case(name.as_bytes())
}

fn is_within(ip: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let (ip, network, width) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => (u128::from(ip.to_bits()), network.to_bits().into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    // A network of 0 bits is everything.
    bits <= width && (ip ^ network).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s06_no_proxy_lists_names_addresses_and_networks() {
        for (list, host, port, expected) in [
            ("", "a", 80, false),
            ("*", "a", 80, true),
            ("x, a.test\tb", "A.Test", 80, true),
            ("a.test", "b.a.test", 80, true),
            ("a.test", "ba.test", 80, false),
            (".a.test", "b.a.test", 80, true),
            (".a.test", "a.test", 80, true),
            ("b.a.test", "a.test", 80, false),
            ("a.test.", "a.test", 80, true),
            ("a.test", "a.test.", 80, true),
            ("a.test:81", "a.test", 81, true),
            ("a.test:81", "a.test", 80, false),
            ("a.test:x", "a.test", 80, false),
            (".", "a", 80, false),
            (",,", "a", 80, false),
            ("test", "10.0.0.1", 80, false),
            ("1", "10.0.0.1", 80, false),
            ("10.0.0.1", "10.0.0.1", 80, true),
            ("10.0.0.1:81", "10.0.0.1", 80, false),
            ("10.0.0.1", "10.0.0.11", 80, false),
            ("10.0.0.0/8", "10.200.0.1", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("10.1.2.3/32", "10.1.2.3", 80, true),
            ("10.1.2.3/33", "10.1.2.3", 80, false),
            ("0.0.0.0/0", "10.1.2.3", 80, true),
            ("::/0", "10.1.2.3", 80, false),
            ("::/0", "2001:db8::1", 80, true),
            ("2001:db8::/32", "2001:db8:1::1", 80, true),
            ("2001:db8::/32", "2001:db9::1", 80, false),
            ("2001:db8::1", "2001:db8::1", 80, true),
            ("[2001:db8::1]:81", "2001:db8::1", 81, true),
            ("[2001:db8::1]:81", "2001:db8::1", 80, false),
            ("10.0.0.0/x", "10.0.0.0", 80, false),
            ("\u{e9}\u{e9}", "b\u{e9}", 80, false),
        ] {
            assert_eq!(matches(list, host, port), expected, "{list:?} {host} {port}");
        }
    }

    #[test]
    fn s06_this_machine_goes_without_a_proxy_of_the_environment() {
        for local in
            ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
        {
            assert!(is_local(local), "{local}");
        }
        for other in ["localhost.test", "alocalhost", "10.0.0.1", "::", "128.0.0.1"] {
            assert!(!is_local(other), "{other}");
        }
    }
}
