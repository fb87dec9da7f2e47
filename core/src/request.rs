//! The request of an opening handshake, kept small: one buffer and the places in it.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::headers::Header;

/// What a connection was asked for with.
#[derive(Debug, Default)]
pub struct Request {
    bytes: Box<[u8]>,
    path: Range<u16>,
    query: Range<u16>,
    /// Its place in `bytes`: the start, and the end in the upper half. A server chooses late.
    subprotocol: AtomicU32,
    headers: Box<[(Range<u16>, Range<u16>)]>,
    peer: Option<SocketAddr>,
}

impl Request {
    /// `target` is the path with its query. What would not fit into 64 KiB is left out; a
    /// handshake's head is smaller.
    pub(crate) fn new<'a>(
        target: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        subprotocol: &[u8],
        peer: Option<SocketAddr>,
    ) -> Request {
        let mut bytes = Vec::new();
        let mut keep = |text: &[u8]| {
            let (start, end) = (bytes.len(), bytes.len() + text.len());
            if end > usize::from(u16::MAX) {
                return None;
            }
            bytes.extend_from_slice(text);
            Some(start as u16..end as u16)
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = keep(path.as_bytes()).unwrap_or_default();
        let query = keep(query.as_bytes()).unwrap_or_default();
        let subprotocol = keep(subprotocol).unwrap_or_default();
        let headers =
            headers.filter_map(|(name, value)| Some((keep(name.as_bytes())?, keep(value)?))).collect();
        let subprotocol = AtomicU32::new(pack(&subprotocol));
        Request { bytes: bytes.into(), path, query, subprotocol, headers, peer }
    }

    /// For a server: this is the subprotocol. It is one that the request offers.
    pub(crate) fn choose_subprotocol(&self, chosen: &[u8]) {
        // The same bytes anywhere in the request will do.
        let at = (!chosen.is_empty()).then(|| self.bytes.windows(chosen.len()).position(|w| w == chosen));
        if let Some(start) = at.flatten() {
            let range = start as u16..(start + chosen.len()) as u16;
            self.subprotocol.store(pack(&range), Ordering::Release);
        }
    }

    /// The values of a header field, in the order they came.
    pub(crate) fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + Clone {
        let named =
            move |h: &&(Range<u16>, Range<u16>)| self.part(&h.0).eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(named).map(|h| self.part(&h.1))
    }

    fn part(&self, range: &Range<u16>) -> &[u8] {
        self.bytes.get(usize::from(range.start)..usize::from(range.end)).unwrap_or_default()
    }

    /// The path, without the query.
    pub fn path(&self) -> &[u8] {
        self.part(&self.path)
    }

    /// The query, without the `?`.
    pub fn query(&self) -> &[u8] {
        self.part(&self.query)
    }

    /// The subprotocol that was agreed on, or nothing.
    pub fn subprotocol(&self) -> &[u8] {
        let packed = self.subprotocol.load(Ordering::Acquire);
        self.part(&(packed as u16..(packed >> 16) as u16))
    }

    /// How many header fields there are.
    pub fn header_count(&self) -> usize {
        self.headers.len()
    }

    /// A header field, in the order they came.
    pub fn header(&self, index: usize) -> Option<Header<'_>> {
        let (name, value) = self.headers.get(index)?;
        Some(Header { name: self.part(name), value: self.part(value) })
    }

    /// The peer's address, where it is known.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}

fn pack(range: &Range<u16>) -> u32 {
    u32::from(range.end) << 16 | u32::from(range.start)
}
