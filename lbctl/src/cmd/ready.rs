//! `ready`: puts servers back into rotation, and waits for their checks if asked to.

use lb_proto::client::Client;
use lb_proto::document::Unfinished;
use lb_proto::document::servers::{Readied, Servers};
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::request::Status;
use lb_proto::state::{Admin, Health};

use crate::args::Ready;
use crate::duration;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::servers::{self, Wanted};
use crate::ui::progress::{Progress, Step};
use crate::ui::{Ui, words};
use crate::wait::{self, Awaited, Verdict};

pub(crate) fn run(args: &Ready, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let status = daemon.call(&Status::default())?;
    let ids = servers::find(&status, &args.servers)?;

    let interrupt = Interrupt::catch()?;
    let wanted = Wanted::new(Admin::Ready, args.why.reason.clone());
    let set = servers::set_all(daemon, ui, &ids, &wanted)?;
    let mut awaited = Awaited::each(ids, set);
    if !args.wait {
        for server in &awaited {
            ui.say(&without_waiting(server));
        }
        return ui.json_if_asked(|| report(&awaited));
    }

    wait_for_all(args, ui, daemon, &mut awaited, &interrupt)?;
    match failure(&awaited, interrupt.pressed()) {
        Some(error) => Err(Error::Wait {
            error,
            servers: Box::new(Unfinished::Ready(report(&awaited).servers)),
        }),
        None => ui.json_if_asked(|| report(&awaited)),
    }
}

fn wait_for_all(
    args: &Ready,
    ui: &Ui,
    daemon: &mut Client,
    awaited: &mut [Awaited],
    interrupt: &Interrupt,
) -> Result<(), ErrorReply> {
    let mut progress = Progress::new(ui, awaited.iter().map(|server| &server.id));
    let judge = |now: &_, waited| wait::healthy(now, waited, args.timeout);
    wait::until(
        daemon,
        awaited,
        judge,
        interrupt,
        |at, server| match server.verdict {
            Verdict::Done => progress.end(at, Some(&healthy(server))),
            Verdict::Waiting => progress.show(
                at,
                &Step {
                    text: format!("health {}", words::health(&server.now)),
                    done: None,
                    waited: server.waited,
                    until: args.timeout,
                },
            ),
            Verdict::Overruled(_) | Verdict::Expired => progress.end(at, None),
        },
    )
}

fn healthy(server: &Awaited) -> String {
    let id = &server.id;
    if !server.now.check {
        return format!("{id} is ready and up; it has no health checks");
    }
    if server.waited < wait::AT_ONCE {
        return format!("{id} is ready and up");
    }
    let waited = duration::words(server.waited);
    format!("{id} is ready and up, healthy after {waited}")
}

fn without_waiting(server: &Awaited) -> String {
    let id = &server.id;
    match server.now.health {
        Health::Up => format!("{id} is ready and up"),
        Health::Unchecked if !server.now.check => {
            format!("{id} is ready and up; it has no health checks")
        }
        Health::Unchecked => {
            format!("{id} is ready and takes requests; no check has spoken yet")
        }
        // The last check is from before, and does not count.
        Health::Down
            if server
                .now
                .last_check
                .as_ref()
                .is_none_or(|last| last.result.is_ok()) =>
        {
            format!("{id} is ready; it takes requests once its checks have succeeded")
        }
        Health::Down => format!(
            "{id} is ready, but health is {}; it takes requests once its checks have succeeded",
            words::health(&server.now)
        ),
    }
}

fn failure(awaited: &[Awaited], interrupted: bool) -> Option<ErrorReply> {
    let overruled = awaited
        .iter()
        .find(|server| matches!(server.verdict, Verdict::Overruled(_)));
    if let Some(server) = overruled {
        return Some(ErrorReply::new(
            ErrorCode::Failed,
            format!(
                "{} was set to {} by someone else before it was healthy",
                server.id, server.now.admin
            ),
        ));
    }
    let expired = each_with(awaited, Verdict::Expired);
    if !expired.is_empty() {
        return Some(
            ErrorReply::new(
                ErrorCode::TimedOut,
                format!("not healthy in time: {}", expired.join(", ")),
            )
            .hint("they stay ready and take requests when their checks succeed"),
        );
    }
    let waiting = each_with(awaited, Verdict::Waiting);
    if interrupted && !waiting.is_empty() {
        return Some(
            ErrorReply::new(
                ErrorCode::Interrupted,
                format!("stopped waiting: {}", waiting.join(", ")),
            )
            .hint("they stay ready and take requests when their checks succeed"),
        );
    }
    None
}

/// `app/web01 is down (L4CON: connection refused) after 2m`
fn each_with(awaited: &[Awaited], verdict: Verdict) -> Vec<String> {
    awaited
        .iter()
        .filter(|server| server.verdict == verdict)
        .map(|server| {
            format!(
                "{} is {} after {}",
                server.id,
                words::health(&server.now),
                duration::words(server.waited)
            )
        })
        .collect()
}

fn report(awaited: &[Awaited]) -> Servers<Readied> {
    let each = awaited.iter().map(|server| Readied {
        admin: server.now.admin,
        health: server.now.health,
        last_check: server.now.last_check.clone(),
        not_kept: server.not_kept.clone(),
        server: server.id.clone(),
        state: server.now.state,
        waited_s: server.waited_s(),
        was: server.was,
    });
    Servers {
        servers: each.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ui::sample;

    #[test]
    fn a_timeout_says_what_the_last_check_saw() {
        let servers = [Awaited {
            id: "app/web02".parse().unwrap(),
            not_kept: None,
            was: Admin::Maint,
            now: sample::down("web02"),
            waited: Duration::from_secs(120),
            verdict: Verdict::Expired,
        }];
        let error = failure(&servers, false).expect("it failed");
        assert_eq!(error.code, ErrorCode::TimedOut);
        assert_eq!(
            error.message,
            "not healthy in time: app/web02 is down \
             (L4CON: connection refused by 10.0.0.12:8080) after 2m"
        );
    }
}
