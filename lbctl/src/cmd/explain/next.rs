//! What to try next about a server. Pure.

use lb_proto::reply::{Because, Explain};
use lb_proto::state::{Admin, State};
use lb_proto::status::CheckResult;

use crate::there;

/// Commands to paste, with what they are for behind a `#`; nothing where nothing is wrong.
pub(super) fn steps(told: &Explain) -> Vec<String> {
    let server = &told.server;
    let name = format!("{}/{}", told.backend, server.name);
    let lbctl = there::lbctl();
    let ready = format!("{lbctl} ready {name} --wait    # back into rotation, once it is healthy");
    match server.state {
        State::Maint => vec![ready],
        State::Drain if server.sessions == 0 => {
            vec![
                format!("{lbctl} maint {name}    # nothing reaches it"),
                ready,
            ]
        }
        State::Drain if server.sticky_clients.is_some_and(|n| n > 0) && !server.move_sticky => {
            vec![
                format!("{lbctl} drain --move-sticky {name}    # its cookie is honoured no more"),
                ready,
            ]
        }
        State::Drain => vec![
            format!("{lbctl} drain {name}    # waits for its sessions"),
            ready,
        ],
        State::Down => down(told),
        State::Up if server.ejected.is_some() => vec![
            "read the log of the application: it answered with errors, or not at all".to_owned(),
        ],
        State::Up if told.share.because == Because::Weightless => {
            vec![format!("{lbctl} weight {name} 1    # it gets new sessions")]
        }
        State::Up => Vec::new(),
    }
}

fn down(told: &Explain) -> Vec<String> {
    let server = &told.server;
    let mut steps = Vec::new();
    if let Some(host) = server.host.as_ref().filter(|host| !host.resolved) {
        steps.push(format!(
            "getent ahosts {}    # whether this machine finds it",
            host.name
        ));
    } else if let Some(last) = &server.last_check {
        let address = &server.address;
        let path = told.check.as_ref().and_then(|check| check.path.as_deref());
        steps.extend(match (last.result, path) {
            (CheckResult::L7STS | CheckResult::L7TOUT, Some(path)) => Some(format!(
                "curl -i http://{address}{path}    # what it answers"
            )),
            (CheckResult::L6RSP | CheckResult::L6TOUT, _) => Some(format!(
                "openssl s_client -connect {address} </dev/null    # what it shows"
            )),
            (CheckResult::L4CON | CheckResult::L4TOUT, _) => {
                let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
                let host = host.trim_matches(['[', ']']);
                Some(format!(
                    "nc -zv {host} {port}    # whether it takes connections"
                ))
            }
            _ => None,
        });
    }
    steps.push("sudo lbctl doctor    # asks it, and says what to change".to_owned());
    if server.admin == Admin::Drain {
        steps.push(format!(
            "{} ready {}/{}    # it is drained as well",
            there::lbctl(),
            told.backend,
            server.name
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::explain::sentence::tests::{down_by, told};

    #[test]
    fn nothing_is_to_be_done_about_a_server_that_is_well() {
        assert_eq!(steps(&told()), [""; 0]);
    }

    #[test]
    fn what_is_tried_first_depends_on_what_was_found() {
        let first = |told: &Explain| steps(told)[0].clone();
        let lost = down_by(
            CheckResult::L7STS,
            "GET /healthz answered 404, expected 200",
        );
        assert!(first(&lost).starts_with("curl -i http://10.0.0.11:8080/healthz "));
        let refused = down_by(CheckResult::L4CON, "connection refused");
        assert!(first(&refused).starts_with("nc -zv 10.0.0.11 8080 "));
        assert!(
            steps(&refused)
                .last()
                .unwrap()
                .starts_with("sudo lbctl doctor")
        );
        let mut v6 = refused;
        v6.server.address = "[2001:db8::1]:80".to_owned();
        assert!(first(&v6).starts_with("nc -zv 2001:db8::1 80 "));
        let mut maint = told();
        maint.server.state = State::Maint;
        assert!(first(&maint).starts_with("lbctl ready app/web01 --wait"));
        let mut drain = told();
        drain.server.state = State::Drain;
        assert!(first(&drain).starts_with("lbctl drain app/web01 "));
        drain.server.sticky_clients = Some(3);
        assert!(first(&drain).starts_with("lbctl drain --move-sticky app/web01"));
        drain.server.sessions = 0;
        assert!(first(&drain).starts_with("lbctl maint app/web01"));
        let mut weightless = told();
        weightless.share.because = Because::Weightless;
        assert!(first(&weightless).starts_with("lbctl weight app/web01 1"));
    }
}
