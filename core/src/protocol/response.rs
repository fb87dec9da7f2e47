//! A client's opening handshake (RFC 6455, 4.1): the head of its request, and what the head of the
//! answer says to it.

use base64::{Engine, engine::general_purpose::STANDARD};
use httparse::{EMPTY_HEADER, Response};

use super::{
    extension::{Agreed, Compression, check_answer, offer},
    key::accept_key,
};
use crate::{
    error::{Error, Kind, Result},
    headers::Field,
    limits,
};

/// What a client asks for.
pub(crate) struct Opening {
    /// The path with its query.
    pub target: String,
    /// The fields of the request, in the order in which they are sent.
    pub fields: Vec<Field>,
    key: String,
    compression: Option<Compression>,
}

/// What a client has to say beside what the handshake needs.
pub(crate) struct Wishes<'a> {
    /// The host and port of the address, unless `fields` have a `Host`.
    pub authority: &'a str,
    /// `Basic ...`
    pub authorization: Option<&'a str>,
    pub subprotocols: &'a [String],
    /// What permessage-deflate is offered with, if it is.
    pub compression: Option<Compression>,
    /// The guest's own, checked.
    pub fields: &'a [Field],
}

/// What the head of an answer says.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A status of 100-199 that is no answer yet (RFC 9110, 15.2): another head follows.
    Interim,
    /// The connection is open.
    Open {
        /// What the server chose; empty: nothing.
        subprotocol: Vec<u8>,
        /// The compression that was agreed on.
        agreed: Option<Agreed>,
    },
    /// The resource is elsewhere (RFC 9110, 15.4).
    Redirect {
        location: Vec<u8>,
        /// What to tell if it is not followed.
        refusal: Error,
    },
}

fn bad(what: &str) -> Error {
    Error::new(Kind::Handshake, format!("the handshake is not that of RFC 6455: {what}"))
}

impl Opening {
    /// `nonce` is new for each request.
    pub(crate) fn new(target: &str, nonce: [u8; 16], wishes: &Wishes<'_>) -> Opening {
        let key = STANDARD.encode(nonce);
        let own_host = wishes.fields.iter().find(|f| f.is("host"));
        let host = own_host.map_or(wishes.authority.as_bytes(), |f| &f.value);
        let mut fields = vec![
            Field::new("Host", host),
            Field::new("Upgrade", "websocket"),
            Field::new("Connection", "Upgrade"),
            Field::new("Sec-WebSocket-Key", &*key),
            Field::new("Sec-WebSocket-Version", "13"),
        ];
        if let Some(basic) = wishes.authorization {
            fields.push(Field::new("Authorization", basic));
        }
        if !wishes.subprotocols.is_empty() {
            fields.push(Field::new("Sec-WebSocket-Protocol", wishes.subprotocols.join(", ")));
        }
        if let Some(ours) = &wishes.compression {
            fields.push(Field::new("Sec-WebSocket-Extensions", offer(ours)));
        }
        fields.extend(wishes.fields.iter().filter(|f| !f.is("host")).cloned());
        Opening { target: target.into(), fields, key, compression: wishes.compression }
    }

    /// The head of the request.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(512);
        for part in [b"GET ", self.target.as_bytes(), b" HTTP/1.1\r\n"] {
            head.extend_from_slice(part);
        }
        for Field { name, value } in &self.fields {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Checks the head of an answer, which is whole. A refusal is an `Http` error.
    pub(crate) fn check(&self, head: &[u8]) -> Result<Answer> {
        let mut headers = [EMPTY_HEADER; limits::MAX_HEADERS];
        let response = parse(head, &mut headers).map_err(|what| bad(&what))?;
        let status = response.code.unwrap_or_default();
        let all = |name: &'static str| {
            response.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
        };
        match status {
            101 => {}
            100..=199 => return Ok(Answer::Interim),
            _ => {
                let text =
                    format!("the server answered with HTTP status {} instead of 101", shown(&response));
                let refusal = Error { http_status: status, ..Error::new(Kind::Http, text) };
                let mut locations = all("Location");
                return match (status, locations.next(), locations.next()) {
                    (301 | 302 | 303 | 307 | 308, Some(location), None) => {
                        Ok(Answer::Redirect { location: location.to_vec(), refusal })
                    }
                    _ => Err(refusal),
                };
            }
        }
        let tokens = |name| all(name).flat_map(|v| v.split(|b| *b == b',')).map(|t| t.trim_ascii());
        if !tokens("Upgrade").any(|t| t.eq_ignore_ascii_case(b"websocket")) {
            return Err(bad("the answer has no \"Upgrade: websocket\""));
        }
        if !tokens("Connection").any(|t| t.eq_ignore_ascii_case(b"upgrade")) {
            return Err(bad("the answer has no \"Connection: Upgrade\""));
        }
        if !all("Sec-WebSocket-Accept").eq([accept_key(self.key.as_bytes()).as_bytes()]) {
            return Err(bad("the answer's Sec-WebSocket-Accept does not belong to the request's key"));
        }
        let agreed = match &self.compression {
            Some(ours) => check_answer(all("Sec-WebSocket-Extensions"), ours).map_err(bad)?,
            None if tokens("Sec-WebSocket-Extensions").any(|t| !t.is_empty()) => {
                return Err(bad("the answer has an extension that was not asked for"));
            }
            None => None,
        };
        let mut chosen = all("Sec-WebSocket-Protocol");
        let Some(subprotocol) = chosen.next() else {
            return Ok(Answer::Open { subprotocol: Vec::new(), agreed });
        };
        if chosen.next().is_some() || !self.offers(subprotocol) {
            return Err(bad("the answer has a subprotocol that was not asked for"));
        }
        Ok(Answer::Open { subprotocol: subprotocol.to_vec(), agreed })
    }

    fn offers(&self, subprotocol: &[u8]) -> bool {
        let offered = self.fields.iter().filter(|f| f.is("sec-websocket-protocol"));
        let mut offered = offered.flat_map(|f| f.value.split(|b| *b == b',')).map(|t| t.trim_ascii());
        !subprotocol.is_empty() && offered.any(|t| t == subprotocol)
    }
}

/// Parses the whole head of a response.
pub(crate) fn parse<'h, 'b>(
    head: &'b [u8],
    headers: &'h mut [httparse::Header<'b>],
) -> Result<Response<'h, 'b>, String> {
    let mut response = Response::new(headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => Ok(response),
        // An empty line of LF alone, with more behind it: two readers would not agree on its end.
        Ok(httparse::Status::Complete(_)) => Err("the answer's head has lines that end without CR".into()),
        Ok(httparse::Status::Partial) => Err("the answer's head has no end".into()),
        Err(e) => Err(format!("the answer is not HTTP: {e}")),
    }
}

/// Status and reason, for the text of an error.
pub(crate) fn shown(response: &Response<'_, '_>) -> String {
    let reason: String = response.reason.unwrap_or_default().chars().take(100).collect();
    format!("{} {reason}", response.code.unwrap_or_default()).trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455, 1.3
    const NONCE: [u8; 16] = *b"the sample nonce";
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    fn opening(subprotocols: &[&str], fields: &[Field]) -> Opening {
        let subprotocols: Vec<_> = subprotocols.iter().map(|s| s.to_string()).collect();
        let wishes = Wishes {
            authority: "h:1",
            authorization: Some("Basic eDp5"),
            subprotocols: &subprotocols,
            compression: None,
            fields,
        };
        Opening::new("/p?q", NONCE, &wishes)
    }

    fn check(head: &str, asked: &[&str]) -> Result<Vec<u8>> {
        match opening(asked, &[]).check(format!("{head}\r\n").as_bytes())? {
            Answer::Open { subprotocol, .. } => Ok(subprotocol),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn s08_the_request_has_its_fields_in_order_and_unchanged() {
        let fields = [Field::new("X-b", *b"\xff\t "), Field::new("HOST", "other"), Field::new("X-b", "")];
        let expected = b"GET /p?q HTTP/1.1\r\nHost: other\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Version: 13\r\nAuthorization: Basic eDp5\r\n\
            Sec-WebSocket-Protocol: a, b\r\nX-b: \xff\t \r\nX-b: \r\n\r\n";
        let head = opening(&["a", "b"], &fields).head();
        assert_eq!(head.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn s06_an_answer_as_the_rfc_has_it_passes() {
        assert_eq!(check(GOOD, &[]).unwrap(), b"");
        assert_eq!(check(GOOD, &["chat"]).unwrap(), b""); // the server need not choose
        let chosen = format!("{GOOD}Sec-WebSocket-Protocol: b\r\n");
        assert_eq!(check(&chosen, &["a", "b"]).unwrap(), b"b");
        for by_hand in [&["a, b"][..], &["a", "b"]] {
            let name = "sec-websocket-protocol";
            let fields: Vec<_> = by_hand.iter().map(|v| Field::new(name, *v)).collect();
            let head = format!("{chosen}\r\n");
            let answer = opening(&[], &fields).check(head.as_bytes());
            assert!(matches!(answer.unwrap(), Answer::Open { subprotocol, .. } if subprotocol == b"b"));
        }
        let mut any = format!("{GOOD}X-Any: ").into_bytes();
        any.extend((0x20..=0xff).filter(|b| *b != 0x7f));
        any.extend_from_slice(b"\t\r\n\r\n");
        assert!(matches!(opening(&[], &[]).check(&any).unwrap(), Answer::Open { .. }));
    }

    #[test]
    fn s06_any_other_answer_is_refused() {
        for (bad, asked) in [
            ("nonsense\r\n".into(), &[][..]),
            ("HTTP/1.1 101\nUpgrade: websocket\n\nX: y\r\n".into(), &[]),
            ("HTTP/1.1 99 Early\r\n".into(), &[]),
            (GOOD.replace("WebSocket\r", "h2c\r"), &[]),
            (GOOD.replace(", Upgrade", ""), &[]),
            (GOOD.replace(", Upgrade", "-Upgrade"), &[]),
            (GOOD.replace("s3pP", "s3pQ"), &[]),
            (format!("{GOOD}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), &[]),
            (format!("{GOOD}Sec-WebSocket-Extensions: permessage-deflate\r\n"), &[]),
            (format!("{GOOD}Sec-WebSocket-Protocol: chat\r\n"), &[]),
            (format!("{GOOD}Sec-WebSocket-Protocol: \r\n"), &["chat"]),
            (format!("{GOOD}Sec-WebSocket-Protocol: chat\r\n"), &["other"]),
            (format!("{GOOD}Sec-WebSocket-Protocol: chat\r\n"), &["Chat"]),
            (format!("{GOOD}Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n"), &["a", "b"]),
            (format!("{GOOD}{}", "X: y\r\n".repeat(limits::MAX_HEADERS)), &[]),
        ] {
            assert_eq!(check(&bad, asked).expect_err(&bad).kind, Kind::Handshake, "{bad}");
        }
    }

    #[test]
    fn s06_compression_is_offered_and_its_answer_checked() {
        let compression =
            Some(Compression { context_takeover: true, window_bits: 15, level: 6, min_size: 0 });
        let wishes =
            Wishes { authority: "h", authorization: None, subprotocols: &[], compression, fields: &[] };
        let opening = Opening::new("/", NONCE, &wishes);
        let line = b"\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        assert!(opening.head().windows(line.len()).any(|w| w == line));
        let check = |value: &str| {
            opening.check(format!("{GOOD}Sec-WebSocket-Extensions: {value}\r\n\r\n").as_bytes())
        };
        let agrees = check("permessage-deflate; server_max_window_bits=9").unwrap();
        assert!(matches!(agrees, Answer::Open { agreed: Some(agreed), .. } if agreed.receive.bits == 9));
        let declines = opening.check(format!("{GOOD}\r\n").as_bytes()).unwrap();
        assert!(matches!(declines, Answer::Open { agreed: None, .. }));
        assert_eq!(check("permessage-deflate; unknown").unwrap_err().kind, Kind::Handshake);
        assert_eq!(check("x-other").unwrap_err().kind, Kind::Handshake);
    }

    #[test]
    fn s06_every_other_status_is_told_by_its_number() {
        for status in [200, 300, 304, 400, 401, 403, 404, 500, 503, 999] {
            let refused = check(&format!("HTTP/1.1 {status} Why\r\nLocation: /b\r\n"), &[]).unwrap_err();
            assert_eq!((refused.kind, refused.http_status), (Kind::Http, status));
            assert!(refused.text.contains(&format!("{status} Why")), "{refused}");
        }
        // A redirect that says where to, and one that does not.
        for status in [301, 302, 303, 307, 308] {
            let head = format!("HTTP/1.1 {status} There\r\nLocation: ws://b/\u{e9}\r\n\r\n");
            let answer = opening(&[], &[]).check(head.as_bytes()).unwrap();
            let Answer::Redirect { location, refusal } = answer else { panic!("{answer:?}") };
            assert_eq!((location, refusal.http_status), ("ws://b/\u{e9}".as_bytes().to_vec(), status));
            for locations in ["", "Location: /a\r\nLocation: /b\r\n"] {
                let refused = check(&format!("HTTP/1.1 {status} There\r\n{locations}"), &[]).unwrap_err();
                assert_eq!((refused.kind, refused.http_status), (Kind::Http, status));
            }
        }
        for status in [100, 102, 103, 199] {
            let head = format!("HTTP/1.1 {status} Wait\r\nLink: </a.css>\r\n\r\n");
            assert!(matches!(opening(&[], &[]).check(head.as_bytes()).unwrap(), Answer::Interim));
        }
    }
}
