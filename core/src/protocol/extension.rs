//! Negotiation of permessage-deflate (RFC 7692, 7.1): the client's offers and the server's answer.
//!
//! Extension and parameter names are compared byte for byte: RFC 6455 names the places where case
//! does not matter, and these are not among them.

use std::fmt::Write;

pub(crate) use super::parameters::Malformed;
use super::parameters::{Parameters, read};
use crate::limits;

/// The extension's registered name.
const NAME: &str = "permessage-deflate";
/// The window that is meant where nothing is said (RFC 7692, 7.1.2).
const LARGEST: u8 = 15;

/// What a program wants of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compression {
    /// Whether messages may refer to earlier ones, in both directions. It makes small messages
    /// smaller, and costs memory for as long as the connection lasts: `deflate.rs` says how much.
    pub context_takeover: bool,
    /// The largest window that this side compresses with and asks the peer for, 9 to 15. A client
    /// that can't limit its window is accepted with its 15.
    pub window_bits: u8,
    /// 1 (fast) to 9 (small).
    pub level: u8,
    /// Messages below this many bytes are sent as they are.
    pub min_size: usize,
}

/// How one direction is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The base-2 logarithm of the window, 8 to 15.
    pub bits: u8,
    /// Whether a message may refer to those before it.
    pub takeover: bool,
}

/// What both sides agreed on, as this side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub send: Window,
    pub receive: Window,
}

/// A server's choice: `values` are those of all fields of the request, in their order. The first
/// offer that can be accepted is, with the value of the answer's field; None where there is none,
/// and the connection is not compressed. An offer of ours with unknown or repeated parameters or
/// with bad values is declined (RFC 7692, 7.1), and the next one is looked at.
pub(crate) fn accept<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    ours: &Compression,
) -> Result<Option<(Agreed, String)>, Malformed> {
    let mut accepted = None;
    let mut seen = 0;
    read(values, |name, offer| {
        seen += 1;
        if name == NAME.as_bytes()
            && offer.fault.is_none()
            && accepted.is_none()
            && seen <= limits::MAX_EXTENSIONS
        {
            accepted = Some(answer(offer, ours));
        }
    })?;
    Ok(accepted)
}

/// The answer to a valid offer.
fn answer(offer: Parameters, ours: &Compression) -> (Agreed, String) {
    let smaller = |bits: Option<u8>| bits.unwrap_or(LARGEST).min(ours.window_bits);
    let mut receive_bits = LARGEST;
    let mut text = NAME.to_string();
    let send_takeover = ours.context_takeover && !offer.server_no_takeover;
    if !send_takeover {
        text += "; server_no_context_takeover";
    }
    let receive_takeover = ours.context_takeover && !offer.client_no_takeover;
    if !receive_takeover {
        text += "; client_no_context_takeover";
    }
    if offer.server_bits.is_some() {
        let _ = write!(text, "; server_max_window_bits={}", smaller(offer.server_bits));
    }
    // It may be answered only where it was offered: others would not know it (7.1.2.2).
    if let Some(bits) = offer.client_bits {
        receive_bits = smaller(bits);
        if bits.is_some() || receive_bits < LARGEST {
            let _ = write!(text, "; client_max_window_bits={receive_bits}");
        }
    }
    let agreed = Agreed {
        send: Window { bits: smaller(offer.server_bits), takeover: send_takeover },
        receive: Window { bits: receive_bits, takeover: receive_takeover },
    };
    (agreed, text)
}

/// A client's offer: the value of its `Sec-WebSocket-Extensions`.
pub(crate) fn offer(ours: &Compression) -> String {
    let mut text = NAME.to_string();
    if !ours.context_takeover {
        text += "; server_no_context_takeover; client_no_context_takeover";
    }
    if ours.window_bits < LARGEST {
        let bits = ours.window_bits;
        let _ = write!(text, "; server_max_window_bits={bits}; client_max_window_bits={bits}");
    } else {
        text += "; client_max_window_bits";
    }
    text
}

/// A client's check of the answer to its [`offer`]: `values` are those of all fields, in their
/// order. None where the server chose no extension. On an error the connection is to fail
/// (RFC 7692, 5.1 and 7.1).
pub(crate) fn check_answer<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    ours: &Compression,
) -> Result<Option<Agreed>, &'static str> {
    let mut found = None;
    let mut fault = None;
    read(values, |name, answer| {
        if name != NAME.as_bytes() {
            fault = fault.or(Some("the answer has an extension that was not asked for"));
        } else if found.is_some() {
            fault = fault.or(Some("the answer has permessage-deflate twice"));
        } else {
            found = Some(answer);
        }
    })
    .map_err(|Malformed| "the answer's Sec-WebSocket-Extensions is malformed")?;
    if let Some(fault) = fault.or(found.and_then(|answer| answer.fault)) {
        return Err(fault);
    }
    let Some(answer) = found else { return Ok(None) };

    if !ours.context_takeover && !answer.server_no_takeover {
        return Err("the answer leaves out server_no_context_takeover, which was asked for");
    }
    let receive_bits = match answer.server_bits {
        Some(bits) if ours.window_bits < LARGEST && bits > ours.window_bits => {
            return Err("the answer has a larger server_max_window_bits than was asked for");
        }
        None if ours.window_bits < LARGEST => {
            return Err("the answer leaves out server_max_window_bits, which was asked for");
        }
        bits => bits.unwrap_or(LARGEST),
    };
    let send_bits = match answer.client_bits {
        Some(None) => return Err("the answer has client_max_window_bits without a value"),
        Some(Some(bits)) if bits > ours.window_bits => {
            return Err("the answer has a larger client_max_window_bits than was offered");
        }
        Some(Some(bits)) => bits,
        None => ours.window_bits,
    };
    Ok(Some(Agreed {
        send: Window { bits: send_bits, takeover: ours.context_takeover && !answer.client_no_takeover },
        receive: Window { bits: receive_bits, takeover: !answer.server_no_takeover },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Compression = Compression { context_takeover: true, window_bits: 15, level: 6, min_size: 0 };
    const SMALL: Compression = Compression { context_takeover: false, window_bits: 10, ..OURS };

    /// The answer to these fields and what it agrees on: (send bits, takeover, receive bits, takeover).
    fn answered(ours: &Compression, values: &[&str]) -> Option<(String, (u8, bool, u8, bool))> {
        let (agreed, text) = accept(values.iter().map(|v| v.as_bytes()), ours).unwrap()?;
        Some((text, short(agreed)))
    }

    fn short(Agreed { send, receive }: Agreed) -> (u8, bool, u8, bool) {
        (send.bits, send.takeover, receive.bits, receive.takeover)
    }

    fn checked(ours: &Compression, answer: &str) -> Result<(u8, bool, u8, bool), &'static str> {
        check_answer([answer.as_bytes()].into_iter(), ours).map(|agreed| short(agreed.unwrap()))
    }

    #[test]
    fn every_kind_of_offer_gets_the_answer_of_the_rfc() {
        let all = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                   server_max_window_bits=10; client_max_window_bits=12";
        for (offer, answer, agreed) in [
            ("", "", (15, true, 15, true)),
            ("; server_no_context_takeover", "; server_no_context_takeover", (15, false, 15, true)),
            ("; client_no_context_takeover", "; client_no_context_takeover", (15, true, 15, false)),
            ("; client_max_window_bits", "", (15, true, 15, true)),
            ("; client_max_window_bits=15", "; client_max_window_bits=15", (15, true, 15, true)),
            (&all[18..], &all[18..], (10, false, 12, false)),
        ] {
            let got = answered(&OURS, &[&format!("permessage-deflate{offer}")]).unwrap();
            assert_eq!(got, (format!("permessage-deflate{answer}"), agreed));
        }
        for bits in 8..=15 {
            for side in ["server", "client"] {
                let offer = format!("permessage-deflate; {side}_max_window_bits={bits}");
                let (answer, got) = answered(&OURS, &[&offer]).unwrap();
                assert_eq!(answer, offer);
                assert_eq!(if side == "server" { (got.0, got.2) } else { (got.2, got.0) }, (bits, 15));
                let (answer, got) = answered(&SMALL, &[&offer]).unwrap();
                assert!(answer.ends_with(&format!("; {side}_max_window_bits={}", bits.min(10))), "{answer}");
                let receive = if side == "server" { 15 } else { bits.min(10) };
                let send = if side == "server" { bits.min(10) } else { 10 };
                assert_eq!(got, (send, false, receive, false));
            }
        }
        let no_takeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answered(&SMALL, &[NAME]).unwrap().0, no_takeover);
        assert_eq!(
            answered(&SMALL, &["permessage-deflate; client_max_window_bits"]).unwrap().0,
            format!("{no_takeover}; client_max_window_bits=10")
        );
    }

    #[test]
    fn offers_that_cannot_be_accepted_are_passed_over() {
        for bad in [
            "x-webkit-deflate-frame",
            "Permessage-Deflate",
            "permessage-deflate; Server_no_context_takeover",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=\"true\"",
            "permessage-deflate; server_max_window_bits",
        ] {
            assert_eq!(answered(&OURS, &[bad]), None, "{bad}");
            assert_eq!(answered(&OURS, &[bad, NAME]).unwrap().0, NAME);
            let list = format!("{bad} ,, foo; a=b; c=\"\\d\" , {NAME}; server_max_window_bits=9, {NAME}");
            assert_eq!(answered(&OURS, &[&list]).unwrap().1, (9, true, 15, true), "{list}");
        }
        for bad in
            ["7", "16", "08", "010", "0", "1", "99", "15.0", "+9", "-9", "0x9", "256", "1e1", "99999999"]
        {
            for side in ["server", "client"] {
                let offer = format!("permessage-deflate; {side}_max_window_bits={bad}");
                assert_eq!(answered(&OURS, &[&offer]), None, "{offer}");
                assert!(checked(&OURS, &offer).is_err(), "{offer}");
            }
        }
        assert_eq!(answered(&OURS, &[]), None);
        assert_eq!(answered(&OURS, &["", " ,\t, "]), None);
    }

    #[test]
    fn a_malformed_field_fails_both_sides_even_after_a_good_one() {
        let values = || [NAME.as_bytes(), b"foo; a="].into_iter();
        assert_eq!(accept(values(), &OURS), Err(Malformed));
        assert!(check_answer(values(), &OURS).is_err());
    }

    #[test]
    fn a_bounded_number_of_offers_is_looked_at() {
        let others = "foo, ".repeat(limits::MAX_EXTENSIONS - 1);
        assert!(answered(&OURS, &[&format!("{others}{NAME}")]).is_some());
        assert!(answered(&OURS, &[&format!("{others}foo, {NAME}")]).is_none());
    }

    #[test]
    fn a_client_takes_any_answer_to_its_offer_and_no_other() {
        assert_eq!(offer(&OURS), "permessage-deflate; client_max_window_bits");
        assert_eq!(
            offer(&SMALL),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=10; client_max_window_bits=10"
        );
        assert_eq!(check_answer(std::iter::empty(), &OURS), Ok(None));
        assert_eq!(check_answer([&b" , "[..]].into_iter(), &OURS), Ok(None));
        assert_eq!(checked(&OURS, NAME), Ok((15, true, 15, true)));
        let answer = |rest: &str| format!("permessage-deflate; {rest}");
        for bits in 8..=15 {
            let client = checked(&OURS, &answer(&format!("client_max_window_bits={bits}")));
            assert_eq!(client, Ok((bits, true, 15, true)));
            let server = checked(&OURS, &answer(&format!("server_max_window_bits=\"{bits}\"")));
            assert_eq!(server, Ok((15, true, bits, true)));
            let need = format!("server_no_context_takeover; server_max_window_bits={bits}");
            let server = checked(&SMALL, &answer(&need));
            assert_eq!(server.is_ok(), bits <= 10);
            let need = "server_no_context_takeover; server_max_window_bits=8";
            let client = checked(&SMALL, &answer(&format!("{need}; client_max_window_bits={bits}")));
            assert_eq!(client.is_ok(), bits <= 10);
        }
        assert_eq!(checked(&OURS, &answer("server_no_context_takeover")), Ok((15, true, 15, false)));
        assert_eq!(checked(&OURS, &answer("client_no_context_takeover")), Ok((15, false, 15, true)));
        let least = answer("server_no_context_takeover; server_max_window_bits=9");
        assert_eq!(checked(&SMALL, &least), Ok((10, false, 9, false)));
        for (ours, bad) in [
            (&SMALL, answer("server_max_window_bits=9")),
            (&SMALL, answer("server_no_context_takeover")),
            (&OURS, answer("client_max_window_bits")),
            (&OURS, answer("server_max_window_bits")),
            (&OURS, answer("server_max_window_bits=10; server_max_window_bits=10")),
            (&OURS, answer("unknown")),
            (&OURS, "foo".into()),
            (&OURS, format!("{NAME}, foo")),
            (&OURS, format!("{NAME}, {NAME}")),
            (&OURS, "x-webkit-deflate-frame".into()),
        ] {
            assert!(checked(ours, &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn client_and_server_agree_on_the_same_whatever_each_wants() {
        let all = (9..=15).flat_map(|b| [true, false].map(|t| (b, t)));
        for (a, b) in all.clone().flat_map(|a| all.clone().map(move |b| (a, b))) {
            let [client, server] = [a, b].map(|(window_bits, context_takeover)| Compression {
                window_bits,
                context_takeover,
                ..OURS
            });
            let (agreed, answer) = accept([offer(&client).as_bytes()].into_iter(), &server).unwrap().unwrap();
            let got = check_answer([answer.as_bytes()].into_iter(), &client).unwrap().unwrap();
            assert_eq!(got.send, agreed.receive);
            assert_eq!(got.receive.takeover, agreed.send.takeover);
            // Unasked, a server keeps to a smaller window without saying so.
            assert!(got.receive.bits >= agreed.send.bits);
            assert!(got.receive.bits == agreed.send.bits || a.0 == 15);
        }
    }
}
