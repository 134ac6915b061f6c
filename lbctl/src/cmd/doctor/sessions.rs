//! Users who are logged out at random: servers that keep sessions of their own, behind a backend that
//! sends clients to any of them.

use lb_proto::config::{Balance, Config};
use lb_proto::name::BackendName;
use lb_proto::status::{BackendStatus, ServerStatus};

use super::finding::Finding;
use super::scene::Scene;
use crate::there;

const CHECK: &str = "sessions";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let Some(status) = scene.status() else {
        let why = "only a running lbd sees what servers answer";
        return vec![Finding::not_looked_at(
            CHECK,
            "session cookies of servers",
            why,
        )];
    };
    let backends = status.backends.iter();
    let found: Vec<Finding> = backends
        .filter_map(|backend| judge(backend, scene.config()))
        .collect();
    match found.is_empty() {
        true => vec![Finding::fine(
            CHECK,
            "no session cookie came from a backend whose clients go to any server",
        )],
        false => found,
    }
}

fn judge(backend: &BackendStatus, config: Option<&Config>) -> Option<Finding> {
    let setters = backend
        .servers
        .iter()
        .filter(|server| server.session_cookie.is_some());
    let setters: Vec<&ServerStatus> = setters.collect();
    let first = setters.first()?;
    let cookie = first.session_cookie.as_deref()?;
    let name = &backend.name;
    let others = backend
        .servers
        .iter()
        .filter(|server| server.weight > 0)
        .count();
    if others < 2 || keeps_clients(name, config) {
        return None;
    }
    let finding = Finding::problem(
        CHECK,
        format!(
            "users of {name} are logged out at random, unless its servers share their sessions"
        ),
    );
    let each = setters.iter().map(|s| format!("{name}/{}", s.name));
    let each: Vec<String> = each.collect();
    Some(
        finding
            .place(format!("backend {name}"))
            .why(format!("{} set the cookie {cookie}, which looks like a session", each.join(", ")))
            .why(format!(
                "{name} has {others} servers and no `sticky`: the next request may go to one that does not know it"
            ))
            .remedy(format!(
                "tie clients to their server: add sticky = {{ cookie = \"SRVID\" }} to [backend.{name}] and reload; \
                 better, keep sessions where all servers find them, and then write sticky = false"
            ))
            .command(there::as_root("reload")),
    )
}

/// Whether the balance brings a client back to its server.
fn keeps_clients(name: &BackendName, config: Option<&Config>) -> bool {
    let backends = config.into_iter().flat_map(|config| &config.backends);
    let mut backends = backends.filter(|backend| backend.name == *name);
    backends.any(|backend| matches!(backend.balance, Balance::Source | Balance::Header(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    #[test]
    fn a_session_cookie_matters_where_clients_move_about() {
        let mut backend = sample::status().backends.remove(0);
        assert_eq!(judge(&backend, None), None);
        backend.servers[1].session_cookie = Some("PHPSESSID".to_owned());
        let found = judge(&backend, None).unwrap();
        assert_eq!(
            found.why[0],
            "app/web02 set the cookie PHPSESSID, which looks like a session"
        );
        assert!(
            found
                .remedy
                .unwrap()
                .contains("sticky = { cookie = \"SRVID\" }")
        );
        let by = |balance: &str| {
            let text = format!(
                "[frontend.web]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\
                 [backend.app]\nbalance = \"{balance}\"\nservers = [{{ name = \"a\", address = \"10.0.0.1:80\" }}]\n"
            );
            lb_proto::config::read("lbd.toml", &text).unwrap()
        };
        assert_eq!(judge(&backend, Some(&by("source"))), None);
        assert!(judge(&backend, Some(&by("uri"))).is_some());
        backend.servers.truncate(2);
        backend.servers[0].weight = 0;
        assert_eq!(judge(&backend, None), None);
    }
}
