//! Bytes in, messages out (RFC 6455, 5).

use std::mem;

use super::{
    Close, Message, MessageKind, NO_CODE, PingPayload, Role,
    frame::{Header, MAX_HEADER, Opcode},
    inflate::{InflateError, Inflater},
    mask,
    utf8::{self, Utf8},
};
use crate::{buffers::Stock, limits};

mod likely;

/// What came in with some bytes.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub messages: Vec<Message>,
    /// How much that was: `MESSAGE_COST` for each message, and every byte of a payload.
    pub size: usize,
    /// Pings that want an answer: of too many, the last (RFC 6455, 5.5.3).
    pub pings: Vec<Box<[u8]>>,
    /// The last pong that can answer a ping of ours.
    pub pong: Option<PingPayload>,
    /// The close frame; nothing counts after it.
    pub close: Option<Close>,
    /// Where payloads go.
    pub stock: Stock,
}

impl Incoming {
    fn push(&mut self, kind: MessageKind, fin: bool, payload: Vec<u8>) {
        self.size += limits::MESSAGE_COST;
        self.messages.push(Message { kind, fin, payload });
    }
}

/// A breach of the protocol: the code to close with (RFC 6455, 7.4.1) and what was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub code: u16,
    pub text: &'static str,
}

impl From<InflateError> for Violation {
    fn from(error: InflateError) -> Violation {
        Violation { code: error.code(), text: error.text() }
    }
}

const TOO_BIG: Violation = Violation { code: 1009, text: "message is larger than max_message_size" };
const NOT_UTF8: Violation = Violation { code: 1007, text: "text is not UTF-8" };

/// Decodes what one side receives.
pub(crate) struct Decoder {
    role: Role,
    /// `max_message_size`
    max: usize,
    /// Parts of a message are passed on as they come.
    fragments: bool,
    /// Where compression was agreed on (RFC 7692).
    inflater: Option<Box<Inflater>>,
    /// The beginning of a header whose rest has not come yet.
    begun: [u8; MAX_HEADER],
    begun_length: u8,
    /// The frame whose payload comes: its header, with what is left of its length, and its key as
    /// the next byte needs it.
    frame: Option<Header>,
    /// The payload of a control frame so far.
    control: Vec<u8>,
    message: Option<Box<Assembly>>,
    /// Data messages, or what was passed on of them, and control frames between them.
    completed: u32,
    /// The length of the last message that came in parts.
    last: u32,
    habit: likely::Habit,
}

/// A message of which some frames, or some bytes of a frame, have come.
struct Assembly {
    kind: MessageKind,
    compressed: bool,
    fragments: u32,
    /// The bytes that were passed on.
    passed_on: usize,
    payload: Vec<u8>,
    utf8: Utf8,
}

impl Assembly {
    fn new(kind: MessageKind, compressed: bool, payload: Vec<u8>) -> Assembly {
        Assembly { kind, compressed, fragments: 1, passed_on: 0, payload, utf8: Utf8::default() }
    }

    fn size(&self) -> usize {
        self.passed_on.saturating_add(self.payload.len())
    }
}

impl Decoder {
    pub(crate) fn new(role: Role, max_message_size: u64, inflater: Option<Box<Inflater>>) -> Decoder {
        Decoder {
            role,
            max: usize::try_from(max_message_size).unwrap_or(usize::MAX),
            fragments: false,
            inflater,
            begun: [0; MAX_HEADER],
            begun_length: 0,
            frame: None,
            control: Vec::new(),
            message: None,
            completed: 0,
            last: 0,
            habit: likely::Habit::default(),
        }
    }

    /// From now on, parts of messages are passed on as they come.
    pub(crate) fn pass_on_fragments(&mut self) {
        self.fragments = true;
    }

    /// Whether a frame or a message has begun and is not complete; with a number that is another
    /// one for each message, and for each control frame outside one.
    pub(crate) fn unfinished(&self) -> Option<u32> {
        let begun = self.begun_length > 0 || self.frame.is_some() || self.message.is_some();
        begun.then_some(self.completed)
    }

    /// Whether some of a frame has come, so that no other can come before its rest.
    pub(crate) fn is_within_frame(&self) -> bool {
        self.begun_length > 0 || self.frame.is_some()
    }

    /// Takes bytes as they came, which it unmasks where they are, and adds what is complete.
    /// Returns how many it took: it stops when `out` is larger than `enough`, so that a little that
    /// inflates to much costs no more than that. After a close or a violation nothing more may be
    /// fed.
    pub(crate) fn feed(
        &mut self,
        all: &mut [u8],
        enough: usize,
        out: &mut Incoming,
    ) -> Result<usize, Violation> {
        let mut taken = 0;
        while out.close.is_none() && out.size <= enough {
            let bytes = &all[taken..];
            let frame = match self.frame {
                Some(frame) => frame,
                None => {
                    let Some((header, length)) = self.header(bytes)? else { return Ok(taken + bytes.len()) };
                    taken += length;
                    self.begin(&header)?;
                    header
                }
            };
            let bytes = &mut all[taken..];
            let is_control = frame.opcode.is_control();
            let compressed = !is_control && self.message.as_ref().map_or(frame.compressed, |m| m.compressed);
            let most = if compressed { limits::INFLATE_INPUT } else { usize::MAX };
            let here = usize::try_from(frame.length).unwrap_or(usize::MAX).min(bytes.len()).min(most);
            let payload = &mut bytes[..here];
            taken += here;
            let left = frame.length - here as u64;
            if let Some(key) = frame.mask {
                mask::apply(payload, key);
            }
            self.frame = (left > 0).then(|| Header {
                length: left,
                mask: frame.mask.map(|key| mask::rotated(key, here)),
                ..frame
            });
            if is_control {
                self.control(frame.opcode, payload, left == 0, out)?;
            } else {
                self.data(&frame, payload, left == 0, out)?;
            }
            if taken == all.len() {
                break;
            }
        }
        Ok(taken)
    }

    /// The next header, where it is whole, and how many of these bytes belong to it.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        let had = usize::from(self.begun_length);
        if had == 0
            && let Some(found) = Header::parse(bytes, self.role)?
        {
            return Ok(Some(found));
        }
        let more = bytes.len().min(MAX_HEADER - had);
        self.begun[had..had + more].copy_from_slice(&bytes[..more]);
        self.begun_length += more as u8;
        let Some((header, length)) = Header::parse(&self.begun[..had + more], self.role)? else {
            return Ok(None);
        };
        self.begun_length = 0;
        Ok(Some((header, length - had)))
    }

    /// Checks whether this frame may come now.
    fn begin(&mut self, header: &Header) -> Result<(), Violation> {
        let wrong = |code, text| Err(Violation { code, text });
        if header.opcode.is_control() {
            return Ok(());
        }
        self.habit.saw(header);
        let (fragments, size) = match (&mut self.message, header.opcode) {
            (None, Opcode::Continuation) => return wrong(1002, "continuation without a message"),
            (Some(_), Opcode::Data(_)) => return wrong(1002, "message within a fragmented message"),
            (None, _) => (1, 0),
            (Some(message), _) => {
                message.fragments += 1;
                (message.fragments, message.size())
            }
        };
        if fragments > limits::MAX_FRAGMENTS && !self.fragments {
            return wrong(1009, "message has too many fragments");
        }
        if header.compressed && self.inflater.is_none() {
            return wrong(1002, "frame has a reserved bit");
        }
        let compressed = self.message.as_ref().map_or(header.compressed, |m| m.compressed);
        if !compressed && header.length > self.max.saturating_sub(size) as u64 {
            return Err(TOO_BIG);
        }
        Ok(())
    }

    fn data(
        &mut self,
        frame: &Header,
        piece: &[u8],
        whole: bool,
        out: &mut Incoming,
    ) -> Result<(), Violation> {
        let ends = whole && frame.fin;
        let message = match (self.message.take(), frame.opcode) {
            (None, Opcode::Data(kind)) if ends && !frame.compressed => {
                if kind == MessageKind::Text && !utf8::is_valid(piece) {
                    return Err(NOT_UTF8);
                }
                self.completed = self.completed.wrapping_add(1);
                out.size += piece.len();
                let payload = out.stock.copy(piece);
                out.push(kind, true, payload);
                return Ok(());
            }
            (None, Opcode::Data(kind)) => {
                let payload = out.stock.room(self.room_at_once(frame, piece.len()));
                self.message.insert(Box::new(Assembly::new(kind, frame.compressed, payload)))
            }
            (Some(message), _) => self.message.insert(message),
            (None, _) => return Ok(()),
        };
        let known = message.payload.len();
        match &mut self.inflater {
            Some(inflater) if message.compressed => {
                let most = self.max.saturating_sub(message.passed_on);
                inflater.feed(piece, &mut message.payload, most)?;
                if ends {
                    inflater.finish(&mut message.payload, most)?;
                }
            }
            _ => {
                if ends {
                    // Twice the room for the last few bytes would be had, faulted in and given back.
                    message.payload.reserve_exact(piece.len());
                }
                message.payload.extend_from_slice(piece);
            }
        }
        let new = &message.payload[known..];
        out.size += new.len();
        if message.kind == MessageKind::Text
            && !(message.utf8.feed(new) && (!ends || message.utf8.is_complete()))
        {
            return Err(NOT_UTF8);
        }
        if ends {
            self.complete(out);
        } else if self.fragments {
            self.pass_on(out);
        }
        Ok(())
    }

    /// What there is room for when the first bytes of a message come: for all of it where the message
    /// before was as large, but no more than a few times what has come.
    fn room_at_once(&self, frame: &Header, come: usize) -> usize {
        if frame.compressed || self.fragments {
            return 0;
        }
        (frame.length.min(self.last.into()) as usize).min(come.saturating_mul(limits::ROOM))
    }

    /// Passes on what has come of a message, up to its last whole character.
    fn pass_on(&mut self, out: &mut Incoming) {
        let Some(message) = &mut self.message else { return };
        let begun = message.utf8.begun();
        let length = message.payload.len().saturating_sub(begun);
        if length == 0 {
            return;
        }
        let rest = message.payload.split_off(length);
        let mut part = mem::replace(&mut message.payload, rest);
        part.shrink_to_fit();
        if let Some(inflater) = self.inflater.as_mut().filter(|_| message.compressed) {
            inflater.passed_on(&part);
        }
        message.passed_on = message.passed_on.saturating_add(length);
        self.completed = self.completed.wrapping_add(1);
        out.push(message.kind, false, part);
    }

    fn complete(&mut self, out: &mut Incoming) {
        if let Some(message) = self.message.take() {
            self.completed = self.completed.wrapping_add(1);
            let mut payload = message.payload;
            // One of the stock keeps its room, to go back there.
            if message.compressed || payload.capacity() - payload.len() > payload.len() / 4 {
                payload.shrink_to_fit();
            }
            self.last = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            out.push(message.kind, true, payload);
        }
    }

    /// Where the rest of a large payload may be received in place: the vector to append to, and
    /// how much at most. Its room grows with what has come, not with what was declared.
    pub(crate) fn place(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let frame = self.frame.as_ref().filter(|f| f.length >= limits::IN_PLACE as u64)?;
        let message = self.message.as_mut().filter(|m| !m.compressed && !frame.opcode.is_control())?;
        let left = usize::try_from(frame.length).unwrap_or(usize::MAX);
        let payload = &mut message.payload;
        if payload.capacity() - payload.len() < left.min(limits::IN_PLACE) {
            let proven = payload.len().saturating_mul(limits::ROOM).min(self.last as usize);
            let growth = payload.len().max(limits::READ_BUFFER).max(proven.saturating_sub(payload.len()));
            // A little more where that is all: a small rest would have the whole of it moved.
            payload.reserve_exact(if left <= growth + limits::IN_PLACE { left } else { growth });
        }
        let most = left.min(payload.capacity() - payload.len()).min(limits::FEED);
        Some((payload, most))
    }

    /// Takes the last `count` bytes of what `place` gave.
    pub(crate) fn placed(&mut self, count: usize, out: &mut Incoming) -> Result<(), Violation> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) else { return Ok(()) };
        let start = message.payload.len().saturating_sub(count);
        let piece = &mut message.payload[start..];
        if let Some(key) = frame.mask {
            mask::apply(piece, key);
            frame.mask = Some(mask::rotated(key, count));
        }
        out.size += count;
        frame.length = frame.length.saturating_sub(count as u64);
        let whole = frame.length == 0;
        let ends = whole && frame.fin;
        if message.kind == MessageKind::Text
            && !(message.utf8.feed(piece) && (!ends || message.utf8.is_complete()))
        {
            return Err(NOT_UTF8);
        }
        if whole {
            self.frame = None;
        }
        if ends {
            self.complete(out);
        } else if self.fragments {
            self.pass_on(out);
        }
        Ok(())
    }

    fn control(
        &mut self,
        opcode: Opcode,
        piece: &[u8],
        whole: bool,
        out: &mut Incoming,
    ) -> Result<(), Violation> {
        let stored;
        let payload = if whole && self.control.is_empty() {
            piece
        } else {
            self.control.extend_from_slice(piece);
            if !whole {
                return Ok(());
            }
            stored = mem::take(&mut self.control);
            &stored[..]
        };
        if self.message.is_none() {
            self.completed = self.completed.wrapping_add(1);
        }
        match opcode {
            Opcode::Ping => {
                if out.pings.len() >= limits::WAITING_PONGS {
                    out.pings.clear();
                }
                out.pings.push(payload.into());
            }
            Opcode::Close => out.close = Some(parse_close(payload)?),
            // Unasked ones pass (RFC 6455, 5.5.3).
            _ => out.pong = payload.try_into().ok().or(out.pong),
        }
        Ok(())
    }
}

/// The payload of a close frame (RFC 6455, 5.5.1 and 7.4).
fn parse_close(payload: &[u8]) -> Result<Close, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(Close::new(NO_CODE, "")),
            _ => Err(Violation { code: 1002, text: "close frame of one byte" }),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation { code: 1002, text: "close frame has a code that may not be sent" });
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Close::new(code, reason)),
        Err(_) => Err(Violation { code: 1007, text: "close reason is not UTF-8" }),
    }
}

#[cfg(test)]
mod tests;
