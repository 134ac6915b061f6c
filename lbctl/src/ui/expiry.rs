//! How long certificates are good for, in words; colour only adds to them.

use anstyle::AnsiColor;
use lb_proto::config::URGENT_DAYS;
use lb_proto::pem::Validity;
use lb_proto::status::{CertificateState, CertificateStatus, Status};

use super::grid::{self, Column, Field, Worth};
use super::{Canvas, words};

/// Certbot renews when so many days are left: fewer mean that it has not.
const RENEWAL_DAYS: i64 = 30;

const COLUMNS: [Column; 5] = [
    Column::text("CERTIFICATE", Worth::Shrink(20)),
    Column::text("NAMES", Worth::Shrink(20)),
    Column::text("LEFT", Worth::Always),
    Column::text("UNTIL", Worth::Drop(1)),
    Column::text("BINDS", Worth::Drop(2)),
];

/// `1 day`, `89 days`
pub(crate) fn days(count: i64) -> String {
    match count {
        1 => "1 day".to_owned(),
        _ => format!("{count} days"),
    }
}

/// A cell of its own: `89 days`, `expired 2 days ago`.
pub(crate) fn left(validity: Validity) -> Field {
    let (text, color) = match validity {
        Validity::Days(left) => (
            days(left),
            match left {
                ..URGENT_DAYS => AnsiColor::Red,
                URGENT_DAYS..RENEWAL_DAYS => AnsiColor::Yellow,
                RENEWAL_DAYS.. => AnsiColor::Green,
            },
        ),
        Validity::Expired(ago) => (format!("expired {} ago", days(ago)), AnsiColor::Red),
        Validity::NotYet => ("not valid yet".to_owned(), AnsiColor::Red),
    };
    Field {
        text,
        color: Some(color),
    }
}

/// The certificates that clients are shown, those that end first; a daemon may have thousands. Nothing
/// where there are none.
pub(super) fn table(status: &Status, canvas: &Canvas) -> String {
    const SHOWN: usize = 10;
    let mut all: Vec<&CertificateStatus> = status.certificates.iter().collect();
    all.sort_by_key(|certificate| (certificate.days_left, &certificate.file));
    if all.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Field>> = all.iter().take(SHOWN).map(|one| row(one)).collect();
    let mut text = grid::render(&COLUMNS, &rows, canvas);
    if let Some(more @ 1..) = all.len().checked_sub(SHOWN) {
        text.push_str(&format!(
            "… {more} more with more days left: lbctl cert list\n"
        ));
    }
    text
}

fn row(certificate: &CertificateStatus) -> Vec<Field> {
    let binds = match certificate.binds.is_empty() {
        true => "none".to_owned(),
        false => certificate.binds.join(" "),
    };
    vec![
        certificate.file.as_str().into(),
        lb_proto::pem::in_short(&certificate.names).into(),
        left(validity(certificate)),
        words::time(&certificate.not_after).into(),
        binds.into(),
    ]
}

fn validity(certificate: &CertificateStatus) -> Validity {
    match certificate.state {
        CertificateState::Valid => Validity::Days(certificate.days_left),
        CertificateState::Expired => Validity::Expired(-certificate.days_left - 1),
        CertificateState::NotYetValid => Validity::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    #[test]
    fn what_is_left_is_coloured_by_how_little_it_is() {
        for (validity, text, color) in [
            (Validity::NotYet, "not valid yet", AnsiColor::Red),
            (Validity::Days(30), "30 days", AnsiColor::Green),
            (Validity::Days(29), "29 days", AnsiColor::Yellow),
            (Validity::Days(7), "7 days", AnsiColor::Yellow),
            (Validity::Days(6), "6 days", AnsiColor::Red),
            (Validity::Days(1), "1 day", AnsiColor::Red),
            (Validity::Expired(2), "expired 2 days ago", AnsiColor::Red),
        ] {
            let field = left(validity);
            assert_eq!((&*field.text, field.color), (text, Some(color)));
        }
    }

    fn certificate(n: i64) -> CertificateStatus {
        CertificateStatus {
            file: format!("/etc/lbd/certs/{n}.pem"),
            names: vec![format!("{n}.test")],
            issuer: "Test Issuer".to_owned(),
            not_before: "2026-08-23T20:31:11Z".to_owned(),
            not_after: "2026-11-23T20:31:11Z".to_owned(),
            days_left: n,
            state: match n {
                ..0 => CertificateState::Expired,
                0.. => CertificateState::Valid,
            },
            fingerprint: "ab".repeat(32),
            binds: vec!["0.0.0.0:443".to_owned()],
        }
    }

    #[test]
    fn those_that_end_first_are_in_the_status() {
        let mut status = sample::status();
        let canvas = Canvas {
            width: Some(80),
            color: false,
        };
        assert_eq!(table(&status, &canvas), "");
        status.certificates = [40, -3, 5].map(certificate).into();
        status.certificates[0].binds.clear();
        assert_eq!(
            table(&status, &canvas),
            "\
CERTIFICATE            NAMES    LEFT                BINDS
/etc/lbd/certs/-3.pem  -3.test  expired 2 days ago  0.0.0.0:443
/etc/lbd/certs/5.pem   5.test   5 days              0.0.0.0:443
/etc/lbd/certs/40.pem  40.test  40 days             none
"
        );
        status.certificates = (0..12).map(certificate).collect();
        let text = table(&status, &canvas);
        assert!(
            !text.contains("/10.pem") && text.contains("/9.pem"),
            "{text}"
        );
        assert!(text.ends_with("… 2 more with more days left: lbctl cert list\n"));
    }
}
