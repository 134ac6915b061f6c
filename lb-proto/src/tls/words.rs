//! Why a handshake with a server failed, in words that an operator can act on.

use std::io::{self, ErrorKind};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

use super::verify::OfItsOwn;
use crate::config::count;
use crate::os_error::in_words;

const DAY: u64 = 24 * 60 * 60;

/// What failed, as in "its certificate expired 3 days ago".
pub fn why(error: &io::Error, asked: &ServerName<'_>) -> String {
    let cause = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(bad)) => of_certificate(bad, asked),
        Some(Error::AlertReceived(alert)) => of_alert(*alert),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "what it speaks is no TLS".to_owned()
        }
        Some(Error::NoApplicationProtocol) => {
            "it speaks none of the protocols that it was offered (ALPN)".to_owned()
        }
        Some(other) => other.to_string(),
        None if error.kind() == ErrorKind::UnexpectedEof => {
            "it closed the connection in the midst of the handshake".to_owned()
        }
        None => in_words(error),
    }
}

fn of_certificate(bad: &CertificateError, asked: &ServerName<'_>) -> String {
    match bad {
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let past = time.as_secs().saturating_sub(not_after.as_secs());
            match past / DAY {
                0 => "its certificate expired today".to_owned(),
                days => format!(
                    "its certificate expired {} ago",
                    count(days as usize, "day")
                ),
            }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, by this machine's clock".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "nobody who is trusted issued its certificate; `ca` names who is".to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate is signed by another issuer than the one of that name who is trusted"
                .to_owned()
        }
        CertificateError::NotValidForName => {
            let asked = asked.to_str();
            format!("its certificate is not for {asked}; `sni` asks for another name")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let (asked, names) = (asked.to_str(), names(presented));
            format!("its certificate is for {names}, not for {asked}; `sni` asks for another name")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for servers".to_owned()
        }
        CertificateError::Other(OtherError(cause)) if cause.is::<OfItsOwn>() => cause.to_string(),
        other => format!("its certificate is of no use: {other}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it wants a certificate; `cert` is what it is shown".to_owned()
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => {
            format!("it refused the certificate that it was shown ({alert:?})")
        }
        AlertDescription::NoApplicationProtocol => {
            "it speaks none of the protocols that it was offered (ALPN)".to_owned()
        }
        AlertDescription::UnrecognisedName => {
            "it does not know the name that it was asked for; `sni` asks for another".to_owned()
        }
        AlertDescription::ProtocolVersion => "it speaks neither TLS 1.3 nor 1.2".to_owned(),
        other => format!("it broke off the handshake ({other:?})"),
    }
}

/// The names of a certificate, a few of them, as rustls has them: `DnsName("a.test")`.
fn names(presented: &[String]) -> String {
    const MOST: usize = 3;
    let bare = |name: &String| {
        let inner = name
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    let some: Vec<String> = presented.iter().take(MOST).map(bare).collect();
    match presented.len() {
        0 => "no name at all".to_owned(),
        n if n > MOST => format!("{} and {} more", some.join(", "), n - MOST),
        _ => some.join(", "),
    }
}
