//! The servers of a backend, by their names.

use super::words::{Words, joined};
use super::{Differ, matched};
use crate::config::{Server, ServerTls};
use crate::plan::{Effect, Part};

pub(super) fn compare(at: &mut Differ<'_>, old: &[Server], new: &[Server]) {
    let all = matched(old, new, |server| &server.name);
    for (_, gone) in &all.gone {
        let mut at = at.part(Part::Server(gone.name.clone()));
        at.removed(summary(gone), Effect::SessionsFinish);
    }
    for one in &all.present {
        let mut at = at.part(Part::Server(one.new.name.clone()));
        match one.old {
            Some((_, old)) => differ(&mut at, old, one.new),
            None => at.added(summary(one.new), Effect::Joins),
        }
    }
    if all.is_reordered() {
        at.reordered("servers", Effect::NewSessions);
    }
}

fn summary(server: &Server) -> String {
    joined([
        server.address.words(),
        Some(server.weight)
            .filter(|weight| *weight != 1)
            .map(|weight| format!("weight {weight}")),
        server.backup.then(|| "backup".to_owned()),
    ])
}

fn differ(at: &mut Differ<'_>, old: &Server, new: &Server) {
    let Server {
        name: _,
        address,
        weight,
        check,
        backup,
        slow_start,
        max_connections,
        cookie,
        send_proxy,
        tls,
    } = old;
    let effect = Effect::NewSessions;
    at.key("address", address, &new.address, Effect::StartsOver);
    at.key("weight", weight, &new.weight, effect);
    at.key("check", check, &new.check, Effect::ChecksAgain);
    at.key("backup", backup, &new.backup, effect);
    at.key("slow_start", slow_start, &new.slow_start, effect);
    at.key(
        "max_connections",
        max_connections,
        &new.max_connections,
        effect,
    );
    at.key("cookie", cookie, &new.cookie, Effect::CookiesForgotten);
    at.key(
        "send_proxy",
        send_proxy,
        &new.send_proxy,
        Effect::Reconnects,
    );
    match (tls, &new.tls) {
        (Some(old), Some(new)) => differ_in_tls(at, old, new),
        (old, new) => at.key("tls", old, new, Effect::Reconnects),
    }
}

fn differ_in_tls(at: &mut Differ<'_>, old: &ServerTls, new: &ServerTls) {
    let ServerTls {
        verify,
        ca,
        sni,
        cert,
        alpn,
        place: _,
    } = old;
    let effect = Effect::Reconnects;
    at.key("tls.verify", verify, &new.verify, effect);
    at.key("tls.ca", ca, &new.ca, effect);
    at.key("tls.sni", sni, &new.sni, effect);
    at.key("tls.cert", cert, &new.cert, effect);
    at.key("tls.alpn", alpn, &new.alpn, effect);
}

impl Words for ServerTls {
    fn words(&self) -> Option<String> {
        let Self {
            verify,
            ca,
            sni,
            cert,
            alpn: _,
            place: _,
        } = self;
        Some(joined([
            Some(if *verify { "verified" } else { "not verified" }.to_owned()),
            ca.words().map(|ca| format!("ca {ca}")),
            sni.words().map(|sni| format!("sni {sni}")),
            cert.words().map(|cert| format!("cert {cert}")),
        ]))
    }
}
