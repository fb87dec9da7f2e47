//! The protocol of RFC 6455 without any I/O: bytes in, messages out; messages in, bytes out.

mod answer;
mod close;
mod decoder;
mod deflate;
mod encoder;
mod extension;
mod frame;
mod inflate;
mod key;
mod mask;
mod parameters;
mod request;
mod response;
mod rules;
mod shared;
#[cfg(test)]
mod speed;
mod utf8;

pub(crate) use answer::{Refusal, lines as answer_lines, switching};
pub(crate) use close::{Close, GOING_AWAY, NO_CLOSE_FRAME, NO_CODE, POLICY, check};
pub(crate) use decoder::{Decoder, Incoming, Violation};
pub(crate) use deflate::{Deflater, Spare};
pub(crate) use encoder::{Encoder, Masked};
pub(crate) use extension::{Agreed, Compression, accept};
#[cfg(fuzzing)]
pub(crate) use extension::{Window, check_answer, offer};
pub(crate) use frame::MAX_HEADER;
pub(crate) use inflate::Inflater;
pub(crate) use mask::append as append_masked;
pub(crate) use parameters::Malformed;

pub(crate) use request::{elements, parse as parse_request};
pub(crate) use response::{Answer, Opening, Wishes, parse as parse_response, shown as shown_status};
pub(crate) use rules::Rules;
pub(crate) use shared::Shared;
pub(crate) use utf8::{Utf8, is_valid};

/// Which side of a connection this is: clients mask what they send, servers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// The kind of a data message, with its opcode (RFC 6455, 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MessageKind {
    /// UTF-8.
    Text = 1,
    /// Any bytes.
    Binary = 2,
}

/// What a ping of ours says: its number.
pub(crate) type PingPayload = [u8; 4];

/// A whole message; with the option `fragments`, a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Text or binary.
    pub kind: MessageKind,
    /// Whether nothing of the same message follows.
    pub fin: bool,
    /// The payload; that of a text is valid UTF-8.
    pub payload: Vec<u8>,
}
