//! How many clients a listener has at a time, in all and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use crate::{
    lock::{Mutex, MutexGuard},
    options::Options,
    protocol::Refusal,
};

/// Counts a listener's connections, from before they open until their sockets are closed.
pub(crate) struct Admission {
    /// 0: as many as come.
    max: u32,
    max_per_address: u32,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// The place of a connection among those that are let in.
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    /// None where addresses are not counted.
    address: Option<IpAddr>,
}

impl Admission {
    pub(crate) fn new(options: &Options) -> Admission {
        Admission {
            max: options.max_connections,
            max_per_address: options.max_connections_per_address,
            inside: Mutex::default(),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock()
    }

    /// Lets a client in; or says what it is to be answered. A Unix socket has no address.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Admitted, Refusal> {
        let address = address.filter(|_| self.max_per_address > 0).map(network);
        let mut inside = self.inside();
        if self.max > 0 && inside.all >= self.max {
            return Err(Refusal::new(503, "The server has as many connections as it takes.\n"));
        }
        if let Some(address) = address {
            let count = inside.by_address.entry(address).or_default();
            if *count >= self.max_per_address {
                return Err(Refusal::new(429, "There are too many connections from this address.\n"));
            }
            *count += 1;
        }
        inside.all += 1;
        Ok(Admitted { admission: self.clone(), address })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut inside = self.admission.inside();
        inside.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = inside.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                inside.by_address.remove(&address);
            }
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, of which one host has as many as it
/// likes (RFC 4291, 2.5.1).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max: u32, max_per_address: u32) -> Arc<Admission> {
        Arc::new(Admission { max, max_per_address, inside: Mutex::default() })
    }

    fn status(result: Result<Admitted, Refusal>) -> u16 {
        result.err().map_or(101, |refusal| refusal.status)
    }

    #[test]
    fn s30_places_are_counted_and_given_back() {
        let (both, a, b) = (admission(3, 2), "10.0.0.1".parse().ok(), "10.0.0.2".parse().ok());
        let first = both.admit(a).ok().unwrap();
        let _second = both.admit(a).ok().unwrap();
        assert_eq!(status(both.admit(a)), 429);
        let _third = both.admit(b).ok().unwrap();
        assert_eq!(status(both.admit(b)), 503);
        drop(first);
        let _fourth = both.admit(a).ok().unwrap();
        assert_eq!(status(both.admit(a)), 503);
        drop(_second);
        assert_eq!(status(both.admit(None)), 101);
        drop((_third, _fourth));
        assert!(both.inside().by_address.is_empty() && both.inside().all == 0);
    }

    #[test]
    fn s30_addresses_of_one_network_count_together() {
        let of = |text: &str| text.parse().ok();
        let one = admission(0, 1);
        let _first = one.admit(of("2001:db8::1")).ok().unwrap();
        assert_eq!(status(one.admit(of("2001:db8::ffff:1"))), 429);
        assert_eq!(status(one.admit(of("2001:db8:0:1::1"))), 101);
        let _second = one.admit(of("::ffff:10.0.0.1")).ok().unwrap();
        assert_eq!(status(one.admit(of("10.0.0.1"))), 429);
        assert_eq!(status(one.admit(None)), 101);
    }
}
