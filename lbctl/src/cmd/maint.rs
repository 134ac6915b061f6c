//! `maint`: takes servers out entirely, and tells what still runs there or closes it.

use std::time::Duration;

use lb_proto::client::Client;
use lb_proto::document::Unfinished;
use lb_proto::document::servers::{Maintained, Servers};
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::request::Status;
use lb_proto::state::Admin;

use crate::args::Maint;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::servers::{self, Wanted};
use crate::ui::{Ui, words};
use crate::wait::{self, Awaited, Verdict};

/// How long sessions that are closed may take to be gone. It takes them a moment.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Maint, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let status = daemon.call(&Status::default())?;
    let ids = servers::find(&status, &args.servers)?;
    ui.warn_left_alone(&servers::left_alone(&status, &ids));

    let wanted = Wanted {
        lasts: args.lasts,
        kill: args.kill,
        ..Wanted::new(Admin::Maint, args.why.reason.clone())
    };
    let set = servers::set_all(daemon, ui, &ids, &wanted)?;
    let killed: Vec<u64> = set
        .iter()
        .map(|set| set.killed.unwrap_or_default())
        .collect();
    let mut servers = Awaited::each(ids, set);
    if args.kill {
        let judge = |now: &_, waited| wait::drained(now, waited, PATIENCE);
        let interrupt = Interrupt::catch()?;
        wait::until(daemon, &mut servers, judge, &interrupt, |at, server| {
            if server.verdict == Verdict::Done {
                ui.say(&closed(server, killed[at]));
            }
        })?;
        if let Some(error) = failure(&servers) {
            let servers = Box::new(Unfinished::Maint(report(&servers).servers));
            return Err(Error::Wait { error, servers });
        }
    } else {
        for server in &servers {
            ui.say(&running(server));
        }
    }
    ui.json_if_asked(|| report(&servers))
}

fn running(server: &Awaited) -> String {
    let (id, until) = (&server.id, words::until(&server.now));
    match server.now.sessions {
        0 => format!("{id} is in maint{until}: no sessions are running"),
        left => format!(
            "{id} is in maint{until}: {} running there will finish",
            words::sessions(left)
        ),
    }
}

fn closed(server: &Awaited, ran: u64) -> String {
    let (id, until) = (&server.id, words::until(&server.now));
    match ran {
        0 => format!("{id} is in maint{until}: no sessions were running"),
        _ => format!("{id} is in maint{until}: {} closed", words::sessions(ran)),
    }
}

fn failure(servers: &[Awaited]) -> Option<ErrorReply> {
    let left = servers
        .iter()
        .find(|server| server.verdict != Verdict::Done)?;
    let (id, sessions) = (&left.id, words::sessions(left.now.sessions));
    Some(match left.verdict {
        Verdict::Overruled(admin) => ErrorReply::new(
            ErrorCode::Failed,
            format!("{id} was set {admin} by someone else while its sessions were closed"),
        ),
        _ => ErrorReply::new(
            ErrorCode::TimedOut,
            format!("{id} is in maint and still has {sessions}, which were to be closed"),
        ),
    })
}

fn report(servers: &[Awaited]) -> Servers<Maintained> {
    let each = servers.iter().map(|server| Maintained {
        admin: server.now.admin,
        not_kept: server.not_kept.clone(),
        server: server.id.clone(),
        sessions: server.now.sessions,
        until: words::until_when(&server.now),
        was: server.was,
    });
    Servers {
        servers: each.collect(),
    }
}
