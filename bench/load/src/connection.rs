//! One connection: its socket, TLS where it is asked for, the upgrade, and what waits to be sent.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use socket2::{Domain, SockRef, Socket, Type};

use crate::frames::{Place, Supply};
use crate::parser::{Parser, Seen};

/// The key and what it is answered with, from RFC 6455, section 1.3: a benchmark has no secrets.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// From which rest of a frame on the kernel is told to throw it away: less than a buffer costs more.
const SKIP: u64 = 16 * 1024;
const LARGEST_HEAD: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq)]
pub enum State {
    Upgrading,
    Open,
    Closing,
}

pub struct Connection {
    pub stream: TcpStream,
    tls: Option<Box<rustls::ClientConnection>>,
    pub state: State,
    /// When a message was sent, or the connection was begun: nanoseconds, oldest first.
    pub stamps: VecDeque<u64>,
    /// Messages that may be sent, from the first on.
    pub target: u64,
    place: Place,
    /// What has come back without WebSocket.
    back: Place,
    /// Goes before messages: the upgrade, control frames.
    pub waiting: Vec<u8>,
    /// Of the response, as far as it has come.
    head: Vec<u8>,
    compress: bool,
    parser: Parser,
}

/// How to connect.
pub struct Route {
    pub address: SocketAddrV4,
    pub request: Vec<u8>,
    pub compress: bool,
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Route {
    pub fn new(address: SocketAddrV4, compress: bool, tls: Option<Arc<rustls::ClientConfig>>) -> Route {
        let extension = if compress { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extension}\r\n",
            address.port()
        );
        Route { address, request: request.into_bytes(), compress, tls }
    }
}

impl Connection {
    /// Connects from 127.0.0.1 and `source` above it: a pair of addresses has 28,000 ports only.
    pub fn new(route: &Route, source: u32, raw: bool) -> io::Result<Connection> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        if source > 0 {
            let from = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + source);
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        socket.connect(&route.address.into())?;
        socket.set_nonblocking(true)?;
        let tls = match &route.tls {
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Some(Box::new(rustls::ClientConnection::new(config.clone(), name).map_err(io::Error::other)?))
            }
            None => None,
        };
        Ok(Connection {
            stream: TcpStream::from_std(socket.into()),
            tls,
            state: if raw { State::Open } else { State::Upgrading },
            stamps: VecDeque::new(),
            target: 0,
            place: Place::default(),
            back: Place::default(),
            waiting: if raw { Vec::new() } else { route.request.clone() },
            head: Vec::new(),
            compress: route.compress,
            parser: Parser::new(),
        })
    }

    /// Sends what may be sent and the socket takes.
    pub fn flush(&mut self, supply: &Supply) -> io::Result<()> {
        loop {
            let control = !self.waiting.is_empty() && supply.is_between(&self.place);
            let bytes = if control { &self.waiting } else { supply.next(&self.place, self.target) };
            let sent = match &mut self.tls {
                Some(tls) if bytes.is_empty() && !tls.wants_write() => return Ok(()),
                Some(tls) if bytes.is_empty() => tls.write_tls(&mut self.stream).map(|_| 0),
                Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).write(bytes),
                None if bytes.is_empty() => return Ok(()),
                None => self.stream.write(bytes),
            };
            match sent {
                Ok(n) if control => drop(self.waiting.drain(..n)),
                Ok(n) => drop(supply.advance(&mut self.place, n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Reads until the socket has no more, or to its end where that has come already. Says whether it has
    /// come.
    pub fn receive(&mut self, last: bool, buffer: &mut [u8], seen: &mut Vec<Seen>) -> Result<bool, String> {
        loop {
            let unread = self.parser.unread();
            let skip = self.tls.is_none() && unread >= SKIP;
            let room = if skip { buffer.len().min(unread as usize) } else { buffer.len() };
            let received = match &mut self.tls {
                Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(buffer),
                None if skip => skip_bytes(&self.stream, &mut buffer[..room]),
                None => self.stream.read(buffer),
            };
            let n = match received {
                Ok(0) => return Ok(true),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                    return Ok(true);
                }
                Err(e) => return Err(e.to_string()),
            };
            if skip {
                self.parser.skip(n as u64, seen);
            } else {
                self.received(&buffer[..n], seen)?;
            }
            if n < room && !last && self.tls.is_none() {
                return Ok(false);
            }
        }
    }

    /// Without WebSocket: bytes are counted, and of those that are whole messages, how many.
    pub fn receive_raw(&mut self, buffer: &mut [u8], supply: &Supply) -> Result<u64, String> {
        let mut messages = 0;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the server has ended it".into()),
                Ok(n) => {
                    messages += supply.advance(&mut self.back, n);
                    if n < buffer.len() {
                        return Ok(messages);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(messages),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.to_string()),
            }
        }
    }

    fn received(&mut self, data: &[u8], seen: &mut Vec<Seen>) -> Result<(), String> {
        if self.state != State::Upgrading {
            return self.parser.feed(data, seen);
        }
        self.head.extend(data);
        let Some(end) = self.head.windows(4).position(|part| part == b"\r\n\r\n") else {
            return if self.head.len() > LARGEST_HEAD {
                Err("the response has no end".into())
            } else {
                Ok(())
            };
        };
        let head = String::from_utf8_lossy(&self.head[..end]).into_owned();
        if !head.starts_with("HTTP/1.1 101") || !head.contains(ACCEPT) {
            return Err(format!("the upgrade was refused: {}", head.lines().next().unwrap_or_default()));
        }
        if self.compress && !head.to_lowercase().contains("permessage-deflate") {
            return Err("the server does not compress".into());
        }
        self.state = State::Open;
        let rest = self.head.split_off(end + 4);
        self.head = Vec::new();
        self.parser.feed(&rest, seen)
    }
}

/// Has the kernel throw away what nobody looks at (MSG_TRUNC, tcp(7)).
fn skip_bytes(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: a `MaybeUninit<u8>` is a byte in the same place; the kernel writes no other thing than bytes.
    let room = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
    SockRef::from(stream).recv_with_flags(room, 0x20)
}
