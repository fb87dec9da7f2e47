//! Close frames: codes and reasons (RFC 6455, 5.5.1 and 7.4).

use crate::{
    error::{Error, Kind, Result},
    limits,
};

/// What stands for a close frame without a code.
pub(crate) const NO_CODE: u16 = 1005;
/// What stands for an end without a close frame.
pub(crate) const NO_CLOSE_FRAME: u16 = 1006;

/// A server goes down, or nobody is left who listens.
pub(crate) const GOING_AWAY: u16 = 1001;
/// A peer goes against our policy.
pub(crate) const POLICY: u16 = 1008;

/// What a close frame says. The code is `NO_CODE` where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub code: u16,
    pub reason: Box<str>,
}

impl Close {
    pub(crate) fn new(code: u16, reason: &str) -> Close {
        Close { code, reason: reason.into() }
    }

    /// A mailbox, a listener or a reference has gone (1001).
    pub(crate) fn going_away() -> Close {
        Close::new(GOING_AWAY, "")
    }
}

/// Checks a close that a guest asks for; 0 stands for 1000.
pub(crate) fn check(code: u16, reason: &[u8]) -> Result<Close> {
    let code = if code == 0 { 1000 } else { code };
    if !matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999) {
        let text = format!("close code {code} may not be sent: use 1000-1003, 1007-1013 or 3000-4999");
        return Err(Error::new(Kind::InvalidClose, text));
    }
    if reason.len() > limits::MAX_CLOSE_REASON {
        let (got, most) = (reason.len(), limits::MAX_CLOSE_REASON);
        let text = format!("close reason of {got} bytes: it can have {most}");
        return Err(Error::new(Kind::InvalidClose, text));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Close::new(code, reason)),
        Err(_) => Err(Error::new(Kind::InvalidClose, "close reason is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s25_only_codes_that_may_be_sent_and_reasons_that_fit_pass() {
        assert_eq!(check(0, b"").unwrap().code, 1000);
        for good in [1000, 1001, 1003, 1007, 1011, 1013, 3000, 4999] {
            assert_eq!(check(good, b"bye").unwrap(), Close::new(good, "bye"));
        }
        for bad in [1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(check(bad, b"").unwrap_err().kind, Kind::InvalidClose, "{bad}");
        }
        assert!(check(1000, &[b'x'; 123]).is_ok());
        assert!(check(1000, &[b'x'; 124]).is_err());
        assert!(check(1000, b"\xff").is_err());
    }
}
