//! Frames out: each message becomes one frame, appended to a connection's out-buffer.

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::{
    Close, MessageKind, NO_CODE, Role,
    mask::{self, Keys},
};
use crate::error::{Error, Kind, Result};

/// Encodes what one side sends.
pub(crate) struct Encoder {
    /// A client's masking keys; None for a server.
    keys: Option<Keys>,
}

impl Encoder {
    pub(crate) fn new(role: Role) -> Encoder {
        Encoder { keys: (role == Role::Client).then(Keys::default) }
    }

    /// Appends a data message.
    pub(crate) fn message(&mut self, out: &mut Vec<u8>, kind: MessageKind, payload: &[u8]) -> Result<()> {
        let data = match kind {
            MessageKind::Text => Data::Text,
            MessageKind::Binary => Data::Binary,
        };
        self.frame(out, OpCode::Data(data), payload)
    }

    /// Appends a pong (RFC 6455, 5.5.3).
    pub(crate) fn pong(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<()> {
        self.frame(out, OpCode::Control(Control::Pong), payload)
    }

    /// Appends a close frame (RFC 6455, 5.5.1).
    pub(crate) fn close(&mut self, out: &mut Vec<u8>, close: &Close) -> Result<()> {
        let mut payload = Vec::new();
        if close.code != NO_CODE {
            payload.extend_from_slice(&close.code.to_be_bytes());
            payload.extend_from_slice(close.reason.as_bytes());
        }
        self.frame(out, OpCode::Control(Control::Close), &payload)
    }

    fn frame(&mut self, out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) -> Result<()> {
        let mask = match &mut self.keys {
            Some(keys) => Some(keys.next()?),
            None => None,
        };
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        out.reserve(header.len(payload.len() as u64) + payload.len());
        header
            .format(payload.len() as u64, out)
            .map_err(|e| Error::new(Kind::Internal, format!("encode a frame: {e}")))?;
        let start = out.len();
        out.extend_from_slice(payload);
        if let Some(key) = mask {
            mask::apply(&mut out[start..], key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_sends_the_rfcs_examples() {
        let mut encoder = Encoder::new(Role::Server);
        let mut out = Vec::new();
        encoder.message(&mut out, MessageKind::Text, b"Hello").unwrap();
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        encoder.message(&mut out, MessageKind::Binary, &[7; 256]).unwrap();
        assert_eq!(out[..4], [0x82, 0x7e, 0x01, 0x00]);
        out.clear();
        encoder.message(&mut out, MessageKind::Binary, &[7; 65536]).unwrap();
        assert_eq!(out[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        out.clear();
        encoder.close(&mut out, &Close::new(NO_CODE, "")).unwrap();
        encoder.close(&mut out, &Close::new(1000, "ok")).unwrap();
        assert_eq!(out, [0x88, 0x00, 0x88, 0x04, 0x03, 0xe8, b'o', b'k']);
    }

    #[test]
    fn a_client_masks_with_a_new_key_each_time() {
        let mut encoder = Encoder::new(Role::Client);
        let mut out = Vec::new();
        encoder.message(&mut out, MessageKind::Text, b"Hello").unwrap();
        encoder.message(&mut out, MessageKind::Text, b"Hello").unwrap();
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
