//! Bytes in, messages out: tungstenite's `WebSocketContext` over memory.

use std::{
    borrow::Cow,
    io::{self, Read, Write},
};

use tokio_tungstenite::tungstenite::{
    self,
    error::{CapacityError, ProtocolError},
    protocol::{self, WebSocketConfig, WebSocketContext},
};

use super::{Close, Message, MessageKind, NO_CODE, Role};
use crate::limits;

/// What came in.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(Message),
    Ping(Box<[u8]>),
    Close(Close),
}

/// A breach of the protocol: the code to close with (RFC 6455, 7.4.1) and what was wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub code: u16,
    pub text: Cow<'static, str>,
}

/// Decodes what one side receives.
pub(crate) struct Decoder {
    context: WebSocketContext,
}

/// The bytes at hand, as a stream that would block after them. What tungstenite writes (replies
/// that the connection makes itself, in its own order) goes nowhere.
struct Bytes<'a>(&'a [u8]);

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buffer)
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    pub(crate) fn new(role: Role, max_message_size: u64) -> Decoder {
        let most = usize::try_from(max_message_size).ok();
        let config = WebSocketConfig::default()
            .read_buffer_size(limits::FRAME_BUFFER)
            .write_buffer_size(0)
            .max_message_size(most)
            .max_frame_size(most);
        let role = match role {
            Role::Client => protocol::Role::Client,
            Role::Server => protocol::Role::Server,
        };
        Decoder { context: WebSocketContext::new(role, Some(config)) }
    }

    /// Takes bytes as they came and appends what is complete. After a close or a violation
    /// nothing more may be fed.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Incoming>) -> Result<(), Violation> {
        let mut bytes = Bytes(bytes);
        loop {
            match self.context.read(&mut bytes) {
                Ok(tungstenite::Message::Text(text)) => out.push(message(MessageKind::Text, text.as_bytes())),
                Ok(tungstenite::Message::Binary(data)) => out.push(message(MessageKind::Binary, &data)),
                Ok(tungstenite::Message::Ping(data)) => out.push(Incoming::Ping(data[..].into())),
                Ok(tungstenite::Message::Close(frame)) => {
                    out.push(Incoming::Close(match frame {
                        Some(frame) => Close::new(frame.code.into(), &frame.reason),
                        None => Close::new(NO_CODE, ""),
                    }));
                    return Ok(());
                }
                Ok(tungstenite::Message::Pong(_) | tungstenite::Message::Frame(_)) => {}
                Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(violation(&error)),
            }
        }
    }
}

/// The payload is copied to its own size: a slice of the frame buffer would keep all of that alive.
fn message(kind: MessageKind, payload: &[u8]) -> Incoming {
    Incoming::Message(Message { kind, payload: payload.into() })
}

fn violation(error: &tungstenite::Error) -> Violation {
    let code = match error {
        tungstenite::Error::Capacity(_) => 1009,
        tungstenite::Error::Utf8(_) => 1007,
        _ => 1002,
    };
    let text = match error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!("message of {size} bytes or more, {max_size} are allowed")
        }
        tungstenite::Error::Utf8(_) => "text is not UTF-8".into(),
        tungstenite::Error::Protocol(ProtocolError::UnmaskedFrameFromClient) => "frame is not masked".into(),
        tungstenite::Error::Protocol(e) => e.to_string(),
        other => other.to_string(),
    };
    let mut end = text.len().min(limits::MAX_CLOSE_REASON);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Violation { code, text: text[..end].to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Encoder;

    fn decode(bytes: &[u8], max: u64) -> (Vec<Incoming>, Result<(), Violation>) {
        let mut out = Vec::new();
        let result = Decoder::new(Role::Client, max).feed(bytes, &mut out);
        (out, result)
    }

    #[test]
    fn a_stream_split_at_every_byte_gives_the_same_messages() {
        let mut encoder = Encoder::new(Role::Client);
        let mut stream = Vec::new();
        encoder.message(&mut stream, MessageKind::Text, "grüße".as_bytes()).unwrap();
        encoder.pong(&mut stream, b"unasked").unwrap();
        encoder.message(&mut stream, MessageKind::Binary, &[9; 300]).unwrap();
        encoder.message(&mut stream, MessageKind::Text, b"").unwrap();
        encoder.close(&mut stream, &Close::new(4000, "done")).unwrap();
        for at in 0..=stream.len() {
            let mut decoder = Decoder::new(Role::Server, 1000);
            let mut out = Vec::new();
            decoder.feed(&stream[..at], &mut out).unwrap();
            if !matches!(out.last(), Some(Incoming::Close(_))) {
                decoder.feed(&stream[at..], &mut out).unwrap();
            }
            let [Incoming::Message(a), Incoming::Message(b), Incoming::Message(c), Incoming::Close(d)] =
                &out[..]
            else {
                panic!("split at {at}: {out:?}")
            };
            assert_eq!((a.kind, &a.payload[..]), (MessageKind::Text, "grüße".as_bytes()));
            assert_eq!((b.kind, &b.payload[..]), (MessageKind::Binary, &[9; 300][..]));
            assert_eq!((c.kind, &c.payload[..]), (MessageKind::Text, &b""[..]));
            assert_eq!(*d, Close::new(4000, "done"));
        }
    }

    #[test]
    fn s30_a_declared_length_over_the_limit_is_refused_before_its_bytes_come() {
        for head in
            [&[0x82, 0x7e, 0x03, 0xe9][..], &[0x82, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(decode(head, 1000).1.unwrap_err().code, 1009);
        }
        let fragments =
            [&[0x02, 0x7e, 0x02, 0x00][..], &[1; 512], &[0x80, 0x7e, 0x02, 0x00], &[1; 512]].concat();
        assert_eq!(decode(&fragments, 1000).1.unwrap_err().code, 1009);
        assert_eq!(decode(&fragments, 1024).0.len(), 1);
    }

    #[test]
    fn s26_violations_have_the_rfcs_codes() {
        assert_eq!(decode(&[0xc1, 0x00], 1000).1.unwrap_err().code, 1002);
        assert_eq!(decode(&[0x83, 0x00], 1000).1.unwrap_err().code, 1002);
        assert_eq!(decode(&[0x80, 0x00], 1000).1.unwrap_err().code, 1002);
        assert_eq!(decode(&[0x88, 0x01, 0x03], 1000).1.unwrap_err().code, 1002);
        assert_eq!(decode(&[0x81, 0x01, 0xff], 1000).1.unwrap_err().code, 1007);
        let mut unmasked = Decoder::new(Role::Server, 1000);
        assert_eq!(unmasked.feed(&[0x81, 0x00], &mut Vec::new()).unwrap_err().code, 1002);
    }

    #[test]
    fn messages_before_a_violation_are_kept() {
        let (out, result) = decode(&[0x81, 0x01, b'a', 0xc1, 0x00], 1000);
        assert_eq!(out.len(), 1);
        assert!(result.is_err());
    }
}
