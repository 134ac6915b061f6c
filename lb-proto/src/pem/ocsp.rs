//! What an authority says of a certificate (RFC 6960), judged as far as that goes without the
//! authority: who signed it is for clients to look at.

use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Class, FromDer, GeneralizedTime, Tag};
use x509_parser::time::ASN1Time;

use super::leaf::{Validity, serial};

/// A response that clients may be shown, while it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ocsp {
    /// In DER, as the authority signed it.
    pub response: Vec<u8>,
    pub period: Period,
    /// It says that nobody is to believe the certificate any longer.
    pub revoked: bool,
}

/// When a response holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub this_update: i64,
    pub next_update: i64,
}

/// Why a response is of no use, whatever the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OcspUnfit {
    Unreadable(String),
    /// It is none: no DER, or something else in it.
    Malformed,
    /// The authority could not answer (RFC 6960, 4.2.2.3).
    Failed,
    /// What it holds is about another certificate: the one before, say.
    OfAnother,
    /// The authority does not know the certificate.
    Unknown,
    /// Nothing tells when it is out of date.
    Endless,
}

impl Ocsp {
    /// What `response` says of `leaf`.
    ///
    /// # Errors
    /// Where it says nothing that clients may be shown, at any time.
    pub fn read(response: Vec<u8>, leaf: &CertificateDer<'_>) -> Result<Self, OcspUnfit> {
        let of_leaf = serial(leaf);
        let answers = answers(&response)?;
        let answer = answers
            .into_iter()
            .find(|a| Some(a.serial) == of_leaf.as_deref());
        let answer = answer.ok_or(OcspUnfit::OfAnother)?;
        let revoked = match answer.status {
            Status::Good => false,
            Status::Revoked => true,
            Status::Unknown => return Err(OcspUnfit::Unknown),
        };
        let period = Period {
            this_update: answer.this_update,
            next_update: answer.next_update.ok_or(OcspUnfit::Endless)?,
        };
        Ok(Self {
            response,
            period,
            revoked,
        })
    }
}

impl Period {
    /// So far, in seconds, the authority's clock may be ahead, as OpenSSL and HAProxy have it.
    const AHEAD: i64 = 300;

    /// `now`: seconds since 1970.
    pub fn validity(self, now: i64) -> Validity {
        Validity::between(self.this_update - Self::AHEAD, self.next_update, now)
    }

    pub fn holds(self, now: i64) -> bool {
        matches!(self.validity(now), Validity::Days(_))
    }
}

/// `2026-12-05 07:48:11 UTC`, from seconds since 1970.
pub fn moment(seconds: i64) -> String {
    let Ok(time) = ASN1Time::from_timestamp(seconds) else {
        return format!("{seconds} seconds after 1970");
    };
    let time = time.to_datetime();
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    format!("{date} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A `SingleResponse`.
struct Answer<'a> {
    serial: &'a [u8],
    status: Status,
    this_update: i64,
    next_update: Option<i64>,
}

enum Status {
    Good,
    Revoked,
    Unknown,
}

/// What a response (4.2.1) answers, in its order.
fn answers(response: &[u8]) -> Result<Vec<Answer<'_>>, OcspUnfit> {
    const SUCCESSFUL: &[u8] = &[0];
    let mut whole = Der(response);
    let body = whole.sequence().filter(|_| whole.0.is_empty());
    let mut body = body.ok_or(OcspUnfit::Malformed)?;
    match body.universal(Tag::Enumerated) {
        Some(SUCCESSFUL) => {}
        Some(_) => return Err(OcspUnfit::Failed),
        None => return Err(OcspUnfit::Malformed),
    }
    basic(body).ok_or(OcspUnfit::Malformed)
}

/// What follows the status: `ResponseBytes` with a `BasicOCSPResponse` in them.
fn basic(mut body: Der<'_>) -> Option<Vec<Answer<'_>>> {
    /// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
    const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
    let mut bytes = body.tagged(0)?.sequence()?;
    if bytes.universal(Tag::Oid)? != BASIC {
        return None;
    }
    let mut data = Der(bytes.universal(Tag::OctetString)?)
        .sequence()?
        .sequence()?;
    let _version = data.tagged(0);
    let _responder = data.next()?;
    let _produced_at = data.time()?;
    let mut singles = data.sequence()?;
    let mut answers = Vec::new();
    while !singles.0.is_empty() {
        answers.push(answer(singles.sequence()?)?);
    }
    Some(answers)
}

fn answer(mut single: Der<'_>) -> Option<Answer<'_>> {
    let mut id = single.sequence()?;
    let _algorithm = id.sequence()?;
    let _issuer_name = id.universal(Tag::OctetString)?;
    let _issuer_key = id.universal(Tag::OctetString)?;
    let serial = id.universal(Tag::Integer)?;
    let status = single.next()?;
    let status = match (status.class(), status.tag().0) {
        (Class::ContextSpecific, 0) => Status::Good,
        (Class::ContextSpecific, 1) => Status::Revoked,
        (Class::ContextSpecific, 2) => Status::Unknown,
        _ => return None,
    };
    let this_update = single.time()?;
    let next_update = match single.tagged(0) {
        Some(mut next) => Some(next.time()?),
        None => None,
    };
    Some(Answer {
        serial,
        status,
        this_update,
        next_update,
    })
}

/// What is left to be read of a text in DER. What is not there is left for the next to find.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<Any<'a>> {
        self.next_if(|_| true)
    }

    fn next_if(&mut self, fits: impl FnOnce(&Any<'a>) -> bool) -> Option<Any<'a>> {
        let (rest, any) = Any::from_der(self.0).ok()?;
        fits(&any).then(|| {
            self.0 = rest;
            any
        })
    }

    fn universal(&mut self, tag: Tag) -> Option<&'a [u8]> {
        let any = self.next_if(|any| any.class() == Class::Universal && any.tag() == tag)?;
        Some(any.data)
    }

    fn sequence(&mut self) -> Option<Self> {
        self.universal(Tag::Sequence).map(Self)
    }

    /// What stands under `[number]`.
    fn tagged(&mut self, number: u32) -> Option<Self> {
        let fits = |any: &Any<'_>| any.class() == Class::ContextSpecific && any.tag().0 == number;
        Some(Self(self.next_if(fits)?.data))
    }

    /// In seconds since 1970.
    fn time(&mut self) -> Option<i64> {
        let text = self.universal(Tag::GeneralizedTime)?;
        let time = GeneralizedTime::from_bytes(text).ok()?;
        Some(time.utc_datetime().ok()?.unix_timestamp())
    }
}

#[cfg(test)]
mod tests;
