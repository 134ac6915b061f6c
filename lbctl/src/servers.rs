//! The servers a command names: found before anything is changed, then set, then looked at.

use std::time::Duration;

use lb_proto::client::Client;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{BackendName, ServerId, nearest};
use lb_proto::reason::Reason;
use lb_proto::reply::SetState as WasSet;
use lb_proto::request::{SetState, Status};
use lb_proto::state::Admin;
use lb_proto::status::{BackendStatus, ServerStatus, Status as StatusReply};

use crate::there;
use crate::ui::Ui;

/// Finds every name among the servers of `status`, each once, in the order given.
///
/// # Errors
/// `no_such_server` for the first name that is none, with the one that may have been meant.
pub(crate) fn find(status: &StatusReply, names: &[String]) -> Result<Vec<ServerId>, ErrorReply> {
    let mut found: Vec<ServerId> = Vec::with_capacity(names.len());
    for name in names {
        let id = find_one(status, name)?;
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(found)
}

pub(crate) fn find_one(status: &StatusReply, name: &str) -> Result<ServerId, ErrorReply> {
    match name.parse::<ServerId>() {
        Ok(id) if ids(status).any(|known| known == id) => Ok(id),
        _ => Err(unknown(status, name)),
    }
}

/// What to say of a name that is no backend and no server.
pub(crate) fn unknown(status: &StatusReply, name: &str) -> ErrorReply {
    let Some((backend, _)) = name.split_once('/') else {
        return unknown_without_backend(status, name);
    };
    let error = ErrorReply::new(ErrorCode::NoSuchServer, format!("no such server {name}"));
    let known: Vec<String> = ids(status).map(|id| id.to_string()).collect();
    if let Some(meant) = nearest(name, known.iter().map(String::as_str)) {
        return error.hint(format!("did you mean {meant}?"));
    }
    match status.backends.iter().find(|b| b.name.as_str() == backend) {
        Some(backend) => error.hint(format!("{} has {}", backend.name, list(&backend.servers))),
        None => error.hint(format!(
            "there is no backend {backend}; {} status shows all names",
            there::lbctl()
        )),
    }
}

/// `web01` alone may be a server without its backend, or a slip in the name of a backend.
fn unknown_without_backend(status: &StatusReply, name: &str) -> ErrorReply {
    let namesakes: Vec<String> = ids(status)
        .filter(|id| id.server.as_str() == name)
        .map(|id| id.to_string())
        .collect();
    if !namesakes.is_empty() {
        return ErrorReply::new(
            ErrorCode::NoSuchServer,
            format!("no such server {name}: a server is named BACKEND/SERVER"),
        )
        .hint(format!("did you mean {}?", namesakes.join(" or ")));
    }
    if status.backends.iter().any(|b| b.name.as_str() == name) {
        return ErrorReply::new(
            ErrorCode::NoSuchServer,
            format!("{name} is a backend; a server is named BACKEND/SERVER"),
        )
        .hint(format!(
            "{} status {name} shows its servers",
            there::lbctl()
        ));
    }
    let error = ErrorReply::new(
        ErrorCode::NoSuchBackend,
        format!("no such backend or server {name}: a server is named BACKEND/SERVER"),
    );
    let backends = status.backends.iter().map(|b| b.name.as_str());
    let servers: Vec<String> = ids(status).map(|id| id.to_string()).collect();
    match nearest(name, backends.chain(servers.iter().map(String::as_str))) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint(format!("{} status shows all names", there::lbctl())),
    }
}

/// The backends in which none but `leaving` could take a new request.
pub(crate) fn left_alone(status: &StatusReply, leaving: &[ServerId]) -> Vec<BackendName> {
    let takes_over = |backend: &BackendStatus, server: &ServerStatus| {
        server.state.takes_new_sessions()
            && server.weight > 0
            && !leaving.contains(&id(backend, server))
    };
    let loses_one =
        |backend: &BackendStatus| leaving.iter().any(|leaver| leaver.backend == backend.name);
    status
        .backends
        .iter()
        .filter(|b| loses_one(b) && !b.servers.iter().any(|s| takes_over(b, s)))
        .map(|b| b.name.clone())
        .collect()
}

/// What servers are set to.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) admin: Admin,
    /// With drain: clients that a server's cookie names are sent elsewhere, too.
    pub(crate) move_sticky: bool,
    pub(crate) reason: Option<Reason>,
    /// They are ready again after this time.
    pub(crate) lasts: Option<Duration>,
    /// With maint: the sessions that they have are closed.
    pub(crate) kill: bool,
}

impl Wanted {
    pub(crate) fn new(admin: Admin, reason: Option<Reason>) -> Self {
        Self {
            admin,
            move_sticky: false,
            reason,
            lasts: None,
            kill: false,
        }
    }
}

/// Sets all, in order; warns where a restart of the daemon would forget it.
///
/// # Errors
/// The daemon's refusal; where it came half-way, it says which servers were set already.
pub(crate) fn set_all(
    daemon: &mut Client,
    ui: &Ui,
    servers: &[ServerId],
    wanted: &Wanted,
) -> Result<Vec<WasSet>, ErrorReply> {
    let admin = wanted.admin;
    let mut done = Vec::with_capacity(servers.len());
    for (at, server) in servers.iter().enumerate() {
        let set = daemon.call(&SetState {
            server: server.clone(),
            admin,
            was: None,
            // Absent, it does not take back what an earlier drain asked for.
            move_sticky: wanted.move_sticky.then_some(true),
            reason: wanted.reason.clone(),
            for_s: wanted.lasts.map(whole_seconds),
            kill: wanted.kill,
        });
        match set {
            Ok(set) => {
                if let Some(why) = &set.not_kept {
                    ui.insist(&format!(
                        "{server} is {admin}, but a restart of lbd would forget it: {why}"
                    ));
                }
                done.push(set);
            }
            Err(mut error) if at > 0 => {
                let already = join(&servers[..at]);
                error.message = format!(
                    "{server}: {}; set to {admin} already: {already}",
                    error.message
                );
                return Err(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The daemon counts in seconds: a part of one is one.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).max(1) as u64
}

/// One server as it is now.
///
/// # Errors
/// `no_such_server` where a reload took it away.
pub(crate) fn look(daemon: &mut Client, server: &ServerId) -> Result<ServerStatus, ErrorReply> {
    let status = daemon.call(&Status {
        of: Some(server.to_string()),
    })?;
    status
        .backends
        .into_iter()
        .filter(|backend| backend.name == server.backend)
        .flat_map(|backend| backend.servers)
        .find(|known| known.name == server.server)
        .ok_or_else(|| removed(&server.to_string()))
}

/// The error for a name that was there a moment ago.
pub(crate) fn removed(name: &str) -> ErrorReply {
    let message = format!("{name} is no longer in the configuration");
    ErrorReply::new(ErrorCode::NoSuchServer, message)
}

/// `app/web01, app/web02`
pub(crate) fn join(servers: &[ServerId]) -> String {
    let names: Vec<String> = servers.iter().map(ServerId::to_string).collect();
    names.join(", ")
}

fn ids(status: &StatusReply) -> impl Iterator<Item = ServerId> {
    status.backends.iter().flat_map(|backend| {
        backend
            .servers
            .iter()
            .map(move |server| id(backend, server))
    })
}

fn id(backend: &BackendStatus, server: &ServerStatus) -> ServerId {
    ServerId {
        backend: backend.name.clone(),
        server: server.name.clone(),
    }
}

/// The names of a backend's servers, not more than fit in a line.
fn list(servers: &[ServerStatus]) -> String {
    const SHOWN: usize = 8;
    let names: Vec<&str> = servers
        .iter()
        .take(SHOWN)
        .map(|s| s.name.as_str())
        .collect();
    match servers.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", names.join(", ")),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;
    use lb_proto::exit::Exit;

    fn find_all(names: &[&str]) -> Result<Vec<String>, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        match find(&sample::status(), &names) {
            Ok(ids) => Ok(ids.iter().map(ServerId::to_string).collect()),
            Err(error) => {
                assert_eq!(error.code.exit(), Exit::NoSuchName);
                Err(format!("{} | {}", error.message, error.hint.unwrap()))
            }
        }
    }

    #[test]
    fn a_name_given_twice_is_one_server() {
        assert_eq!(
            find_all(&["app/web02", "app/web01", "app/web02"]),
            Ok(vec!["app/web02".to_owned(), "app/web01".to_owned()])
        );
    }

    #[test]
    fn a_wrong_name_tells_the_right_one() {
        for (wrong, told) in [
            (
                "app/web1",
                "no such server app/web1 | did you mean app/web01?",
            ),
            (
                "web01",
                "no such server web01: a server is named BACKEND/SERVER | did you mean app/web01?",
            ),
            (
                "app",
                "app is a backend; a server is named BACKEND/SERVER | lbctl status app shows its servers",
            ),
            (
                "app/zzz",
                "no such server app/zzz | app has web01, web02, spare",
            ),
            (
                "nope/zzz",
                "no such server nope/zzz | there is no backend nope; lbctl status shows all names",
            ),
            (
                "apps",
                "no such backend or server apps: a server is named BACKEND/SERVER | did you mean app?",
            ),
        ] {
            assert_eq!(find_all(&["app/web01", wrong]), Err(told.to_owned()));
        }
    }

    #[test]
    fn a_backend_is_alone_when_nobody_else_takes_requests() {
        let status = sample::status();
        let alone = |names: &[&str]| {
            let leaving: Vec<ServerId> = names.iter().map(|name| name.parse().unwrap()).collect();
            left_alone(&status, &leaving)
        };
        assert!(alone(&["app/web01"]).is_empty(), "spare is up");
        assert_eq!(alone(&["app/web01", "app/spare"]), ["app".parse().unwrap()]);
        assert_eq!(alone(&["api/one"]), ["api".parse().unwrap()]);
    }
}
