//! A message for many connections: framed once, and compressed once for each way to do it.

use super::{
    MessageKind, Role,
    deflate::{Deflater, Spare},
    encoder::{Encoder, append},
    extension::Window,
    frame::{MAX_HEADER, Opcode},
};
use crate::error::Result;

/// The frames of one message, as far as they have been asked for.
#[derive(Default)]
pub(crate) struct Shared {
    plain: Option<Frame>,
    /// By window bits and level; None where compressing does not pay.
    compressed: Vec<((u8, u8), Option<Frame>)>,
}

/// A frame without a mask.
struct Frame {
    bytes: Vec<u8>,
    /// Bytes of its header.
    header: usize,
    compressed: bool,
}

fn frame(kind: MessageKind, compressed: bool, payload: &[u8]) -> Result<Frame> {
    let header = Encoder::new(Role::Server).header(Opcode::Data(kind), payload.len(), compressed)?;
    let mut bytes = Vec::with_capacity(MAX_HEADER + payload.len());
    append(&mut bytes, header, payload);
    Ok(Frame { header: bytes.len() - payload.len(), bytes, compressed })
}

impl Shared {
    fn compressed(
        &mut self,
        setting: (u8, u8),
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<Option<&mut Frame>> {
        let known = self.compressed.iter().position(|(of, _)| *of == setting);
        let at = match known {
            Some(at) => at,
            None => {
                // From an empty window: it says nothing of what came before, to anybody.
                let window = Window { bits: setting.0, takeover: false };
                let mut out = Vec::new();
                Deflater::new(window, setting.1).message(payload, &mut out, &mut Spare::default())?;
                let pays = out.len() < payload.len();
                let made = if pays { Some(frame(kind, true, &out)?) } else { None };
                self.compressed.push((setting, made));
                self.compressed.len() - 1
            }
        };
        Ok(self.compressed.get_mut(at).and_then(|(_, frame)| frame.as_mut()))
    }
}

impl Encoder {
    /// Appends a message that goes to others, too, or tells of its frame where that need not be
    /// copied: `large` says from which size on.
    pub(crate) fn shared<'a>(
        &mut self,
        out: &mut Vec<u8>,
        (kind, payload, wanted): (MessageKind, &[u8], bool),
        shared: &'a mut Shared,
        large: usize,
    ) -> Result<Option<&'a [u8]>> {
        let Shared { plain, .. } = shared;
        if plain.is_none() {
            *plain = Some(frame(kind, false, payload)?);
        }
        let setting = self.setting(payload.len(), wanted);
        let is_smaller = match setting {
            Some(setting) => shared.compressed(setting, kind, payload)?.is_some(),
            None => false,
        };
        let frame = match setting.filter(|_| is_smaller) {
            Some(setting) => shared.compressed(setting, kind, payload)?,
            None => shared.plain.as_mut(),
        };
        let Some(frame) = frame else { return Ok(None) };
        if frame.compressed {
            // The peer's window has this message now, and ours has not: nothing may refer back.
            self.forget_window();
        }
        if self.masks() {
            let payload = &frame.bytes[frame.header..];
            let header = self.header(Opcode::Data(kind), payload.len(), frame.compressed)?;
            append(out, header, payload);
        } else if frame.bytes.len() >= large {
            return Ok(Some(&frame.bytes));
        } else {
            out.extend_from_slice(&frame.bytes);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lock::Mutex,
        protocol::{Decoder, Incoming, Inflater},
    };

    fn encoder(role: Role, compression: Option<(u8, bool)>) -> Encoder {
        let mut encoder = Encoder::new(role);
        if let Some((bits, takeover)) = compression {
            encoder.compress(Deflater::new(Window { bits, takeover }, 6), 10);
        }
        encoder
    }

    fn decoder(role: Role, compression: Option<(u8, bool)>) -> Decoder {
        let inflater = compression.map(|(bits, takeover)| Box::new(Inflater::new(Window { bits, takeover })));
        Decoder::new(role, 1 << 20, inflater)
    }

    fn take(decoder: &mut Decoder, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let mut incoming = Incoming::default();
        decoder.feed(&mut bytes, usize::MAX, &mut incoming).unwrap();
        incoming.messages.into_iter().map(|m| m.payload).collect()
    }

    #[test]
    fn everybody_gets_it_between_messages_of_their_own() {
        let text = b"what everybody gets, and gets, and gets, and gets, and gets again".as_slice();
        let own = b"what only this one gets, and gets, and gets, and gets again".as_slice();
        for role in [Role::Server, Role::Client] {
            let other = if role == Role::Server { Role::Client } else { Role::Server };
            for compression in [None, Some((15, false)), Some((15, true)), Some((9, true)), Some((9, false))]
            {
                let (mut sender, mut receiver) = (encoder(role, compression), decoder(other, compression));
                let spare = Mutex::default();
                let mut shared = Shared::default();
                for _ in 0..3 {
                    let mut out = Vec::new();
                    sender.message(&mut out, MessageKind::Text, own, true, &spare).unwrap();
                    let message = (MessageKind::Text, text, true);
                    assert!(sender.shared(&mut out, message, &mut shared, usize::MAX).unwrap().is_none());
                    sender.message(&mut out, MessageKind::Text, own, true, &spare).unwrap();
                    sender.message(&mut out, MessageKind::Text, text, true, &spare).unwrap();
                    assert_eq!(take(&mut receiver, out), [own, text, own, text]);
                }
                assert_eq!(shared.compressed.len(), usize::from(compression.is_some()));
            }
        }
    }

    #[test]
    fn s20_a_message_for_many_is_framed_once_and_compressed_once_for_each_way() {
        let text = b"what everybody gets, and gets, and gets, and gets, and gets again".as_slice();
        let mut shared = Shared::default();
        let mut frames = std::collections::HashMap::new();
        let ways = [None, Some((15, false)), Some((15, true)), Some((9, true))];
        for compression in ways.into_iter().cycle().take(100 * ways.len()) {
            let (mut encoder, mut out) = (encoder(Role::Server, compression), Vec::new());
            let message = (MessageKind::Text, text, true);
            // Where nothing need be copied, a frame is told of as it was made: where, is which.
            let frame = encoder.shared(&mut out, message, &mut shared, 0).unwrap().unwrap();
            let bits = compression.map(|(bits, _)| bits);
            let place = (frame.as_ptr(), frame.len());
            assert_eq!(*frames.entry(bits).or_insert(place), place);
        }
        assert_eq!((frames.len(), shared.compressed.len()), (3, 2));
    }

    #[test]
    fn what_is_large_is_not_copied_and_what_does_not_shrink_is_not_compressed() {
        let mut shared = Shared::default();
        let (mut plain, mut compressing) =
            (encoder(Role::Server, None), encoder(Role::Server, Some((15, false))));
        let noise: Vec<u8> = (0..200u8).map(|n| n.wrapping_mul(151)).collect();
        let message = (MessageKind::Binary, noise.as_slice(), true);
        let mut out = Vec::new();
        let first = plain.shared(&mut out, message, &mut shared, 100).unwrap().unwrap().to_vec();
        assert_eq!((first.len(), first[0]), (204, 0x82));
        let second = compressing.shared(&mut out, message, &mut shared, 100).unwrap().unwrap();
        assert!(first == second && out.is_empty());
        assert!(shared.compressed[0].1.is_none());
        // Nor is what shall not be.
        let zeros = (MessageKind::Binary, [0; 200].as_slice(), false);
        let mut other = Shared::default();
        let frame = compressing.shared(&mut out, zeros, &mut other, 100).unwrap().unwrap();
        assert_eq!(frame.len(), 204);
    }
}
