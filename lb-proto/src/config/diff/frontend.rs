//! Frontends: binds, limits and timeouts; what they do with requests is `routes`'s.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::words::{Words, joined};
use super::{Differ, matched, routes};
use crate::config::{Bind, BindTls, ClientTimeouts, Frontend};
use crate::plan::{Change, Effect, Part, Section};

pub(super) fn compare(old: &[Frontend], new: &[Frontend], changes: &mut Vec<Change>) {
    let (had, has) = (Addresses::of(old), Addresses::of(new));
    let all = matched(old, new, |frontend| &frontend.name);
    for (_, gone) in &all.gone {
        let mut at = Differ::new(Section::Frontend, gone.name.as_str(), changes);
        at.removed(summary(gone), has.left(&gone.binds));
    }
    for one in &all.present {
        let mut at = Differ::new(Section::Frontend, one.new.name.as_str(), changes);
        match one.old {
            Some((_, old)) => differ(&mut at, (old, &had), (one.new, &has)),
            None => at.added(summary(one.new), had.taken(&one.new.binds)),
        }
    }
    if all.is_reordered() {
        Differ::new(Section::Global, "", changes).reordered("frontend", Effect::Shown);
    }
}

/// Where a configuration listens. An address that another frontend takes over keeps its listener, and
/// connections go on there. Port 0 is another port each time.
struct Addresses(HashSet<SocketAddr>);

impl Addresses {
    fn of(frontends: &[Frontend]) -> Self {
        let binds = frontends.iter().flat_map(|frontend| &frontend.binds);
        let addresses = binds.map(|bind| bind.address);
        Self(addresses.filter(|address| address.port() != 0).collect())
    }

    fn have(&self, binds: &[Bind]) -> bool {
        binds.iter().all(|bind| self.0.contains(&bind.address))
    }

    /// What becomes of those who came by binds that are gone from a frontend, where these are the
    /// addresses now.
    fn left(&self, binds: &[Bind]) -> Effect {
        match self.have(binds) {
            true => Effect::NewRequests,
            false => Effect::ConnectionsFinish,
        }
    }

    /// What binds mean that are new in a frontend, where these were the addresses.
    fn taken(&self, binds: &[Bind]) -> Effect {
        match self.have(binds) {
            true => Effect::NewRequests,
            false => Effect::Listens,
        }
    }
}

fn summary(frontend: &Frontend) -> String {
    let binds: Vec<_> = frontend.binds.iter().map(|bind| bind.address).collect();
    joined([frontend.mode.words(), binds.words()])
}

fn differ(
    at: &mut Differ<'_>,
    (old, had): (&Frontend, &Addresses),
    (new, has): (&Frontend, &Addresses),
) {
    let Frontend {
        name: _,
        mode,
        binds,
        timeouts,
        trusted_proxies,
        https_redirect,
        allow,
        deny,
        rate_limit,
        max_connections,
        default_backend,
        routes,
    } = old;
    let effect = Effect::NewRequests;
    at.key("mode", mode, &new.mode, Effect::NewConnections);
    differ_in_binds(at, (binds, had), (&new.binds, has));
    at.list(
        "trusted_proxies",
        trusted_proxies,
        &new.trusted_proxies,
        effect,
    );
    at.key(
        "https_redirect",
        https_redirect,
        &new.https_redirect,
        effect,
    );
    at.given_list("allow", allow, &new.allow, effect);
    at.list("deny", deny, &new.deny, effect);
    at.key("rate_limit", rate_limit, &new.rate_limit, effect);
    at.key(
        "max_connections",
        max_connections,
        &new.max_connections,
        Effect::AtOnce,
    );
    at.key(
        "default_backend",
        default_backend,
        &new.default_backend,
        effect,
    );
    routes::compare(at, routes, &new.routes);
    differ_in_timeouts(at, timeouts, &new.timeouts);
}

fn differ_in_timeouts(at: &mut Differ<'_>, old: &ClientTimeouts, new: &ClientTimeouts) {
    let ClientTimeouts {
        request,
        client,
        keep_alive,
        tunnel,
        tls_handshake,
    } = old;
    let effect = Effect::NewRequests;
    at.key("timeouts.request", request, &new.request, effect);
    at.key("timeouts.client", client, &new.client, effect);
    at.key("timeouts.keep_alive", keep_alive, &new.keep_alive, effect);
    at.key("timeouts.tunnel", tunnel, &new.tunnel, effect);
    at.key(
        "timeouts.tls_handshake",
        tls_handshake,
        &new.tls_handshake,
        Effect::NewHandshakes,
    );
}

fn differ_in_binds(
    at: &mut Differ<'_>,
    (old, had): (&[Bind], &Addresses),
    (new, has): (&[Bind], &Addresses),
) {
    let all = matched(old, new, |bind| bind.address);
    let part = |bind: &Bind| Part::Bind(bind.address.to_string());
    for (_, gone) in &all.gone {
        at.part(part(gone))
            .removed(kind(gone), has.left(std::slice::from_ref(gone)));
    }
    for one in &all.present {
        let mut at = at.part(part(one.new));
        match one.old {
            Some((_, old)) => differ_in_bind(&mut at, old, one.new),
            None => at.added(kind(one.new), had.taken(std::slice::from_ref(one.new))),
        }
    }
    if all.is_reordered() {
        at.reordered("bind", Effect::Shown);
    }
}

/// What is spoken there.
fn kind(bind: &Bind) -> String {
    let plain = if bind.h2c { "h2c" } else { "no TLS" };
    let spoken = if bind.tls.is_some() { "TLS" } else { plain };
    let proxy = bind
        .proxy_protocol
        .as_ref()
        .map(|_| "PROXY header".to_owned());
    joined([Some(spoken.to_owned()), proxy])
}

fn differ_in_bind(at: &mut Differ<'_>, old: &Bind, new: &Bind) {
    let Bind {
        address: _,
        proxy_protocol,
        tls,
        h2c,
    } = old;
    let effect = Effect::NewConnections;
    at.given_list(
        "proxy_protocol",
        proxy_protocol,
        &new.proxy_protocol,
        effect,
    );
    at.key("h2c", h2c, &new.h2c, effect);
    differ_in_bind_tls(at, tls, &new.tls);
}

pub(super) fn differ_in_bind_tls(
    at: &mut Differ<'_>,
    old: &Option<BindTls>,
    new: &Option<BindTls>,
) {
    match (old, new) {
        (Some(old), Some(new)) => differ_in_tls(at, old, new),
        (old, new) => {
            let certs = |tls: &Option<BindTls>| tls.as_ref().map(|tls| tls.certs.clone());
            at.key("tls", &certs(old), &certs(new), Effect::NewConnections);
        }
    }
}

fn differ_in_tls(at: &mut Differ<'_>, old: &BindTls, new: &BindTls) {
    let BindTls {
        certs,
        alpn,
        min_version,
        strict_sni,
        client_ca,
        client_auth,
    } = old;
    let effect = Effect::NewHandshakes;
    at.key("tls.certs", certs, &new.certs, effect);
    at.key("tls.alpn", alpn, &new.alpn, effect);
    at.key("tls.min_version", min_version, &new.min_version, effect);
    at.key("tls.strict_sni", strict_sni, &new.strict_sni, effect);
    at.key("tls.client_ca", client_ca, &new.client_ca, effect);
    at.key("tls.client_auth", client_auth, &new.client_auth, effect);
}
