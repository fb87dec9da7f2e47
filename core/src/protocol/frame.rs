//! Frame headers (RFC 6455, 5.2).

use super::{MessageKind, Role, decoder::Violation};

/// The longest header: two bytes, an extended length, a masking key.
pub(crate) const MAX_HEADER: usize = 14;

/// What a frame is (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Data(MessageKind),
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Data(MessageKind::Text),
            2 => Opcode::Data(MessageKind::Binary),
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Data(kind) => kind as u8,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub opcode: Opcode,
    pub fin: bool,
    /// RSV1: the message is compressed (RFC 7692, 6).
    pub compressed: bool,
    pub mask: Option<[u8; 4]>,
    pub length: u64,
}

impl Header {
    /// Reads the header of a frame that is sent to this role; None while bytes of it are missing.
    /// Returns how many bytes it took. What is wrong shows with the first two bytes already.
    #[inline(always)] // for each message
    pub(crate) fn parse(bytes: &[u8], role: Role) -> Result<Option<(Header, usize)>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let wrong = |text| Err(Violation { code: 1002, text });
        let Some(opcode) = Opcode::parse(first & 0x0f) else {
            return wrong("frame has a reserved opcode");
        };
        let (fin, masked, short) = (first & 0x80 != 0, second & 0x80 != 0, second & 0x7f);
        if first & 0x30 != 0 {
            return wrong("frame has a reserved bit");
        }
        let compressed = first & 0x40 != 0;
        if compressed && !matches!(opcode, Opcode::Data(_)) {
            return wrong("frame has a reserved bit");
        }
        if opcode.is_control() && !fin {
            return wrong("control frame is fragmented");
        }
        if opcode.is_control() && short > 125 {
            return wrong("control frame is longer than 125 bytes");
        }
        match (role, masked) {
            (Role::Server, false) => return wrong("frame is not masked"),
            (Role::Client, true) => return wrong("frame is masked"),
            _ => {}
        }
        let (length, rest) = match short {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            _ => (u64::from(short), rest),
        };
        if length >> 63 != 0 {
            return wrong("frame has a length of 2^63 or more");
        }
        if (short == 126 && length < 126) || (short == 127 && length <= u64::from(u16::MAX)) {
            return wrong("frame has a length in more bytes than it needs");
        }
        let (mask, rest) = match (masked, rest.split_first_chunk()) {
            (false, _) => (None, rest),
            (true, Some((key, rest))) => (Some(*key), rest),
            (true, None) => return Ok(None),
        };
        Ok(Some((Header { opcode, fin, compressed, mask, length }, bytes.len() - rest.len())))
    }

    /// Appends the header.
    #[inline(always)] // for each message
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let flags = if self.fin { 0x80 } else { 0 } | if self.compressed { 0x40 } else { 0 };
        let (first, masked) = (self.opcode.bits() | flags, if self.mask.is_some() { 0x80 } else { 0 });
        match self.length {
            0..=125 => out.extend_from_slice(&[first, self.length as u8 | masked]),
            126..=0xffff => {
                let [high, low] = (self.length as u16).to_be_bytes();
                out.extend_from_slice(&[first, 126 | masked, high, low]);
            }
            _ => {
                out.extend_from_slice(&[first, 127 | masked]);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            out.extend_from_slice(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_never_before_it_is_whole() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, (1 << 63) - 1] {
            for (mask, role) in [(None, Role::Client), (Some([1, 2, 3, 4]), Role::Server)] {
                for compressed in [false, true] {
                    let opcode = Opcode::Data(MessageKind::Text);
                    let header = Header { opcode, fin: true, compressed, mask, length };
                    let mut bytes = Vec::new();
                    header.write(&mut bytes);
                    for part in 0..bytes.len() {
                        assert_eq!(Header::parse(&bytes[..part], role), Ok(None));
                    }
                    bytes.push(9);
                    assert_eq!(Header::parse(&bytes, role), Ok(Some((header, bytes.len() - 1))));
                }
            }
        }
    }

    #[test]
    fn s26_what_the_rfc_forbids_is_refused_from_two_bytes_on() {
        for bad in [
            [0x91, 0x00], // RSV3
            [0xa1, 0x00], // RSV2
            [0xc0, 0x00], // RSV1 on a continuation
            [0xc9, 0x00], // RSV1 on a ping
            [0x83, 0x00],
            [0x8b, 0x00],
            [0x09, 0x00], // a fragmented ping
            [0x89, 0x7e], // a long ping
            [0x81, 0x80], // masked, to a client
        ] {
            assert_eq!(Header::parse(&bad, Role::Client).unwrap_err().code, 1002, "{bad:x?}");
        }
        assert_eq!(Header::parse(&[0x81, 0x00], Role::Server).unwrap_err().code, 1002);
        for bad in [&[0x81, 126, 0, 125][..], &[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]] {
            assert_eq!(Header::parse(bad, Role::Client).unwrap_err().code, 1002, "{bad:x?}");
        }
        let huge = [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Header::parse(&huge, Role::Client).unwrap_err().code, 1002);
    }
}
