//! Frames out: each message becomes one frame, appended to a connection's out-buffer.

use super::{
    Close, MessageKind, NO_CODE, Role,
    deflate::{Deflater, Spare},
    frame::{Header, MAX_HEADER, Opcode},
    mask::{self, Keys},
};
use crate::{error::Result, lock::Mutex};

/// The key that a payload is masked with; None for a server's.
pub(crate) type Masked = Option<[u8; 4]>;

/// Encodes what one side sends.
pub(crate) struct Encoder {
    /// A client's masking keys; None for a server.
    keys: Option<Keys>,
    /// Where compression was agreed on (RFC 7692).
    compressor: Option<Box<Compressor>>,
}

/// What makes messages smaller.
struct Compressor {
    deflater: Deflater,
    /// Whether what was compressed must be sent, because what follows may refer to it.
    binding: bool,
    /// Smaller messages are sent as they are.
    min_size: usize,
}

impl Encoder {
    pub(crate) fn new(role: Role) -> Encoder {
        Encoder { keys: (role == Role::Client).then(Keys::default), compressor: None }
    }

    /// From now on, messages of so many bytes and more are compressed.
    pub(crate) fn compress(&mut self, deflater: Deflater, min_size: usize) {
        let binding = deflater.takes_over();
        self.compressor = Some(Box::new(Compressor { deflater, binding, min_size }));
    }

    /// Appends a data message; compressed, if that was agreed on, pays and is `wanted`.
    pub(crate) fn message(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        payload: &[u8],
        wanted: bool,
        spare: &Mutex<Spare>,
    ) -> Result<()> {
        if let Some(c) = &mut self.compressor
            && wanted
            && payload.len() >= c.min_size
        {
            let start = out.len();
            let mut spare = spare.lock();
            c.deflater.message(payload, out, &mut spare)?;
            drop(spare);
            if c.binding || out.len() - start < payload.len() {
                let header = self.header(Opcode::Data(kind), out.len() - start, true)?;
                if let Some(key) = header.mask {
                    mask::apply(&mut out[start..], key);
                }
                let mut head = Vec::with_capacity(MAX_HEADER);
                header.write(&mut head);
                out.splice(start..start, head);
                return Ok(());
            }
            out.truncate(start);
        }
        self.frame(out, Opcode::Data(kind), payload)
    }

    /// Window bits and level of what a message of this size is compressed with; None: it is not.
    pub(super) fn setting(&self, length: usize, wanted: bool) -> Option<(u8, u8)> {
        self.compressor.as_ref().filter(|c| wanted && length >= c.min_size).map(|c| c.deflater.setting())
    }

    /// What was sent before is not referred to any more.
    pub(super) fn forget_window(&mut self) {
        if let Some(compressor) = &mut self.compressor {
            compressor.deflater.reset();
        }
    }

    pub(crate) fn compresses(&self) -> bool {
        self.compressor.is_some()
    }

    /// Appends a fragment of a message (RFC 6455, 5.4), the first if it has a kind. All of a message
    /// are compressed, or none is.
    pub(crate) fn fragment(
        &mut self,
        out: &mut Vec<u8>,
        kind: Option<MessageKind>,
        payload: &[u8],
        compressed: bool,
        spare: &Mutex<Spare>,
    ) -> Result<()> {
        let opcode = kind.map_or(Opcode::Continuation, Opcode::Data);
        let Some(c) = self.compressor.as_mut().filter(|_| compressed) else {
            let header = self.header(opcode, payload.len(), false)?;
            append(out, Header { fin: false, ..header }, payload);
            return Ok(());
        };
        let mut deflated = Vec::new();
        c.deflater.fragment(payload, &mut deflated, &mut spare.lock())?;
        let header = self.header(opcode, deflated.len(), kind.is_some())?;
        append(out, Header { fin: false, ..header }, &deflated);
        Ok(())
    }

    /// Appends the last fragment of a message, which is empty.
    pub(crate) fn last_fragment(
        &mut self,
        out: &mut Vec<u8>,
        kind: Option<MessageKind>,
        compressed: bool,
        spare: &Mutex<Spare>,
    ) -> Result<()> {
        let opcode = kind.map_or(Opcode::Continuation, Opcode::Data);
        let mut payload: &[u8] = b"";
        if let Some(c) = self.compressor.as_mut().filter(|_| compressed) {
            c.deflater.end_fragments(&mut spare.lock());
            payload = &[0x00]; // RFC 7692, 7.2.3.6
        }
        let header = self.header(opcode, payload.len(), compressed && kind.is_some())?;
        append(out, header, payload);
        Ok(())
    }

    /// Appends the header of a fragment that is not the last, as `message_header` does.
    pub(crate) fn fragment_header(
        &mut self,
        out: &mut Vec<u8>,
        kind: Option<MessageKind>,
        length: usize,
        compressed: bool,
    ) -> Result<Option<Masked>> {
        let opcode = kind.map_or(Opcode::Continuation, Opcode::Data);
        if compressed { Ok(None) } else { self.header_alone(out, opcode, false, length).map(Some) }
    }

    fn header_alone(
        &mut self,
        out: &mut Vec<u8>,
        opcode: Opcode,
        fin: bool,
        length: usize,
    ) -> Result<Masked> {
        let header = self.header(opcode, length, false)?;
        Header { fin, ..header }.write(out);
        Ok(header.mask)
    }

    pub(super) fn masks(&self) -> bool {
        self.keys.is_some()
    }

    /// Appends the header of a data message alone, whose payload is to follow; says how that is masked.
    /// None, and nothing appended, where it is compressed.
    pub(crate) fn message_header(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        length: usize,
        wanted: bool,
    ) -> Result<Option<Masked>> {
        if self.setting(length, wanted).is_some() {
            return Ok(None);
        }
        self.header_alone(out, Opcode::Data(kind), true, length).map(Some)
    }

    /// Appends a ping (RFC 6455, 5.5.2).
    pub(crate) fn ping(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<()> {
        self.frame(out, Opcode::Ping, payload)
    }

    /// Appends a pong (RFC 6455, 5.5.3).
    pub(crate) fn pong(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<()> {
        self.frame(out, Opcode::Pong, payload)
    }

    /// Appends a close frame (RFC 6455, 5.5.1).
    pub(crate) fn close(&mut self, out: &mut Vec<u8>, close: &Close) -> Result<()> {
        let mut payload = Vec::new();
        if close.code != NO_CODE {
            payload.extend_from_slice(&close.code.to_be_bytes());
            payload.extend_from_slice(close.reason.as_bytes());
        }
        self.frame(out, Opcode::Close, &payload)
    }

    pub(super) fn header(&mut self, opcode: Opcode, length: usize, compressed: bool) -> Result<Header> {
        let mask = match &mut self.keys {
            Some(keys) => Some(keys.next()?),
            None => None,
        };
        Ok(Header { opcode, fin: true, compressed, mask, length: length as u64 })
    }

    fn frame(&mut self, out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) -> Result<()> {
        let header = self.header(opcode, payload.len(), false)?;
        append(out, header, payload);
        Ok(())
    }
}

/// What of a payload is copied at a time: for so little, libraries don't use `rep movsb`, which some
/// processors slow down where it copies to a few bytes behind its source, pages apart or not; a header of
/// 2 to 14 bytes before the payload is enough for that.
const PART: usize = 2048;

/// Appends a frame.
#[inline]
pub(super) fn append(out: &mut Vec<u8>, header: Header, payload: &[u8]) {
    out.reserve(MAX_HEADER + payload.len());
    header.write(out);
    match header.mask {
        Some(key) => mask::append(out, payload, key),
        None => payload.chunks(PART).for_each(|part| out.extend_from_slice(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_sends_the_rfcs_examples() {
        let (mut encoder, spare) = (Encoder::new(Role::Server), Mutex::default());
        let mut out = Vec::new();
        encoder.message(&mut out, MessageKind::Text, b"Hello", true, &spare).unwrap();
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        encoder.message(&mut out, MessageKind::Binary, &[7; 256], true, &spare).unwrap();
        assert_eq!(out[..4], [0x82, 0x7e, 0x01, 0x00]);
        out.clear();
        encoder.message(&mut out, MessageKind::Binary, &[7; 65536], true, &spare).unwrap();
        assert_eq!(out[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        out.clear();
        encoder.close(&mut out, &Close::new(NO_CODE, "")).unwrap();
        encoder.close(&mut out, &Close::new(1000, "ok")).unwrap();
        assert_eq!(out, [0x88, 0x00, 0x88, 0x04, 0x03, 0xe8, b'o', b'k']);
    }

    #[test]
    fn a_client_masks_with_a_new_key_each_time() {
        let (mut encoder, spare) = (Encoder::new(Role::Client), Mutex::default());
        let mut out = Vec::new();
        encoder.message(&mut out, MessageKind::Text, b"Hello", true, &spare).unwrap();
        encoder.message(&mut out, MessageKind::Text, b"Hello", true, &spare).unwrap();
        let (a, b) = out.split_at(11);
        assert_eq!((a[..2].to_vec(), b[..2].to_vec()), (vec![0x81, 0x85], vec![0x81, 0x85]));
        assert_ne!(a[2..6], b[2..6]);
        for frame in [a, b] {
            let mut payload = frame[6..].to_vec();
            mask::apply(&mut payload, [frame[2], frame[3], frame[4], frame[5]]);
            assert_eq!(payload, b"Hello");
        }
    }
}
