//! Events as people read them: a line each, in columns.

use anstyle::{AnsiColor, Style};
use lb_proto::audit::{Audit, Outcome};
use lb_proto::event::Event;
use lb_proto::state::State;

use super::{Canvas, words};

/// Wide enough for most names and changes; longer ones push what follows to the right.
const NAME: usize = 16;
const CHANGE: usize = 18;

/// The line of an event, ended; `None`: it is not for people.
pub(crate) fn line(event: &Event, canvas: &Canvas) -> Option<String> {
    let (at, name, change, color, why) = match event {
        Event::Server {
            at,
            server,
            was,
            state,
            ejected,
            reason,
            ..
        } => {
            let to = match ejected {
                true => format!("{state}, ejected"),
                false => state.to_string(),
            };
            let color = match ejected {
                true => AnsiColor::Yellow,
                false => of_state(*state),
            };
            (
                at,
                server.to_string(),
                arrow(&was.to_string(), &to),
                color,
                reason.clone(),
            )
        }
        Event::Weight {
            at,
            server,
            was,
            weight,
            reason,
        } => {
            let change = format!("weight {}", arrow(&was.to_string(), &weight.to_string()));
            (
                at,
                server.to_string(),
                change,
                AnsiColor::Blue,
                reason.clone(),
            )
        }
        Event::Config {
            at,
            generation,
            reason,
        } => {
            let change = format!("generation {generation}");
            let why = match reason.is_empty() {
                true => "a configuration was loaded".to_owned(),
                false => reason.clone(),
            };
            (at, "configuration".to_owned(), change, AnsiColor::Blue, why)
        }
        Event::Audit(record) => {
            let color = match record.outcome {
                Outcome::Done => AnsiColor::Green,
                Outcome::Refused => AnsiColor::Yellow,
                Outcome::Failed => AnsiColor::Red,
            };
            let name = record.on.clone().unwrap_or_else(|| "lbd".to_owned());
            (&record.at, name, asked(record), color, answer(record))
        }
        Event::Missed { .. } => return None,
    };
    let style = match canvas.color {
        true => Style::new().fg_color(Some(color.into())),
        false => Style::new(),
    };
    let time = words::time(at);
    // Padded here: an escape sequence has no width.
    let pad = " ".repeat(CHANGE.saturating_sub(change.chars().count()));
    let line = format!("{time}  {name:NAME$}  {style}{change}{style:#}{pad}  {why}");
    Some(format!("{}\n", line.trim_end()))
}

fn of_state(state: State) -> AnsiColor {
    match state {
        State::Up => AnsiColor::Green,
        State::Down => AnsiColor::Red,
        State::Drain => AnsiColor::Yellow,
        State::Maint => AnsiColor::Blue,
    }
}

fn arrow(from: &str, to: &str) -> String {
    match from == to {
        true => to.to_owned(),
        false => format!("{from} → {to}"),
    }
}

/// `set_state ready → drain`
fn asked(record: &Audit) -> String {
    let change = match (&record.from, &record.to) {
        (Some(from), Some(to)) => arrow(from, to),
        (from, to) => to.as_ref().or(from.as_ref()).cloned().unwrap_or_default(),
    };
    format!("{} {change}", record.what).trim_end().to_owned()
}

/// `by ops (uid 1000, pid 4711): kernel update; refused: there is no such server`
fn answer(record: &Audit) -> String {
    let by = format!("by {}", record.by);
    let reason = record.reason.as_ref();
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    let outcome = match (record.outcome, &record.error) {
        (Outcome::Done, None) => String::new(),
        (outcome, error) => {
            let error = error.as_deref().unwrap_or_default();
            format!("; {}: {error}", outcome.as_str())
        }
    };
    format!("{by}{reason}{outcome}")
}

#[cfg(test)]
mod tests {
    use lb_proto::state::{Admin, Health};
    use lb_proto::status::By;

    use super::*;

    const PLAIN: Canvas = Canvas {
        width: None,
        color: false,
    };

    #[test]
    fn a_line_tells_when_who_what_and_why() {
        let at = "2026-11-27T18:30:05.123Z".to_owned();
        let down = Event::Server {
            at: at.clone(),
            server: "app/web01".parse().unwrap(),
            was: State::Up,
            state: State::Down,
            admin: Admin::Ready,
            health: Health::Down,
            move_sticky: false,
            ejected: false,
            reason: "L4CON: connection refused".to_owned(),
        };
        assert_eq!(
            line(&down, &PLAIN).unwrap(),
            "2026-11-27 18:30:05 UTC  app/web01         up → down           L4CON: connection refused\n"
        );
        let refused = Event::Audit(Audit {
            at,
            by: By {
                uid: Some(1000),
                pid: Some(4711),
                user: Some("ops".to_owned()),
                dashboard: None,
            },
            what: "set_weight".to_owned(),
            on: Some("app/web1".to_owned()),
            from: None,
            to: Some("3".to_owned()),
            reason: Some("test".to_owned()),
            outcome: Outcome::Refused,
            error: Some("no such server: app/web1".to_owned()),
        });
        assert_eq!(
            line(&refused, &PLAIN).unwrap(),
            "2026-11-27 18:30:05 UTC  app/web1          set_weight 3        by ops (uid 1000, pid 4711): test; \
             refused: no such server: app/web1\n"
        );
        let color = Canvas {
            width: None,
            color: true,
        };
        assert!(
            line(&down, &color)
                .unwrap()
                .contains("\x1b[31mup → down\x1b[0m")
        );
    }
}
