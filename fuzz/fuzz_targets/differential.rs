//! The same stream, cut the same way, through this library's decoder and through tungstenite's:
//! where they differ, it is on purpose.
#![no_main]

use std::io::{self, Read, Write};

use coromega_ws_core::{Message as OurMessage, MessageKind, fuzzing::Decoding};
use coromega_ws_fuzz::{Cuts, Input, feed};
use libfuzzer_sys::fuzz_target;
use tungstenite::{
    Error, Message,
    error::CapacityError,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

const MAX: usize = 4096;

/// A socket on which the pieces come one at a time, and nobody is in the way of what is sent.
struct Pieces<'a> {
    rest: &'a [u8],
    sizes: &'a [u8],
    turn: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let size = match self.sizes {
            [] => usize::MAX,
            sizes => 1 + usize::from(sizes[self.turn % sizes.len()]),
        };
        self.turn += 1;
        let count = size.min(self.rest.len()).min(out.len());
        let (piece, rest) = self.rest.split_at(count);
        out[..count].copy_from_slice(piece);
        self.rest = rest;
        Ok(count)
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite made of it.
#[derive(Default)]
struct Theirs {
    messages: Vec<OurMessage>,
    ping: Option<Box<[u8]>>,
    close: Option<(u16, Box<str>)>,
    error: Option<Error>,
}

fn theirs(is_client: bool, stream: &[u8], sizes: &[u8]) -> Theirs {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_message_size(Some(MAX))
        .max_frame_size(Some(MAX));
    let role = if is_client { Role::Client } else { Role::Server };
    let mut context = WebSocketContext::new(role, Some(config));
    let mut socket = Pieces { rest: stream, sizes, turn: 0 };
    let mut seen = Theirs::default();
    loop {
        match context.read(&mut socket) {
            Ok(Message::Text(text)) => {
                seen.messages.push(OurMessage {
                    kind: MessageKind::Text,
                    fin: true,
                    payload: text.as_bytes().into(),
                });
            }
            Ok(Message::Binary(bytes)) => {
                seen.messages.push(OurMessage {
                    kind: MessageKind::Binary,
                    fin: true,
                    payload: (*bytes).into(),
                });
            }
            Ok(Message::Ping(bytes)) => seen.ping = Some((*bytes).into()),
            Ok(Message::Close(frame)) => {
                let frame = frame.map(|f| (u16::from(f.code), f.reason.as_str().into()));
                seen.close = Some(frame.unwrap_or((1005, "".into())));
                return seen;
            }
            Ok(_) => {}
            Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return seen,
            Err(error) => {
                seen.error = Some(error);
                return seen;
            }
        }
    }
}

fn compare(is_client: bool, stream: &[u8], sizes: &[u8]) {
    let theirs = theirs(is_client, stream, sizes);
    let mut ours = Decoding::new(is_client, MAX as u64, None);
    let cuts = if sizes.is_empty() { Cuts::Whole } else { Cuts::Pieces(sizes) };
    feed(&mut ours, stream, &cuts, sizes.len() % 2 == 0, usize::MAX);

    // tungstenite looks at a frame when all of it is there, and lets some things pass: it may see
    // more than we do, but what we saw is what it saw first.
    let refused = ours.violation.map(|(code, _)| code);
    match (&ours.violation, &theirs.close, &theirs.error) {
        // It takes lengths in more bytes than they need, which RFC 6455, 5.2 forbids; in a control
        // frame we need not see the length itself to know that it is wrong.
        (Some((1002, text)), _, _)
            if text.contains("in more bytes than it needs") || text.contains("longer than 125") =>
        {
            assert!(theirs.messages.starts_with(&ours.messages));
            return;
        }
        // It tells of a close code that may not be sent as of 1002, and fails for nothing.
        (Some((1002, "close frame has a code that may not be sent")), close, None) => {
            assert_eq!(*close, Some((1002, "Protocol violation".into())));
        }
        // It does not know 1014 (bad gateway, in IANA's registry since 2016): the same again.
        (None, Some((1002, why)), None) if ours.close.as_ref().is_some_and(|c| c.0 == 1014) => {
            assert_eq!(&**why, "Protocol violation");
        }
        // Code and reason are wrong: it sees the reason first.
        (Some((1002, "close frame has a code that may not be sent")), None, Some(Error::Utf8(_))) => {}
        (None, close, None) => assert_eq!(ours.close, *close),
        // It waits for the rest of a frame in which we have found something wrong.
        (Some(_), None, None) => {
            let more = theirs_after_the_rest(is_client, stream);
            assert!(more.error.is_some() || more.close.is_some());
            assert_eq!(more.messages, ours.messages);
        }
        (Some((code, _)), None, Some(error)) => {
            let codes: &[u16] = match error {
                Error::Utf8(_) => &[1007],
                Error::Capacity(CapacityError::MessageTooLong { .. }) => &[1009],
                Error::Protocol(_) => &[1002],
                _ => panic!("{error}"),
            };
            // Where two things are wrong with a frame, which is found first is not said anywhere.
            assert!(codes.contains(code) || matches!(error, Error::Capacity(_)), "{code} for {error}");
        }
        (ours, close, error) => panic!("we say {ours:?}, tungstenite {close:?} and {error:?}"),
    }
    assert_eq!(ours.messages, theirs.messages, "refused: {refused:?}");
    assert_eq!(ours.ping, theirs.ping);
}

/// As `theirs`, when the frame at hand is filled up.
fn theirs_after_the_rest(is_client: bool, stream: &[u8]) -> Theirs {
    let mut longer = stream.to_vec();
    longer.resize(stream.len() + 2 * MAX, 0xff);
    theirs(is_client, &longer, &[])
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let is_client = flags & 1 != 0;
    let sizes = input.take(usize::from(flags >> 1 & 7));
    let stream = input.0;
    compare(is_client, stream, sizes);
    compare(is_client, stream, &[0]);
    if stream.len() <= 48 {
        (1..stream.len()).for_each(|at| compare(is_client, stream, &[at as u8 - 1, 255]));
    }
});
