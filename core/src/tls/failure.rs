//! What failed in TLS, in words for the people who can mend it.

use std::io;

use rustls::{AlertDescription, CertificateError, PeerIncompatible, pki_types::UnixTime};

use crate::{
    error::{Error, Kind},
    protocol::Role,
};

/// An error of rustls as one of ours.
pub(super) fn error(error: &rustls::Error, role: Role) -> Error {
    Error::new(Kind::Tls, text(error, role))
}

fn peer(role: Role) -> &'static str {
    match role {
        Role::Client => "server",
        Role::Server => "client",
    }
}

fn text(error: &rustls::Error, role: Role) -> String {
    let peer = peer(role);
    match error {
        rustls::Error::InvalidCertificate(e) => format!("the {peer}'s certificate {}", certificate(e)),
        rustls::Error::NoCertificatesPresented => format!("the {peer} sent no certificate"),
        rustls::Error::AlertReceived(alert) => format!("the {peer} refused: {}", refusal(*alert)),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => format!("the {peer} speaks no version of TLS that is allowed here (min_tls_version)"),
        rustls::Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            format!("there is no cipher that the {peer} and we both know")
        }
        rustls::Error::InvalidMessage(_) => format!("the {peer} does not speak TLS"),
        rustls::Error::DecryptError => format!("the {peer}'s bytes were changed on their way"),
        rustls::Error::EncryptError => "the session's keys are used up".into(),
        other => other.to_string(),
    }
}

/// What is wrong with the peer's certificate.
fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "has expired".into(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("expired {} ago", between(*not_after, *time))
        }
        CertificateError::NotValidYet => "is not valid yet".into(),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("becomes valid in {}", between(*time, *not_before))
        }
        CertificateError::Revoked => "was revoked".into(),
        CertificateError::UnknownIssuer => {
            "is not signed by an authority that is known here (ca_files names more)".into()
        }
        CertificateError::NotValidForName => "is for another name".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<_> = presented.iter().map(|name| name_text(name)).collect();
            let presented = if presented.is_empty() { "no name".into() } else { presented.join(", ") };
            format!("is for {presented}, not for {}", expected.to_str())
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not made for this purpose (extended key usage)".into()
        }
        CertificateError::BadSignature => {
            "has a signature that does not fit (from another authority of the same name?)".into()
        }
        CertificateError::BadEncoding => "can't be read".into(),
        // rustls keeps what its certificate library says of this one in a box.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "is an authority's own, and may only sign others (CA:TRUE)".into()
        }
        other => format!("is not accepted: {other}"),
    }
}

/// A name of a certificate, which rustls shows as `DnsName("x")` or `IpAddress(127.0.0.1)`.
fn name_text(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    let inner: String = inner.chars().filter(|c| *c != '"' && !c.is_control()).take(100).collect();
    inner
}

fn between(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7200.. => format!("{} hours", seconds / 3600),
        _ => format!("{seconds} seconds"),
    }
}

/// What a peer's alert means for us (RFC 8446, 6.2).
fn refusal(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it wants a certificate (certificate_file, key_file)".into(),
        AlertDescription::UnknownCA => "it does not know the authority that signed our certificate".into(),
        AlertDescription::CertificateExpired => "our certificate has expired".into(),
        AlertDescription::CertificateRevoked => "our certificate was revoked".into(),
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => "it does not accept our certificate".into(),
        AlertDescription::AccessDenied => "our certificate gives no access".into(),
        AlertDescription::ProtocolVersion => "it speaks other versions of TLS".into(),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "no cipher, or no certificate, that suits both sides".into()
        }
        AlertDescription::UnrecognisedName => "it does not know the name that was asked for".into(),
        AlertDescription::NoApplicationProtocol => "it does not speak HTTP/1.1 here".into(),
        other => format!("{other:?}"),
    }
}

/// What speaks there, if its first bytes are clearly no TLS.
pub(super) fn stranger(greeting: &[u8], role: Role) -> Option<Error> {
    let text = match role {
        Role::Client if b"HTTP/".starts_with(greeting) || greeting.starts_with(b"HTTP/") => {
            "the server speaks plain HTTP here, and no TLS: is it ws:// ?"
        }
        Role::Server if is_http_request(greeting) => "the client speaks plain HTTP, and no TLS",
        _ => return None,
    };
    (!greeting.is_empty()).then(|| Error::new(Kind::Tls, text))
}

pub(super) fn is_http_request(greeting: &[u8]) -> bool {
    [b"GET ".as_slice(), b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"CONNECT "]
        .iter()
        .any(|method| greeting.starts_with(&method[..method.len().min(8)]))
}

/// The peer's end of a connection whose TLS handshake was not done.
pub(crate) fn ended_early(role: Role) -> Error {
    let peer = peer(role);
    Error::new(Kind::Tls, format!("the {peer} ended the connection during the TLS handshake"))
}

/// Wraps a failure for code that knows errors of I/O only.
pub(crate) fn to_io(error: Error) -> io::Error {
    io::Error::other(error)
}

/// The failure of TLS that `to_io` wrapped.
pub(crate) fn in_io(error: &io::Error) -> Option<Error> {
    error.get_ref().and_then(|e| e.downcast_ref::<Error>()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_by_their_first_bytes() {
        let http = stranger(b"HTTP/1.1", Role::Client).unwrap();
        assert!(http.kind == Kind::Tls && http.text.contains("plain HTTP"));
        assert!(stranger(b"GET / HT", Role::Server).is_some());
        assert!(stranger(b"OPTIONS ", Role::Server).is_some());
        assert!(stranger(b"", Role::Client).is_none());
        assert!(stranger(b"\x16\x03\x01\x02\0", Role::Server).is_none());
        assert!(stranger(b"SSH-2.0-", Role::Client).is_none());
    }

    #[test]
    fn failures_pass_through_errors_of_io() {
        let error = in_io(&to_io(Error::new(Kind::Tls, "x"))).unwrap();
        assert_eq!((error.kind, &*error.text), (Kind::Tls, "x"));
        assert!(in_io(&io::ErrorKind::UnexpectedEof.into()).is_none());
    }

    #[test]
    fn times_and_names_read_well() {
        let at = |s| UnixTime::since_unix_epoch(std::time::Duration::from_secs(s));
        assert_eq!(between(at(0), at(86_400 * 3)), "3 days");
        assert_eq!(between(at(0), at(7200)), "2 hours");
        assert_eq!(between(at(100), at(90)), "0 seconds");
        assert_eq!(name_text("DnsName(\"a.test\")"), "a.test");
    }
}
