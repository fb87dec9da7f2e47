//! Large messages that come one like the other: the payload of the next one is received in place.

use std::{io, os::fd::BorrowedFd};

use super::{Assembly, Decoder, Incoming, Violation};
use crate::{
    buffers::Stock,
    limits,
    protocol::{
        Role,
        frame::{Header, MAX_HEADER, Opcode},
    },
    sys,
};

/// The length of the last frames, where they are alike.
#[derive(Default)]
pub(super) struct Habit {
    last: u32,
    is_repeated: bool,
}

impl Habit {
    /// A data frame has begun.
    #[inline]
    pub(super) fn saw(&mut self, header: &Header) {
        if header.length >= limits::IN_PLACE as u64 || self.last > 0 {
            self.compare(header);
        }
    }

    fn compare(&mut self, header: &Header) {
        let is_large = (limits::IN_PLACE as u64..=limits::LARGEST_LIKELY as u64).contains(&header.length);
        let length = if is_large && is_whole_message(header) { header.length as u32 } else { 0 };
        self.is_repeated = length > 0 && length == self.last;
        self.last = length;
    }
}

fn is_whole_message(header: &Header) -> bool {
    header.fin && !header.compressed && matches!(header.opcode, Opcode::Data(_))
}

/// Room for a frame that has not come: its header, its payload. What is behind it goes elsewhere.
pub(crate) struct Likely {
    head: [u8; MAX_HEADER],
    head_length: usize,
    pub payload: Vec<u8>,
    length: usize,
}

impl Likely {
    /// How much it takes.
    pub(crate) fn room(&self) -> usize {
        self.head_length + self.length
    }

    /// Receives into it, and what is behind it into `tail`.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, tail: &mut [u8]) -> io::Result<usize> {
        sys::receive_parts(socket, &mut self.head[..self.head_length], &mut self.payload, self.length, tail)
    }

    /// Of so many bytes, those that are behind it.
    pub(crate) fn rest(&self, got: usize) -> usize {
        got.saturating_sub(self.room())
    }

    /// All of them, one after the other.
    pub(crate) fn received(&self, got: usize, rest: &[u8]) -> Vec<u8> {
        [&self.head[..got.min(self.head_length)], &self.payload, rest].concat()
    }
}

impl Decoder {
    /// Whether the last frames were large and alike, and nothing has come of the next.
    pub(crate) fn has_habit(&self) -> bool {
        self.habit.is_repeated && self.unfinished().is_none()
    }

    /// Room for a frame such as the last ones, in place of `feed`'s.
    pub(crate) fn likely(&self, stock: &mut Stock) -> Likely {
        let length = self.habit.last as usize;
        let mask = if self.role == Role::Server { 4 } else { 0 };
        let extended = if length > usize::from(u16::MAX) { 8 } else { 2 };
        let head_length = 2 + extended + mask;
        Likely { head: [0; MAX_HEADER], head_length, payload: stock.room(length), length }
    }

    /// Takes the first of the `got` bytes, which are in this room. Gives it back where they are no such
    /// frame: then they are for `feed`.
    pub(crate) fn take_likely(
        &mut self,
        likely: Likely,
        got: usize,
        out: &mut Incoming,
    ) -> Result<Option<Likely>, Violation> {
        let head = &likely.head[..likely.head_length.min(got)];
        let Ok(Some((header, _))) = Header::parse(head, self.role) else { return Ok(Some(likely)) };
        let Opcode::Data(kind) = header.opcode else { return Ok(Some(likely)) };
        if !is_whole_message(&header) || header.length != likely.length as u64 {
            return Ok(Some(likely));
        }
        self.begin(&header)?;
        let count = likely.payload.len();
        let payload = if count.saturating_mul(limits::ROOM) < likely.length {
            let little = out.stock.copy(&likely.payload);
            out.stock.add(likely.payload);
            little
        } else {
            likely.payload
        };
        self.message = Some(Box::new(Assembly::new(kind, false, payload)));
        self.frame = Some(header);
        self.placed(count, out)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::fd::AsFd, os::unix::net::UnixStream};

    use super::*;
    use crate::{
        lock::Mutex,
        protocol::{Encoder, MessageKind},
    };

    const LENGTHS: [usize; 20] = [
        20_000, 20_000, 20_000, 20_000, 5, 20_000, 20_000, 30_000, 70_000, 70_000, 70_000, 70_001, 70_001,
        70_001, 0, 300, 40_000, 40_000, 40_000, 40_000,
    ];

    fn payload(index: usize, kind: MessageKind) -> Vec<u8> {
        // A character of three bytes lies across whatever boundary there is.
        let byte = |at: usize| if kind == MessageKind::Text { "中".as_bytes()[at % 3] } else { at as u8 };
        let length = LENGTHS[index] - if kind == MessageKind::Text { LENGTHS[index] % 3 } else { 0 };
        (0..length).map(|at| byte(at + if kind == MessageKind::Text { 0 } else { index })).collect()
    }

    /// What comes in such pieces, or message by message where there is no such, received as a driver
    /// does: the messages, and how many had their room.
    fn received(role: Role, kind: MessageKind, pieces: Option<usize>) -> (Vec<Vec<u8>>, usize) {
        let (mut peer, socket) = UnixStream::pair().unwrap();
        let sender = if role == Role::Server { Role::Client } else { Role::Server };
        let (mut encoder, spare) = (Encoder::new(sender), Mutex::default());
        let (mut stream, mut ends) = (Vec::new(), vec![0]);
        for index in 0..LENGTHS.len() {
            encoder.message(&mut stream, kind, &payload(index, kind), true, &spare).unwrap();
            if index % 4 == 2 {
                encoder.pong(&mut stream, b"between").unwrap();
            }
            ends.push(stream.len());
        }
        let parts: Vec<&[u8]> = match pieces {
            Some(pieces) => stream.chunks(pieces).collect(),
            None => ends.windows(2).map(|part| &stream[part[0]..part[1]]).collect(),
        };
        let mut decoder = Decoder::new(role, 1 << 20, None);
        let (mut out, mut bytes, mut fitting) = (Incoming::default(), vec![0; 64 * 1024], 0);
        for piece in parts {
            peer.write_all(piece).unwrap();
            let mut left = piece.len();
            while left > 0 {
                let got = if decoder.has_habit() {
                    let mut likely = decoder.likely(&mut out.stock);
                    let got = likely.receive(socket.as_fd(), &mut bytes).unwrap();
                    let rest = likely.rest(got);
                    match decoder.take_likely(likely, got, &mut out).unwrap() {
                        Some(likely) => {
                            let mut all = likely.received(got, &bytes[..rest]);
                            decoder.feed(&mut all, usize::MAX, &mut out).unwrap();
                        }
                        None => {
                            fitting += 1;
                            decoder.feed(&mut bytes[..rest], usize::MAX, &mut out).unwrap();
                        }
                    }
                    got
                } else if let Some((payload, most)) = decoder.place() {
                    let got = sys::receive_parts(socket.as_fd(), &mut [], payload, most, &mut bytes);
                    let got = got.unwrap();
                    let here = got.min(most);
                    decoder.placed(here, &mut out).unwrap();
                    decoder.feed(&mut bytes[..got - here], usize::MAX, &mut out).unwrap();
                    got
                } else {
                    let got = sys::receive_parts(socket.as_fd(), &mut [], &mut Vec::new(), 0, &mut bytes);
                    let got = got.unwrap();
                    decoder.feed(&mut bytes[..got], usize::MAX, &mut out).unwrap();
                    got
                };
                left -= got;
            }
        }
        assert!(decoder.unfinished().is_none());
        (out.messages.into_iter().map(|message| message.payload).collect(), fitting)
    }

    #[test]
    fn what_is_likely_comes_in_its_room_and_all_else_as_ever() {
        for role in [Role::Client, Role::Server] {
            for kind in [MessageKind::Text, MessageKind::Binary] {
                let sent: Vec<_> = (0..LENGTHS.len()).map(|index| payload(index, kind)).collect();
                let mut fitting = 0;
                let pieces = [1999, 4000, 10_003, 20_008, 20_001, 65_536, 70_014, 90_001].map(Some);
                for pieces in [None].into_iter().chain(pieces) {
                    let (messages, fit) = received(role, kind, pieces);
                    assert!(messages == sent, "{role:?} {kind:?} in pieces of {pieces:?}");
                    fitting += fit;
                }
                assert!(fitting > 4, "{fitting}");
            }
        }
    }

    #[test]
    fn s30_room_of_which_little_is_filled_is_given_back() {
        let (mut peer, socket) = UnixStream::pair().unwrap();
        let (mut encoder, spare) = (Encoder::new(Role::Client), Mutex::default());
        let mut frame = Vec::new();
        encoder.message(&mut frame, MessageKind::Binary, &vec![7; 200_000], true, &spare).unwrap();
        let mut decoder = Decoder::new(Role::Server, 1 << 20, None);
        let mut out = Incoming::default();
        for _ in 0..3 {
            decoder.feed(&mut frame.clone(), usize::MAX, &mut out).unwrap();
        }
        assert!(decoder.has_habit());
        peer.write_all(&frame[..20]).unwrap();
        let mut likely = decoder.likely(&mut out.stock);
        let got = likely.receive(socket.as_fd(), &mut [0; 64]).unwrap();
        assert!(got == 20 && decoder.take_likely(likely, got, &mut out).unwrap().is_none());
        assert!(decoder.message.as_ref().unwrap().payload.capacity() <= 64);
        decoder.feed(&mut frame[20..].to_vec(), usize::MAX, &mut out).unwrap();
        assert!(out.messages.len() == 4 && out.messages.iter().all(|m| m.payload == [7; 200_000]));
    }
}
