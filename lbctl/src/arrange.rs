//! Which servers of a status are shown, and in which order. Pure.

use lb_proto::state::{Admin, State};
use lb_proto::status::{BackendStatus, ServerStatus, Status};

use crate::args::status::{Only, Sort};

/// Leaves the servers that are in one of these states, and the backends that have any; all of them
/// where none is named.
pub(crate) fn keep(status: &mut Status, only: &[Only]) {
    if only.is_empty() {
        return;
    }
    for backend in &mut status.backends {
        backend.servers.retain(|server| is_wanted(server, only));
    }
    status
        .backends
        .retain(|backend| !backend.servers.is_empty());
}

/// Whether a server is in one of these states; in any, where none is named.
pub(crate) fn is_wanted(server: &ServerStatus, only: &[Only]) -> bool {
    only.is_empty() || only.iter().any(|only| is(server, *only))
}

fn is(server: &ServerStatus, only: Only) -> bool {
    match only {
        Only::Up => server.state == State::Up,
        Only::Down => server.state == State::Down,
        // Also one that is down meanwhile.
        Only::Drain => server.admin == Admin::Drain,
        Only::Maint => server.state == State::Maint,
        Only::Ejected => server.ejected.is_some(),
    }
}

/// Puts the servers of each backend in order; those that are equal stay as they are. By attention,
/// the backends too.
pub(crate) fn sort(status: &mut Status, by: Sort) {
    let servers = status
        .backends
        .iter_mut()
        .map(|backend| &mut backend.servers);
    match by {
        Sort::Attention => {
            servers.for_each(|servers| servers.sort_by_key(attention));
            status.backends.sort_by_key(backend_attention);
        }
        Sort::Config => {}
        Sort::Name => servers.for_each(|servers| servers.sort_by(|a, b| a.name.cmp(&b.name))),
        Sort::State => servers.for_each(|servers| servers.sort_by_key(|s| s.state.as_str())),
        Sort::Sessions => most_first(servers, |server| server.sessions),
        Sort::Total => most_first(servers, |server| server.sessions_total),
        Sort::Errors => most_first(servers, |s| s.errors.connect + s.errors.response),
        Sort::Weight => most_first(servers, |server| server.weight.into()),
    }
}

fn most_first<'s>(
    servers: impl Iterator<Item = &'s mut Vec<ServerStatus>>,
    count: impl Fn(&ServerStatus) -> u64,
) {
    servers.for_each(|servers| servers.sort_by_key(|server| std::cmp::Reverse(count(server))));
}

/// The smaller, the sooner somebody should look: what is broken, what may break, what somebody does,
/// what is as it should be.
fn attention(server: &ServerStatus) -> u8 {
    let trouble = server
        .host
        .as_ref()
        .is_some_and(|host| host.error.is_some());
    match server.state {
        State::Down => 0,
        _ if server.ejected.is_some() => 1,
        _ if trouble => 2,
        State::Drain | State::Maint => 3,
        State::Up if server.overrides.weight.is_some() => 4,
        State::Up => 5,
    }
}

/// First those that serve nobody, then those that make clients wait, then by their servers.
fn backend_attention(backend: &BackendStatus) -> (bool, bool, u8) {
    let mut servers = backend.servers.iter();
    let serves = servers.any(|server| server.state.takes_new_sessions());
    let worst = backend.servers.iter().map(attention).min();
    (serves, backend.queued == 0, worst.unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    fn names(status: &Status) -> Vec<String> {
        let backends = status.backends.iter();
        backends
            .map(|backend| {
                let servers = backend.servers.iter().map(|server| server.name.as_str());
                format!(
                    "{}: {}",
                    backend.name,
                    servers.collect::<Vec<_>>().join(" ")
                )
            })
            .collect()
    }

    #[test]
    fn what_needs_attention_comes_first_and_the_rest_stays_in_order() {
        let mut status = sample::status();
        sort(&mut status, Sort::Attention);
        assert_eq!(names(&status), ["api: one", "app: web02 web01 spare"]);
        sort(&mut status, Sort::Name);
        assert_eq!(names(&status), ["api: one", "app: spare web01 web02"]);
    }

    #[test]
    fn numbers_are_sorted_from_the_largest() {
        let mut status = sample::status();
        sort(&mut status, Sort::Sessions);
        assert_eq!(names(&status), ["app: web01 web02 spare", "api: one"]);
    }

    #[test]
    fn only_servers_in_the_states_named_are_left() {
        let mut status = sample::status();
        keep(&mut status, &[]);
        assert_eq!(status, sample::status());
        keep(&mut status, &[Only::Down, Only::Drain]);
        assert_eq!(names(&status), ["app: web02", "api: one"]);
        keep(&mut status, &[Only::Ejected]);
        assert!(status.backends.is_empty());
    }
}
