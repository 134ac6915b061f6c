//! Servers that are down: each is asked what lbd asks it, and what came back is shown.

mod diagnosis;

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use lb_proto::config::{Backend, Certificates, CheckKind, Config};
use lb_proto::name::{BackendName, ServerName};
use lb_proto::state::State;
use lb_proto::status::{ServerStatus, Status};

use self::diagnosis::{Asked, Elsewhere, diagnose};
use super::ask::{Seen, Target, ask};
use super::finding::Finding;
use super::names::{self, Resolved};
use super::scene::{File, Scene};
use super::tls::Tls;

const CHECK: &str = "servers";

/// Asked at once. Their applications are not to notice.
const AT_ONCE: usize = 16;

/// More are not asked: lbd's own checks tell of all of them.
const MOST: usize = 256;

/// For all of them.
const PATIENCE: Duration = Duration::from_secs(20);

/// For one, where its check would wait longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Where applications of many kinds say that they are well.
const USUAL_PATHS: [&str; 9] = [
    "/",
    "/health",
    "/healthz",
    "/up",
    "/ping",
    "/status",
    "/livez",
    "/readyz",
    "/-/healthy",
];

type Known<'a> = HashMap<(&'a BackendName, &'a ServerName), &'a ServerStatus>;

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let known = scene.status().map(known).unwrap_or_default();
    let File::Read(read) = &scene.file else {
        return without_file(scene);
    };
    let deadline = Instant::now() + PATIENCE;
    let certificates = read.certificates.as_ref().ok();
    let (questions, mut findings) = questions(&read.config, certificates, &known, scene.resolved());
    let asked = ask_all(&questions, deadline);
    for backend in &read.config.backends {
        let of = asked.iter().filter(|asked| asked.backend == &backend.name);
        let of: Vec<&Asked<'_>> = of.collect();
        let elsewhere = elsewhere(backend, &of, &questions, deadline);
        findings.extend(diagnose(backend, &of, elsewhere.as_ref()));
        let servers = backend.servers.iter();
        let states: Vec<&ServerStatus> = servers
            .filter_map(|server| known.get(&(&backend.name, &server.name)).copied())
            .collect();
        findings.extend(diagnosis::nobody_left(&backend.name, &states, &of));
    }
    findings
}

fn known(status: &Status) -> Known<'_> {
    let backends = status.backends.iter();
    let all = backends.flat_map(|b| b.servers.iter().map(move |s| ((&b.name, &s.name), s)));
    all.collect()
}

/// What lbd itself has found. How it asks is in a file that we cannot read.
fn without_file(scene: &Scene) -> Vec<Finding> {
    let why = "how they are to be asked is in the configuration file";
    let mut findings = vec![Finding::not_looked_at(CHECK, "the servers", why)];
    for backend in scene.status().into_iter().flat_map(|s| &s.backends) {
        let down = backend.servers.iter().filter(|s| s.state == State::Down);
        for server in down {
            let last = server.last_check.as_ref();
            let why = last.map_or_else(|| "not checked yet".to_owned(), crate::ui::words::check);
            let name = format!("{}/{}", backend.name, server.name);
            findings.push(
                Finding::problem(CHECK, format!("{name} is down"))
                    .place(server.address.clone())
                    .why(why)
                    .remedy("mend the configuration file, then ask again"),
            );
        }
    }
    findings
}

/// A server that is to be asked.
struct Question<'a> {
    backend: &'a Backend,
    server: &'a ServerName,
    target: Target,
    kind: CheckKind,
    timeout: Duration,
    state: Option<&'a ServerStatus>,
}

/// Those who can be asked, and why the others cannot.
fn questions<'a>(
    config: &'a Config,
    certificates: Option<&Certificates>,
    known: &Known<'a>,
    resolved: &Resolved,
) -> (Vec<Question<'a>>, Vec<Finding>) {
    let mut questions = Vec::new();
    let mut findings = Vec::new();
    for backend in &config.backends {
        for server in &backend.servers {
            let state = known.get(&(&backend.name, &server.name)).copied();
            let name = format!("{}/{}", backend.name, server.name);
            // Somebody works on it.
            if state.is_some_and(|s| s.state == State::Maint) {
                continue;
            }
            if questions.len() >= MOST {
                let what = format!("{name} and those after it");
                let why = format!("{MOST} servers are asked at most; lbctl status tells of all");
                findings.push(Finding::not_looked_at(CHECK, what, why));
                return (questions, findings);
            }
            let Some(address) = names::address(&server.address, state, resolved) else {
                // That is told by the check of names.
                continue;
            };
            let tls = match (&server.tls, certificates) {
                (None, _) => Ok(None),
                (Some(_), None) => Err(
                    "the certificate files of the configuration are of no use, or not ours to read"
                        .to_owned(),
                ),
                (Some(tls), Some(certificates)) => {
                    Tls::new(tls, &server.address, backend.protocol, certificates).map(Some)
                }
            };
            let tls = match tls {
                Ok(tls) => tls,
                Err(why) => {
                    findings.push(Finding::not_looked_at(CHECK, name, why));
                    continue;
                }
            };
            let check = backend.health.as_ref().filter(|_| server.check);
            questions.push(Question {
                backend,
                server: &server.name,
                target: Target {
                    address,
                    send_proxy: server.send_proxy,
                    tls,
                    host: server.address.to_string(),
                },
                kind: diagnosis::kind(backend, check),
                timeout: check.map_or(LONGEST, |check| check.timeout.min(LONGEST)),
                state,
            });
        }
    }
    (questions, findings)
}

fn ask_all<'a>(questions: &[Question<'a>], deadline: Instant) -> Vec<Asked<'a>> {
    let turns = Mutex::new(questions.iter().enumerate());
    let answers: Mutex<Vec<(usize, Option<Seen>)>> = Mutex::default();
    // Nobody panics while holding one of the two.
    let next = || turns.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(questions.len()) {
            scope.spawn(|| {
                while let Some((at, question)) = next() {
                    let in_time = Instant::now() < deadline;
                    let seen =
                        in_time.then(|| ask(&question.target, &question.kind, question.timeout));
                    if let Ok(mut answers) = answers.lock() {
                        answers.push((at, seen));
                    }
                }
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_default();
    answers.sort_by_key(|(at, _)| *at);
    let asked = questions
        .iter()
        .zip(answers)
        .map(|(question, (_, seen))| Asked {
            backend: &question.backend.name,
            server: question.server,
            address: question.target.address,
            tls: question.target.tls.is_some(),
            kind: question.kind.clone(),
            seen,
            state: question.state,
        });
    asked.collect()
}

/// A path where a server that answers 404 is well: the first of its backend is asked.
fn elsewhere(
    backend: &Backend,
    asked: &[&Asked<'_>],
    questions: &[Question<'_>],
    deadline: Instant,
) -> Option<Elsewhere> {
    const NOT_FOUND: u16 = 404;
    let lost = asked.iter().find(|asked| {
        asked
            .seen
            .as_ref()
            .is_some_and(|seen| !seen.result.is_ok() && seen.status == Some(NOT_FOUND))
    })?;
    let mut of = questions.iter().filter(|q| q.backend.name == backend.name);
    let question = of.find(|question| question.server == lost.server)?;
    let CheckKind::Http {
        method,
        path,
        host,
        expect,
    } = &question.kind
    else {
        return None;
    };
    let others = USUAL_PATHS.iter().filter(|other| **other != path);
    for other in others {
        if Instant::now() >= deadline {
            return None;
        }
        let kind = CheckKind::Http {
            method: method.clone(),
            path: (*other).to_owned(),
            host: host.clone(),
            expect: expect.clone(),
        };
        let seen = ask(&question.target, &kind, question.timeout);
        if let (true, Some(status)) = (seen.result.is_ok(), seen.status) {
            let path = (*other).to_owned();
            return Some(Elsewhere { path, status });
        }
    }
    None
}
