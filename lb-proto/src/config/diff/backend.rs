//! Backends: how a server is picked, checked and spoken to; the servers are `server`'s.

use super::words::{Words, joined};
use super::{Differ, matched, server};
use crate::config::file::count;
use crate::config::{Backend, Check, CheckKind, HeaderRules, ServerTimeouts, Sticky};
use crate::plan::{Change, Effect, Kind, Section};

pub(super) fn compare(old: &[Backend], new: &[Backend], changes: &mut Vec<Change>) {
    let all = matched(old, new, |backend| &backend.name);
    for (_, gone) in &all.gone {
        let mut at = Differ::new(Section::Backend, gone.name.as_str(), changes);
        at.removed(summary(gone), Effect::SessionsFinish);
    }
    for one in &all.present {
        let mut at = Differ::new(Section::Backend, one.new.name.as_str(), changes);
        match one.old {
            Some((_, old)) => differ(&mut at, old, one.new),
            None => at.added(summary(one.new), Effect::AtOnce),
        }
    }
    if all.is_reordered() {
        Differ::new(Section::Global, "", changes).reordered("backend", Effect::Shown);
    }
}

fn summary(backend: &Backend) -> String {
    let servers = count(backend.servers.len(), "server");
    joined([backend.mode.words(), backend.balance.words(), Some(servers)])
}

fn differ(at: &mut Differ<'_>, old: &Backend, new: &Backend) {
    let Backend {
        name: _,
        mode,
        protocol,
        balance,
        health,
        retries,
        redispatch,
        queue_max,
        outlier,
        timeouts,
        sticky,
        shares_sessions,
        request_headers,
        response_headers,
        servers,
    } = old;
    let effect = Effect::NewRequests;
    at.key("mode", mode, &new.mode, Effect::NewConnections);
    at.key("protocol", protocol, &new.protocol, Effect::Reconnects);
    at.key("balance", balance, &new.balance, Effect::NewSessions);
    match (health, &new.health) {
        (Some(old), Some(new)) => differ_in_health(at, old, new),
        (old, new) => at.key("health", old, new, Effect::ChecksAgain),
    }
    at.key("retries", retries, &new.retries, effect);
    at.key("redispatch", redispatch, &new.redispatch, effect);
    at.key("queue.max", queue_max, &new.queue_max, effect);
    at.key("outlier", outlier, &new.outlier, Effect::AtOnce);
    match (sticky, &new.sticky) {
        (Some(old), Some(new)) => differ_in_sticky(at, old, new),
        (None, None) => {
            let off = |shares: bool| shares.then_some(false);
            let (old, new) = (off(*shares_sessions), off(new.shares_sessions));
            at.key("sticky", &old, &new, Effect::Shown);
        }
        (old, new) => at.key("sticky", old, new, effect),
    }
    differ_in_headers(at, "request_headers", request_headers, &new.request_headers);
    differ_in_headers(
        at,
        "response_headers",
        response_headers,
        &new.response_headers,
    );
    differ_in_timeouts(at, timeouts, &new.timeouts);
    server::compare(at, servers, &new.servers);
}

fn differ_in_timeouts(at: &mut Differ<'_>, old: &ServerTimeouts, new: &ServerTimeouts) {
    let ServerTimeouts {
        queue,
        connect,
        server,
        tunnel,
    } = old;
    let effect = Effect::NewRequests;
    at.key("timeouts.queue", queue, &new.queue, effect);
    at.key("timeouts.connect", connect, &new.connect, effect);
    at.key("timeouts.server", server, &new.server, effect);
    at.key("timeouts.tunnel", tunnel, &new.tunnel, effect);
}

fn differ_in_health(at: &mut Differ<'_>, old: &Check, new: &Check) {
    let Check {
        kind,
        interval,
        timeout,
        rise,
        fall,
    } = old;
    let effect = Effect::ChecksAgain;
    match (kind, &new.kind) {
        (
            CheckKind::Http {
                method,
                path,
                host,
                expect,
            },
            CheckKind::Http {
                method: new_method,
                path: new_path,
                host: new_host,
                expect: new_expect,
            },
        ) => {
            at.key("health.method", method, new_method, effect);
            at.key("health.path", path, new_path, effect);
            at.key("health.host", host, new_host, effect);
            at.key(
                "health.expect",
                &statuses(expect),
                &statuses(new_expect),
                effect,
            );
        }
        (old, new) => at.key("health.type", old, new, effect),
    }
    at.key("health.interval", interval, &new.interval, effect);
    at.key("health.timeout", timeout, &new.timeout, effect);
    at.key("health.rise", rise, &new.rise, effect);
    at.key("health.fall", fall, &new.fall, effect);
}

/// As in `"200-299, 304"`.
fn statuses(expect: &[std::ops::RangeInclusive<u16>]) -> Vec<String> {
    let each = expect
        .iter()
        .map(|range| match range.start() == range.end() {
            true => range.start().to_string(),
            false => format!("{}-{}", range.start(), range.end()),
        });
    each.collect()
}

impl Words for CheckKind {
    fn words(&self) -> Option<String> {
        Some(match self {
            Self::Tcp => "tcp".to_owned(),
            Self::Http {
                method,
                path,
                host,
                expect,
            } => {
                let host = host.as_ref().map(|host| format!(" of {host}"));
                let expect = statuses(expect).words().unwrap_or_default();
                format!(
                    "http, {method} {path}{}, expect {expect}",
                    host.unwrap_or_default()
                )
            }
        })
    }
}

impl Words for Check {
    fn words(&self) -> Option<String> {
        let Self {
            kind,
            interval,
            timeout,
            rise,
            fall,
        } = self;
        Some(joined([
            kind.words(),
            Some(format!("every {}", interval.words()?)),
            Some(format!("timeout {}", timeout.words()?)),
            Some(format!("rise {rise}, fall {fall}")),
        ]))
    }
}

fn differ_in_sticky(at: &mut Differ<'_>, old: &Sticky, new: &Sticky) {
    let Sticky {
        cookie,
        secure,
        same_site,
        http_only,
        max_age,
        path,
        domain,
    } = old;
    let effect = Effect::NewRequests;
    at.key(
        "sticky.cookie",
        cookie,
        &new.cookie,
        Effect::CookiesForgotten,
    );
    at.key("sticky.secure", secure, &new.secure, effect);
    at.key("sticky.same_site", same_site, &new.same_site, effect);
    at.key("sticky.http_only", http_only, &new.http_only, effect);
    at.key("sticky.max_age", max_age, &new.max_age, effect);
    at.key("sticky.path", path, &new.path, effect);
    at.key("sticky.domain", domain, &new.domain, effect);
}

impl Words for Sticky {
    fn words(&self) -> Option<String> {
        Some(format!("cookie {}", self.cookie))
    }
}

fn differ_in_headers(at: &mut Differ<'_>, key: &str, old: &HeaderRules, new: &HeaderRules) {
    let HeaderRules { remove, set, add } = old;
    let effect = Effect::NewRequests;
    at.list(&format!("{key}.remove"), remove, &new.remove, effect);
    differ_in_set(at, &format!("{key}.set"), set, &new.set);
    at.list(&format!("{key}.add"), add, &new.add, effect);
}

/// A header that is set has one value, which may become another.
fn differ_in_set(
    at: &mut Differ<'_>,
    key: &str,
    old: &[(String, String)],
    new: &[(String, String)],
) {
    let effect = Effect::NewRequests;
    let all = matched(old, new, |(name, _)| name);
    for (_, gone) in &all.gone {
        at.tell(Kind::Removed, Some(key), (gone.words(), None), effect);
    }
    for one in &all.present {
        match one.old {
            Some((_, old)) => at.key(key, old, one.new, effect),
            None => at.tell(Kind::Added, Some(key), (None, one.new.words()), effect),
        }
    }
    if all.is_reordered() {
        at.reordered(key, Effect::Shown);
    }
}
