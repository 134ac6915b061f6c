//! What a rolling maintenance tells: an overview of all servers on a terminal, lines elsewhere, and an
//! event a line with `--json`.

use std::fmt::Write as _;
use std::io::{self, BufRead};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use lb_proto::document::Unfinished;
use lb_proto::document::rolling::{Event, Skipped, Stopped, StoppedAt, Stream, Turn};
use lb_proto::error::ErrorReply;
use lb_proto::name::{BackendName, ServerId, ServerName};
use lb_proto::rolling::Phase;
use lb_proto::state::Health;
use lb_proto::status::{BackendStatus, ServerStatus};
use rustix::termios::{QueueSelector, tcflush};

use crate::args::rolling::RollingMaintenance;
use crate::duration;
use crate::error::Error;
use crate::rolling::{Others, Plan};
use crate::ui::progress::{Progress, Step};
use crate::ui::{Ui, words};

#[derive(Debug)]
pub(super) struct Teller<'a> {
    ui: &'a Ui,
    backend: &'a BackendName,
    progress: Progress<'a>,
    answers: Option<Answers>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(ui: &'a Ui, backend: &'a BackendName, plan: &Plan) -> Self {
        let ids: Vec<ServerId> = plan
            .todo
            .iter()
            .map(|server| ServerId::new(backend, server))
            .collect();
        Self {
            ui,
            backend,
            progress: Progress::new(ui, ids.iter()),
            answers: None,
        }
    }

    pub(super) fn begin(&self, plan: &Plan) {
        for skipped in &plan.skipped {
            self.ui.warn(&left_out(self.backend, skipped));
        }
        for at in 0..plan.todo.len() {
            self.progress.note(at, "to do");
        }
        self.event(|| Event::Begin {
            backend: self.backend.clone(),
            done: plan.done.clone(),
            todo: plan.todo.clone(),
            skipped: plan.skipped.clone(),
        });
    }

    /// Somebody took a server out before its turn came.
    pub(super) fn leaves_out(&self, at: usize, skipped: &Skipped) {
        self.progress.note(at, "left out, it is somebody's");
        self.warn(&left_out(self.backend, skipped));
        self.event(|| Event::Skipped {
            server: ServerId::new(self.backend, &skipped.server),
            admin: skipped.admin,
        });
    }

    /// The daemon cannot write down how far this is.
    pub(super) fn forgets(&self, why: &str) {
        let text =
            format!("a restart of lbd would forget this maintenance, and --resume with it: {why}");
        self.progress.aside(|| self.ui.insist(&text));
        self.event(|| Event::NotKept {
            why: why.to_owned(),
        });
    }

    pub(super) fn phase(&self, at: usize, id: &ServerId, phase: Phase, others: &Others) {
        self.event(|| Event::Phase {
            server: id.clone(),
            phase,
            capacity_percent: others.percent,
        });
        if phase == Phase::Drain && !self.ui.draws_bars() {
            self.say(&format!("{id}: draining; {}", others.words()));
        }
        self.progress.note(
            at,
            match phase {
                Phase::ToDo => "to do",
                Phase::Drain => "draining",
                Phase::Maint => "in maint",
                Phase::Return => "ready again",
                Phase::Done => "done",
            },
        );
    }

    /// How many sessions are left, of the `most` that there were at once.
    pub(super) fn sessions(&mut self, at: usize, now: &ServerStatus, most: u64, step: Step) {
        let left = now.sessions;
        if left == 0 {
            return;
        }
        let text = format!("{} of {} left", left, words::sessions(most));
        let done = Some((most - left, most));
        self.progress.show(at, &Step { text, done, ..step });
    }

    /// Sessions are left, and are not waited for any more.
    pub(super) fn cuts(&self, id: &ServerId, sessions: u64) {
        let left = words::sessions(sessions);
        self.warn(&format!(
            "{id} still has {left}: its maintenance may cut them"
        ));
        self.event(|| Event::SessionsLeft {
            server: id.clone(),
            sessions,
        });
    }

    pub(super) fn maintains(&self, at: usize, id: &ServerId) {
        self.progress.note(at, "in maint, CMD runs");
        if !self.ui.draws_bars() {
            self.say(&format!("{id}: no sessions left, in maint; CMD runs"));
        }
    }

    /// A line of what CMD wrote, where it wrote it.
    pub(super) fn output(&self, id: &ServerId, stream: Stream, line: &str) {
        if self.ui.wants_json() {
            self.event(|| Event::Output {
                server: id.clone(),
                stream,
                line: line.to_owned(),
            });
            return;
        }
        let line = format!("{} | {line}\n", id.server);
        self.progress.aside(|| match stream {
            // A stdout that nobody reads any more is no reason to stop half-way.
            Stream::Stdout => drop(self.ui.data(&line)),
            Stream::Stderr => self.ui.pass_on(&line),
        });
    }

    pub(super) fn waits_for_hook(&self) {
        self.warn("interrupted: it stops when CMD has ended; Ctrl-C again leaves CMD alone");
    }

    /// Asks somebody at the terminal to maintain a server, and to say so.
    pub(super) fn ask(&mut self, at: usize, id: &ServerId) {
        // What was typed before is no answer, whether somebody has read it or not.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        self.answers
            .get_or_insert_with(Answers::listen)
            .forget_early_ones();
        // Bars are not drawn where it is to be quiet; the question is to be seen all the same.
        if !self.ui.draws_bars() {
            self.ui
                .pass_on(&format!("{id} is drained and in maint; Enter when done\n"));
        }
        self.asks_still(at);
    }

    /// Shows the question, which a bar that is drawn too often may have swallowed.
    fn asks_still(&self, at: usize) {
        self.progress.note(
            at,
            "is drained and in maint; Enter when done, Ctrl-C to stop",
        );
    }

    /// Whether Enter came. `None`: none will, for the terminal is gone.
    pub(super) fn answer(&self, at: usize) -> Option<bool> {
        self.asks_still(at);
        self.answers.as_ref()?.came()
    }

    /// Enter came, and took the bars a line down.
    pub(super) fn answered(&self) {
        const LINE_UP: &str = "\x1b[1A";
        if self.ui.draws_bars() {
            self.ui.pass_on(LINE_UP);
        }
    }

    pub(super) fn health(&mut self, at: usize, now: &ServerStatus, step: Step) {
        if now.health == Health::Up {
            // It came back before anybody looked: nothing is waited for.
            return;
        }
        let text = match (now.rising, &now.last_check) {
            // The last check may be one from before.
            (Some(rising), _) => format!("ready again, {rising}"),
            (None, Some(last)) if last.result.is_ok() => {
                "ready again, its checks succeed, not often enough yet".to_owned()
            }
            (None, None) if !now.check => return,
            _ => format!("ready again, health {}", words::health(now)),
        };
        self.progress.show(at, &Step { text, ..step });
    }

    pub(super) fn done(&self, at: usize, id: &ServerId, took: Duration) {
        let took_s = (took.as_secs_f64() * 10.0).round() / 10.0;
        let took = duration::words(took);
        self.progress.note(at, &format!("done in {took}"));
        if !self.ui.draws_bars() {
            self.say(&format!("{id}: done in {took}"));
        }
        self.event(|| Event::Done {
            server: id.clone(),
            took_s,
        });
    }

    pub(super) fn pauses(&self, at: usize, pause: Duration) {
        if !pause.is_zero() {
            let pause = duration::words(pause);
            self.progress
                .note(at, &format!("to do, after a pause of {pause}"));
        }
    }

    /// # Errors
    /// As [`Ui::data`].
    pub(super) fn finished(self, plan: &Plan, took: Duration) -> Result<(), Error> {
        let Self {
            ui,
            backend,
            progress,
            ..
        } = self;
        progress.leave();
        let count = plan.todo.len();
        let servers = if count == 1 { "server" } else { "servers" };
        ui.say(&format!(
            "{backend}: {count} {servers} maintained in {}",
            duration::words(took)
        ));
        ui.json_if_asked(|| Event::Finished {
            done: plan.done.iter().chain(&plan.todo).cloned().collect(),
            skipped: plan.skipped.clone(),
        })
    }

    /// The error that ends the command, after what is done and what is not.
    pub(super) fn stopped(self, error: ErrorReply, plan: &Plan, at: usize, phase: Phase) -> Error {
        self.progress.leave();
        let (done, todo) = plan.todo.split_at(at);
        let done: Vec<&ServerName> = plan.done.iter().chain(done).collect();
        let rest = todo.get(1..).unwrap_or_default();
        if !self.ui.draws_bars() {
            let (done, todo) = (list(done.iter().copied()), list(rest));
            self.ui.say(&format!("done: {done}; to do: {todo}"));
        }
        Error::Wait {
            servers: Box::new(Unfinished::RollingMaintenance(Stopped {
                done: done.into_iter().cloned().collect(),
                skipped: plan.skipped.clone(),
                stopped_at: StoppedAt {
                    phase,
                    server: todo.first().cloned(),
                },
                todo: rest.to_vec(),
            })),
            error,
        }
    }

    fn say(&self, text: &str) {
        self.progress.aside(|| self.ui.say(text));
    }

    fn warn(&self, text: &str) {
        self.progress.aside(|| self.ui.warn(text));
    }

    /// A reader of events who has left is no reason to stop half-way.
    fn event(&self, event: impl FnOnce() -> Event) {
        let _ = self.ui.json_if_asked(event);
    }
}

/// Lines typed at the terminal.
#[derive(Debug)]
struct Answers(Receiver<()>);

impl Answers {
    fn listen() -> Self {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in io::stdin().lock().lines() {
                if line.is_err() || tell.send(()).is_err() {
                    return;
                }
            }
        });
        Self(told)
    }

    /// What was typed before the question is no answer to it.
    fn forget_early_ones(&self) {
        while self.0.try_recv().is_ok() {}
    }

    /// Whether Enter came. `None`: none will, for the terminal is gone.
    fn came(&self) -> Option<bool> {
        match self.0.try_recv() {
            Ok(()) => Some(true),
            Err(TryRecvError::Empty) => Some(false),
            Err(TryRecvError::Disconnected) => None,
        }
    }
}

/// What would be done.
pub(super) fn plan(
    ui: &Ui,
    args: &RollingMaintenance,
    backend: &BackendStatus,
    plan: &Plan,
) -> Result<(), Error> {
    let others = |server: &ServerName| Others::than(server, backend);
    if ui.wants_json() {
        let turn = |server: &ServerName| {
            let others = others(server);
            Turn {
                server: server.clone(),
                others_up: others.up,
                capacity_percent: others.percent,
            }
        };
        return ui.json(&Event::Plan {
            backend: backend.name.clone(),
            done: plan.done.clone(),
            todo: plan.todo.iter().map(turn).collect(),
            skipped: plan.skipped.clone(),
        });
    }
    let mut text = String::new();
    for server in &plan.done {
        let _ = writeln!(text, "{}/{server}: done already", backend.name);
    }
    for server in &plan.todo {
        let others = others(server);
        let too_few = match others.up.len() < args.min_up {
            true => format!(": it would stop here, --min-up wants {}", args.min_up),
            false => String::new(),
        };
        let what = args.exec.as_deref().unwrap_or("you maintain it");
        let _ = writeln!(
            text,
            "{}/{server}: drain (at most {}), maint, {what}, ready, healthy (at most {}); {}{too_few}",
            backend.name,
            duration::words(args.drain_timeout),
            duration::words(args.health_timeout),
            others.words(),
        );
    }
    for skipped in &plan.skipped {
        let _ = writeln!(text, "{}", left_out(&backend.name, skipped));
    }
    ui.data(&text)
}

fn left_out(backend: &BackendName, skipped: &Skipped) -> String {
    let Skipped { server, admin } = skipped;
    format!("{backend}/{server} is left out: it is in {admin} already, for somebody else")
}

/// `web01, web02`, or `none`
fn list<'a>(servers: impl IntoIterator<Item = &'a ServerName>) -> String {
    let names: Vec<&str> = servers.into_iter().map(ServerName::as_str).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
