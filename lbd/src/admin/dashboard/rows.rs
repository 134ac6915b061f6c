//! The rows of what is no server: the daemon, its frontends, backends and certificates. Pure.

use lb_proto::status::{
    BackendStatus, CertificateState, CertificateStatus, ConfigStatus, FrontendStatus,
};

use super::server::{drawn, lately};
use super::spark;
use super::view::{Cells, Row, Seen, is_well};
use super::words::{self, Clock};
use crate::admin::history::{Reading, Recent};

/// Days before its end at which a certificate is to be looked at, and at which somebody must.
const SOON: i64 = 30;
const VERY_SOON: i64 = 7;

pub(super) fn daemon(seen: &Seen<'_>) -> Row {
    let daemon = &seen.status.daemon;
    let servers = seen.status.backends.iter().flat_map(|b| &b.servers);
    let (all, well) = (
        servers.clone().count(),
        servers.filter(|s| is_well(s)).count(),
    );
    let frontends = || seen.status.frontends.iter();
    let recent: Vec<Recent> = frontends()
        .map(|f| seen.history.frontend(&f.name))
        .collect();
    let total = |count: fn(&Recent) -> u32| recent.iter().map(|r| u64::from(count(r))).sum::<u64>();
    let rates = recent.iter().filter_map(|r| r.rate);
    let rate = rates.fold(None, |sum: Option<f64>, rate| {
        Some(sum.unwrap_or(0.0) + rate)
    });
    let title = match all - well {
        0 => format!("{} · lbd", seen.host),
        ill => format!("({ill}) {} · lbd", seen.host),
    };
    let cells = Cells::default()
        .with("title", title)
        .with("host", seen.host)
        .with("version", daemon.version.as_str())
        .with("uptime", words::seconds(daemon.uptime_s))
        .with("at", format!("{:.0}", seen.clock.now))
        .with("clock", seen.clock.time(&seen.clock.now.to_string()))
        .with("well", words::number(well as u64))
        .with("all", words::number(all as u64))
        .with(
            "servers",
            if well == all {
                "up"
            } else if well == 0 {
                "down"
            } else {
                "some"
            },
        )
        .with(
            "sessions",
            words::number(frontends().map(|f| f.sessions).sum()),
        )
        .with("rate", words::rate(rate))
        .with(
            "errors",
            words::share(total(|r| r.failed), total(|r| r.begun)),
        )
        .with("connections", words::number(daemon.connections))
        .with("limit", words::number(daemon.connections_limit));
    Row {
        key: "daemon".to_owned(),
        cells: config(cells, &daemon.config, seen.clock),
    }
}

fn config(cells: Cells, config: &ConfigStatus, clock: &Clock) -> Cells {
    let (reload, tone) = match &config.last_reload {
        None => ("none since the start".to_owned(), ""),
        Some(last) if last.ok => (format!("succeeded {}", clock.time(&last.at)), "good"),
        Some(last) => (format!("failed {}", clock.time(&last.at)), "bad"),
    };
    let short = config.sha256.get(..12).unwrap_or(&config.sha256);
    cells
        .with("generation", words::number(config.generation))
        .with("loaded", clock.time(&config.loaded_at))
        .with("path", config.path.as_str())
        .with("sha256", short)
        .with("reload", reload)
        .with("reloaded", tone)
}

pub(super) fn pool(backend: &BackendStatus, shown: usize) -> Row {
    let all = backend.servers.len();
    let well = backend.servers.iter().filter(|s| is_well(s)).count();
    let look = match (all - well, well) {
        (0, _) => "up",
        (_, 0) => "down",
        _ => "some",
    };
    let queued = match backend.queued {
        0 => String::new(),
        queued => format!("{} wait in the queue", words::count(queued, "request")),
    };
    let more = match all - shown {
        0 => String::new(),
        more => format!(
            "{} more are not shown: lbctl status {}",
            words::number(more as u64),
            backend.name
        ),
    };
    let cells = Cells::default()
        .with("name", backend.name.as_str())
        .with("balance", backend.balance.as_str())
        .with("look", look)
        .with(
            "up",
            format!(
                "{} of {} up",
                words::number(well as u64),
                words::number(all as u64)
            ),
        )
        .with("well", well.to_string())
        .with("all", all.to_string())
        .with("queued", queued)
        .with("more", more);
    Row {
        key: format!("backend {}", backend.name),
        cells,
    }
}

pub(super) fn frontend(frontend: &FrontendStatus, history: &Reading<'_>) -> Row {
    let recent = history.frontend(&frontend.name);
    let cells = Cells::default()
        .with("name", frontend.name.as_str())
        .with("mode", frontend.mode.as_str())
        .with("binds", frontend.binds.join(", "))
        .with("connections", words::number(frontend.connections))
        .with("spark", spark::path(&recent.levels))
        .with("drawn", drawn(&recent))
        .with("sessions", words::number(frontend.sessions));
    let cells = lately(cells, &recent)
        .with("requests", words::number(frontend.requests_total))
        .with("in", words::bytes(frontend.bytes_in))
        .with("out", words::bytes(frontend.bytes_out));
    Row {
        key: format!("frontend {}", frontend.name),
        cells,
    }
}

pub(super) fn certificate(certificate: &CertificateStatus, clock: &Clock) -> Row {
    let cells = Cells::default()
        .with("names", certificate.names.join(", "))
        .with("file", certificate.file.as_str())
        .with("tone", urgency(certificate))
        .with("left", left(certificate))
        .with("ends", clock.date(&certificate.not_after))
        .with("issuer", certificate.issuer.as_str())
        .with("binds", certificate.binds.join(", "));
    Row {
        key: format!("certificate {}", certificate.file),
        cells,
    }
}

/// `bad` or `warn` where it ends soon.
pub(super) fn urgency(certificate: &CertificateStatus) -> &'static str {
    match (certificate.state, certificate.days_left) {
        (CertificateState::Valid, ..VERY_SOON) => "bad",
        (CertificateState::Valid, VERY_SOON..SOON) => "warn",
        (CertificateState::Valid, _) => "good",
        (CertificateState::Expired | CertificateState::NotYetValid, _) => "bad",
    }
}

pub(super) fn left(certificate: &CertificateStatus) -> String {
    match (certificate.state, certificate.days_left) {
        (CertificateState::Expired, _) => "expired".to_owned(),
        (CertificateState::NotYetValid, _) => "not valid yet".to_owned(),
        (CertificateState::Valid, 1) => "1 day left".to_owned(),
        (CertificateState::Valid, days) => format!("{days} days left"),
    }
}
