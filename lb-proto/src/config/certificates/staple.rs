//! What is to be told of the OCSP response beside a certificate.

use crate::config::problem::Fault;
use crate::pem::{File, Ocsp, OcspUnfit, Validity, moment};

/// Why it is not sent, or what is bad news in it. `now`: seconds since 1970.
pub fn staple(file: &File, now: i64) -> Option<Fault> {
    let (what, remedy) = match (&file.ocsp, &file.ocsp_unfit) {
        (Some(ocsp), _) => of_fit(ocsp, now)?,
        (None, Some(unfit)) => of_unfit(unfit),
        (None, None) => return None,
    };
    let message = format!("the OCSP response beside {} {what}", file.path.display());
    Some(Fault::new(message, remedy))
}

fn of_fit(ocsp: &Ocsp, now: i64) -> Option<(String, &'static str)> {
    let period = ocsp.period;
    match period.validity(now) {
        Validity::Expired(_) => Some((
            format!("ended at {} and is not sent", moment(period.next_update)),
            "fetch a new one, then: lbctl reload; or remove the .ocsp file",
        )),
        Validity::NotYet => Some((
            format!("is not sent before {}", moment(period.this_update)),
            "look at this machine's clock",
        )),
        Validity::Days(_) if ocsp.revoked => Some((
            "says that the certificate is revoked: clients that look at it refuse the certificate"
                .to_owned(),
            "have another issued for a new key: certbot renew --force-renewal",
        )),
        Validity::Days(_) => None,
    }
}

fn of_unfit(unfit: &OcspUnfit) -> (String, &'static str) {
    let (what, remedy) = match unfit {
        OcspUnfit::Unreadable(why) => {
            return (
                format!("cannot be read and is not sent: {why}"),
                "let lbd's user read the .ocsp file, or remove it",
            );
        }
        OcspUnfit::Malformed => (
            "cannot be understood and is not sent",
            "fetch one in DER, as openssl ocsp -respout writes it, or remove the .ocsp file",
        ),
        OcspUnfit::Failed => (
            "is an error of the authority's and is not sent",
            "fetch one again, or remove the .ocsp file",
        ),
        OcspUnfit::OfAnother => (
            "is for another certificate and is not sent",
            "fetch one for this certificate, or remove the .ocsp file",
        ),
        OcspUnfit::Unknown => (
            "says that the authority does not know the certificate, and is not sent",
            "ask whoever issued the certificate, or remove the .ocsp file",
        ),
        OcspUnfit::Endless => (
            "does not say until when it holds and is not sent",
            "fetch one that does (nextUpdate), or remove the .ocsp file",
        ),
    };
    (what.to_owned(), remedy)
}
