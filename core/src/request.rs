//! The request of an opening handshake, kept small: one buffer and the places in it.

use std::{net::SocketAddr, ops::Range};

use crate::headers::Header;

/// What a connection was asked for with.
#[derive(Default)]
pub struct Request {
    bytes: Box<[u8]>,
    path: Range<u16>,
    query: Range<u16>,
    subprotocol: Range<u16>,
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
        Request { bytes: bytes.into(), path, query, subprotocol, headers, peer }
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
        self.part(&self.subprotocol)
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
