//! What the fuzz targets reach of the engine: doors without a rule of their own, compiled for
//! those targets only (`--cfg fuzzing`).

use crate::{
    Message, MessageKind, Options,
    address::Address,
    lock::Mutex,
    protocol::{
        self, Agreed, Answer, Close, Compression, Decoder, Deflater, Encoder, Incoming, Inflater, Opening,
        Role, Rules, Spare, Window, Wishes, elements, parse_request, switching,
    },
};

/// How one direction is compressed: the bits of the window, and whether messages may refer to
/// earlier ones.
pub type Direction = (u8, bool);

fn window((bits, takeover): Direction) -> Window {
    Window { bits, takeover }
}

fn role(is_client: bool) -> Role {
    if is_client { Role::Client } else { Role::Server }
}

/// The decoder of one side, with what came out of it so far.
pub struct Decoding {
    decoder: Decoder,
    incoming: Incoming,
    /// The messages, in their order.
    pub messages: Vec<Message>,
    /// The payload of the last ping.
    pub ping: Option<Box<[u8]>>,
    /// The close frame: its code, 1005 where it has none, and its reason.
    pub close: Option<(u16, Box<str>)>,
    /// The code of a violation, and what it was.
    pub violation: Option<(u16, &'static str)>,
}

impl Decoding {
    /// The decoder of a client or a server; `receive` where compression was agreed on.
    pub fn new(is_client: bool, max_message_size: u64, receive: Option<Direction>) -> Decoding {
        let inflater = receive.map(|r| Box::new(Inflater::new(window(r))));
        let decoder = Decoder::new(role(is_client), max_message_size, inflater);
        let (messages, incoming) = (Vec::new(), Incoming::default());
        Decoding { decoder, incoming, messages, ping: None, close: None, violation: None }
    }

    /// The same, with the option `fragments`.
    pub fn in_fragments(mut self) -> Decoding {
        self.decoder.pass_on_fragments();
        self
    }

    /// Whether nothing more may be fed.
    pub fn has_ended(&self) -> bool {
        self.close.is_some() || self.violation.is_some()
    }

    /// Whether a frame or a message has begun and is not complete.
    pub fn is_within(&self) -> bool {
        self.decoder.unfinished().is_some()
    }

    /// Feeds bytes; gives how many it took.
    pub fn feed(&mut self, bytes: &mut [u8], enough: usize) -> usize {
        let result = self.decoder.feed(bytes, enough, &mut self.incoming);
        self.take(result.err());
        result.unwrap_or(bytes.len())
    }

    /// Receives bytes in place, where a large payload's rest is expected; gives how many.
    pub fn feed_in_place(&mut self, bytes: &[u8]) -> usize {
        let Some((payload, most)) = self.decoder.place() else { return 0 };
        let count = most.min(bytes.len());
        payload.extend_from_slice(&bytes[..count]);
        let result = self.decoder.placed(count, &mut self.incoming);
        self.take(result.err());
        count
    }

    fn take(&mut self, violation: Option<protocol::Violation>) {
        self.messages.append(&mut self.incoming.messages);
        self.incoming.size = 0;
        self.ping = self.incoming.pings.drain(..).last().or(self.ping.take());
        self.close = self.incoming.close.take().map(|c| (c.code, c.reason));
        self.violation = violation.map(|v| (v.code, v.text));
    }
}

/// The encoder of one side.
pub struct Encoding {
    encoder: Encoder,
    spare: Mutex<Spare>,
}

impl Encoding {
    /// The encoder of a client or a server; `send` and a level where compression was agreed on.
    pub fn new(is_client: bool, send: Option<(Direction, u8)>) -> Encoding {
        let mut encoder = Encoder::new(role(is_client));
        if let Some((direction, level)) = send {
            encoder.compress(Deflater::new(window(direction), level), 0);
        }
        Encoding { encoder, spare: Mutex::default() }
    }

    /// Appends a message's frame; false if that fails.
    pub fn message(&mut self, out: &mut Vec<u8>, kind: MessageKind, payload: &[u8], compress: bool) -> bool {
        self.encoder.message(out, kind, payload, compress, &self.spare).is_ok()
    }

    /// Appends a message in fragments; false if that fails.
    pub fn fragments(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        parts: &[&[u8]],
        compress: bool,
    ) -> bool {
        let compress = compress && self.encoder.compresses();
        let mut first = Some(kind);
        for part in parts {
            if self.encoder.fragment(out, first.take(), part, compress, &self.spare).is_err() {
                return false;
            }
        }
        self.encoder.last_fragment(out, first, compress, &self.spare).is_ok()
    }

    /// Appends a close frame; false if that fails.
    pub fn close(&mut self, out: &mut Vec<u8>, code: u16, reason: &str) -> bool {
        self.encoder.close(out, &Close::new(code, reason)).is_ok()
    }
}

/// Inflates what one side receives.
pub struct Inflating(Inflater);

impl Inflating {
    /// Nothing was received yet.
    pub fn new(receive: Direction) -> Inflating {
        Inflating(Inflater::new(window(receive)))
    }

    /// Some of a message's bytes. Fails with the code to close with.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>, max: usize) -> Result<(), u16> {
        self.0.feed(bytes, out, max).map_err(|e| e.code())
    }

    /// The end of a message. Fails with the code to close with.
    pub fn finish(&mut self, out: &mut Vec<u8>, max: usize) -> Result<(), u16> {
        self.0.finish(out, max).map_err(|e| e.code())
    }
}

/// What compression came to: how a side sends, and how it receives.
pub type Agreement = (Direction, Direction);

fn agreement(Agreed { send, receive }: Agreed) -> Agreement {
    ((send.bits, send.takeover), (receive.bits, receive.takeover))
}

fn wishes((window_bits, context_takeover): Direction) -> Compression {
    Compression { context_takeover, window_bits, level: 6, min_size: 0 }
}

/// A client's offer.
pub fn offer(ours: Direction) -> String {
    protocol::offer(&wishes(ours))
}

/// A server's choice, with the value of its answer. Fails where the fields are malformed.
#[allow(clippy::result_unit_err)]
pub fn accept(values: &[&[u8]], ours: Direction) -> Result<Option<(Agreement, String)>, ()> {
    let accepted = protocol::accept(values.iter().copied(), &wishes(ours)).map_err(|_| ())?;
    Ok(accepted.map(|(agreed, text)| (agreement(agreed), text)))
}

/// A client's check of an answer.
pub fn check_answer(values: &[&[u8]], ours: Direction) -> Result<Option<Agreement>, &'static str> {
    let checked = protocol::check_answer(values.iter().copied(), &wishes(ours))?;
    Ok(checked.map(agreement))
}

/// A server's part of the opening handshake: the answer to a request's head, and the
/// `Sec-WebSocket-Accept` if it opens the connection. None if the options are no listener's.
pub fn request_head(head: &[u8], options: &Options) -> Option<(Vec<u8>, Option<String>)> {
    let rules = Rules::new(options).ok()?;
    let asked = match parse_request(head, &rules, None) {
        Ok(asked) => asked,
        Err(refusal) => return Some((refusal.bytes(), None)),
    };
    let values = |name| asked.request.values(name);
    let extensions = options
        .compression(Role::Server)
        .and_then(|ours| protocol::accept(values("Sec-WebSocket-Extensions"), &ours).ok()?)
        .map_or(String::new(), |(_, text)| text);
    let subprotocol = rules.choose(elements(values("Sec-WebSocket-Protocol")));
    asked.request.choose_subprotocol(subprotocol);
    let answer = switching(&asked.accept, asked.request.subprotocol(), &extensions, &rules.lines);
    Some((answer, Some(asked.accept)))
}

/// A client's part: what the head of an answer to its request says. The key is that of 16 zeros.
/// Gives status 101 with the subprotocol and what compression came to; status 301 with where a
/// redirect leads from `ws://user:password@a/`, if it may be followed; None for an interim answer.
#[allow(clippy::type_complexity)]
pub fn response_head(
    head: &[u8],
    subprotocols: &[String],
    ours: Option<Direction>,
    password: &str,
) -> Result<Option<(u16, Vec<u8>, Option<Agreement>)>, String> {
    let wishes = Wishes {
        authority: "a",
        authorization: None,
        subprotocols,
        compression: ours.map(wishes),
        fields: &[],
    };
    match Opening::new("/", [0; 16], &wishes).check(head).map_err(|e| e.text)? {
        Answer::Interim => Ok(None),
        Answer::Open { subprotocol, agreed } => Ok(Some((101, subprotocol, agreed.map(agreement)))),
        Answer::Redirect { location, .. } => {
            let start = Address::parse(format!("ws://user:{password}@a/").as_bytes()).map_err(|e| e.text)?;
            Ok(Some((301, start.redirected(&location)?.shown.into_bytes(), None)))
        }
    }
}

/// An address as it may be shown, with its host and port, and what stands for user and password.
pub fn address(text: &[u8]) -> Result<(String, String, u16, Option<String>), String> {
    let address = Address::parse(text).map_err(|e| e.text)?;
    Ok((address.shown, address.host, address.port, address.authorization))
}
