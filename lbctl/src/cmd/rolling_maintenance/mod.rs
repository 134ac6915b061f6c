//! `rolling-maintenance`: the servers of a backend, one after the other, none of them missed.

mod hook;
mod nodes;
mod process;
mod tell;
mod turn;

use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use lb_proto::client::Client;
use lb_proto::document::rolling::Skipped;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{ServerId, ServerName};
use lb_proto::reason::Reason;
use lb_proto::request::{RollingBegin, Status};
use lb_proto::rolling::{Phase, Rolling, Turn};
use lb_proto::status::{BackendStatus, Status as StatusReply};

use self::hook::Hook;
use self::process::Fate;
use self::tell::Teller;
use self::turn::{Stop, Taken, Turns};
use crate::args::rolling::RollingMaintenance;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::rolling::{Plan, Stopped};
use crate::servers;
use crate::there;
use crate::ui::Ui;

pub(crate) use self::nodes::{Node, Nodes};

/// How long a client that has left may seem to be there.
const A_MOMENT: Duration = Duration::from_secs(1);

pub(crate) fn run(
    args: &RollingMaintenance,
    ui: &Ui,
    connect: impl Fn() -> Result<Nodes, ErrorReply>,
) -> Result<(), Error> {
    if args.exec.is_none() && !args.dry_run && (ui.wants_json() || !asks()) {
        return Err(nobody_to_ask().into());
    }
    let mut nodes = connect()?;
    let status = look(args, nodes.lead())?;
    let backend = &nodes.look(&args.backend)?;
    let chosen = chosen(&status, backend, args)?;
    let plan = match &backend.rolling {
        Some(stopped) if args.resume => Plan::resumed(backend, stopped),
        _ => Plan::new(backend, &chosen),
    };
    if let Some(stopped) = &backend.rolling
        && let Some(turn) = stopped.current()
        && !args.resume
        && plan.leaves_out(&turn.server)
        && args.dry_run
    {
        return Err(stands_in_the_way(args, stopped, turn).into());
    }
    if let Some(stopped) = &backend.rolling {
        nothing_runs(args, stopped, ui)?;
        if args.resume {
            is_there(backend, stopped)?;
        }
    }
    if args.dry_run {
        return tell::plan(ui, args, backend, &plan);
    }

    let interrupt = Interrupt::catch()?;
    let begun = nodes.begin(&RollingBegin {
        backend: args.backend.clone(),
        servers: plan.todo.clone(),
        resume: args.resume,
    })?;
    // Between the look and the claim somebody else may have gone on with it.
    let plan = match args.resume {
        true => {
            is_there(backend, &begun)?;
            Plan::resumed(backend, &begun)
        }
        false => plan,
    };
    if args.resume {
        absent(ui, backend, &begun);
    }
    let started = Instant::now();
    let teller = Teller::new(ui, &args.backend, &plan);
    teller.begin(&plan);
    let mut turns = Turns {
        args,
        nodes,
        interrupt: &interrupt,
        reason: reason(args.why.reason.as_ref()),
        warned: false,
        teller,
        hook: args.exec.as_deref().map(Hook::new),
    };
    let mut plan = plan;
    let mut done = 0;
    for (at, server) in plan.todo.clone().into_iter().enumerate() {
        match turns.take(&server, at) {
            Ok(Taken::Done) => done += 1,
            Ok(Taken::Somebodys(admin)) => {
                let skipped = Skipped { server, admin };
                turns.teller.leaves_out(at, &skipped);
                plan.leave_out(skipped);
            }
            Err(stop) => {
                let error = stopped(args, &server, &stop);
                let phase = stop.phase;
                return Err(turns.teller.stopped(error, &plan, done, phase));
            }
        }
    }
    let Turns {
        teller, mut nodes, ..
    } = turns;
    nodes.finish(&args.backend)?;
    teller.finished(&plan, started.elapsed())
}

/// Somebody who runs CMD may be gone, which the daemon hears a moment later.
fn look(args: &RollingMaintenance, daemon: &mut Client) -> Result<StatusReply, ErrorReply> {
    let until = Instant::now() + A_MOMENT;
    loop {
        let status = daemon.call(&Status::default())?;
        let rolling = find(&status, args)?.rolling.as_ref();
        let runs = rolling.filter(|rolling| rolling.running && rolling.hook.is_some());
        if runs.is_none() || Instant::now() > until {
            return Ok(status);
        }
        thread::sleep(A_MOMENT / 10);
    }
}

/// What the daemon would say to one that begins anew.
fn stands_in_the_way(args: &RollingMaintenance, stopped: &Rolling, turn: &Turn) -> ErrorReply {
    let backend = &args.backend;
    let message = format!(
        "the rolling maintenance of {backend} by {} stopped at {backend}/{}, which is still out",
        stopped.by, turn.server
    );
    ErrorReply::new(ErrorCode::Failed, message).hint("--resume --dry-run shows what is left of it")
}

/// A second CMD beside one that still runs would maintain the server twice at once.
fn nothing_runs(args: &RollingMaintenance, stopped: &Rolling, ui: &Ui) -> Result<(), ErrorReply> {
    let Some((hook, turn)) = stopped.hook.as_ref().zip(stopped.current()) else {
        return Ok(());
    };
    let server = ServerId::new(&args.backend, &turn.server);
    match process::fate(hook) {
        Fate::Gone => Ok(()),
        Fate::Runs(pids) => {
            let resume = there::resume();
            Err(process::in_the_way(
                (hook, &pids),
                &server,
                stopped,
                &resume,
            ))
        }
        Fate::Unknown => {
            ui.insist(&process::not_seen(hook, &server));
            Ok(())
        }
    }
}

/// The server at which it stopped is not forgotten because the configuration is without it just then.
fn is_there(backend: &BackendStatus, stopped: &Rolling) -> Result<(), ErrorReply> {
    let Some(turn) = stopped.current().filter(|turn| !has(backend, turn)) else {
        return Ok(());
    };
    let id = ServerId::new(&backend.name, &turn.server);
    let message = format!(
        "{id}, at which it stopped, is not in the configuration that runs; it stays remembered"
    );
    Err(ErrorReply::new(ErrorCode::StoppedPartWay, message).hint(format!(
        "once a reload has brought it back: {}; if it is gone for good, begin anew without --resume",
        there::resume()
    )))
}

/// Tells which others have no turn, as a reload took them away.
fn absent(ui: &Ui, backend: &BackendStatus, stopped: &Rolling) {
    let gone = |turn: &&Turn| turn.phase == Phase::ToDo && !has(backend, turn);
    for turn in stopped.turns.iter().filter(gone) {
        let id = ServerId::new(&backend.name, &turn.server);
        ui.insist(&format!(
            "{id} is left out: it is not in the configuration that runs"
        ));
    }
}

fn has(backend: &BackendStatus, turn: &Turn) -> bool {
    let mut servers = backend.servers.iter();
    servers.any(|server| server.name == turn.server)
}

/// Why its servers are out, for whoever looks at them.
fn reason(given: Option<&Reason>) -> Option<Reason> {
    const WHAT: &str = "rolling maintenance";
    let Some(given) = given else {
        return WHAT.parse().ok();
    };
    // What is too long together says enough by itself.
    let both = format!("{WHAT}: {given}").parse();
    both.ok().or_else(|| Some(given.clone()))
}

fn stopped(args: &RollingMaintenance, server: &ServerName, stop: &Stop) -> ErrorReply {
    Stopped {
        backend: &args.backend,
        server,
        why: &stop.why,
        left: stop.left,
        resume: &there::resume(),
        lbctl: &there::lbctl(),
    }
    .error()
}

/// Whether somebody is there who can be asked to press Enter.
fn asks() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn nobody_to_ask() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::Usage,
        "nobody can be asked to maintain the servers: this is no terminal, or --json",
    )
    .hint("give --exec CMD, or --dry-run to see what would be done")
}

fn find<'a>(
    status: &'a StatusReply,
    args: &RollingMaintenance,
) -> Result<&'a BackendStatus, ErrorReply> {
    let name = &args.backend;
    let mut backends = status.backends.iter();
    let found = backends.find(|backend| backend.name == *name);
    found.ok_or_else(|| servers::unknown(status, name.as_str()))
}

/// The servers that `--server` names, with or without their backend; all where it names none.
fn chosen(
    status: &StatusReply,
    backend: &BackendStatus,
    args: &RollingMaintenance,
) -> Result<Vec<ServerName>, ErrorReply> {
    if args.servers.is_empty() {
        return Ok(backend.servers.iter().map(|s| s.name.clone()).collect());
    }
    let whole = |name: &String| match name.contains('/') {
        true => name.clone(),
        false => format!("{}/{name}", backend.name),
    };
    let names: Vec<String> = args.servers.iter().map(whole).collect();
    let found = servers::find(status, &names)?;
    let stray = |id: &&ServerId| id.backend != backend.name;
    if let Some(stray) = found.iter().find(stray) {
        let message = format!("{stray} is not a server of {}", backend.name);
        return Err(ErrorReply::new(ErrorCode::Usage, message)
            .hint("a rolling maintenance is of one backend"));
    }
    Ok(found.into_iter().map(|id| id.server).collect())
}
