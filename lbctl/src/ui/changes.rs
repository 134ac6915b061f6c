//! What another configuration changes, as people read it: by section, a sign and a line a change, and
//! below it what that means for what runs.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use lb_proto::harmless::harmless;
use lb_proto::plan::{Change, Effect, Kind, Part, Section};

use super::{Canvas, words};

pub(crate) fn render(changes: &[Change], canvas: &Canvas) -> String {
    let mut text = String::new();
    let mut last = None;
    for change in changes {
        let heading = heading(change);
        if last.as_ref() != Some(&heading) {
            let style = style(Style::new().bold(), canvas);
            let _ = writeln!(text, "{style}{heading}{style:#}");
            last = Some(heading);
        }
        let (sign, color) = sign(change.change);
        let style = style(color.on_default(), canvas);
        let _ = writeln!(text, "  {style}{sign}{style:#} {}", what(change));
        let _ = writeln!(text, "      {}", effect(change));
    }
    text
}

/// `2 added, 1 changed`
pub(crate) fn count(changes: &[Change]) -> String {
    let kinds = [
        (Kind::Added, "added"),
        (Kind::Removed, "removed"),
        (Kind::Changed, "changed"),
        (Kind::Moved, "moved"),
    ];
    let of = |kind| {
        changes
            .iter()
            .filter(|change| change.change == kind)
            .count()
    };
    let told = kinds.into_iter().filter_map(|(kind, word)| match of(kind) {
        0 => None,
        count => Some(format!("{count} {word}")),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn style(wanted: Style, canvas: &Canvas) -> Style {
    if canvas.color { wanted } else { Style::new() }
}

fn sign(kind: Kind) -> (char, AnsiColor) {
    match kind {
        Kind::Added => ('+', AnsiColor::Green),
        Kind::Removed => ('-', AnsiColor::Red),
        Kind::Changed => ('~', AnsiColor::Yellow),
        Kind::Moved => ('>', AnsiColor::Yellow),
    }
}

fn heading(change: &Change) -> String {
    let name = harmless(&change.place.name);
    match change.place.section {
        Section::Global => "global".to_owned(),
        Section::Admin => "admin".to_owned(),
        Section::Traces => "traces".to_owned(),
        Section::Frontend => format!("frontend {name}"),
        Section::Backend => format!("backend {name}"),
        Section::Certificate => format!("certificate {name}"),
    }
}

fn what(change: &Change) -> String {
    let part = match &change.place.part {
        None => None,
        Some(Part::Bind(address)) => Some(format!("bind {address}")),
        Some(Part::Route(position)) => Some(format!("route {position}")),
        Some(Part::Server(name)) => Some(format!("server {name}")),
    };
    let subject = match (part, &change.key) {
        (Some(part), Some(key)) => format!("{part} {key}"),
        (Some(part), None) => part,
        (None, Some(key)) => key.clone(),
        (None, None) => match change.change {
            Kind::Added => "added".to_owned(),
            Kind::Removed => "removed".to_owned(),
            Kind::Changed => "changed".to_owned(),
            Kind::Moved => "moved".to_owned(),
        },
    };
    let value = |value: &Option<String>| value.as_deref().map_or("none".to_owned(), harmless);
    match change.change {
        Kind::Added => format!("{subject}: {}", value(&change.now)),
        Kind::Removed => format!("{subject}: {}", value(&change.was)),
        Kind::Changed if change.was == change.now => format!("{subject}: another"),
        Kind::Changed => format!(
            "{subject}: {} -> {}",
            value(&change.was),
            value(&change.now)
        ),
        Kind::Moved if change.was.is_none() => format!("{subject}: in another order"),
        Kind::Moved => format!("{subject}: was {}", value(&change.was)),
    }
}

fn effect(change: &Change) -> String {
    let sessions = change.sessions.unwrap_or_default();
    let finish = |how: &str| match sessions {
        0 => "no session is running there".to_owned(),
        1 => format!("the session there finishes{how}"),
        many => format!("the {many} sessions there finish{how}"),
    };
    match change.effect {
        Effect::AtOnce => "at once; no session is touched".to_owned(),
        Effect::NewRequests => {
            "for requests that begin then; running ones go on as they began".to_owned()
        }
        Effect::NewConnections => {
            "for connections made then; open ones stay as they are".to_owned()
        }
        Effect::NewHandshakes => {
            "in handshakes that begin then; open connections stay as they are".to_owned()
        }
        Effect::NewSessions => "for new sessions; running ones stay where they are".to_owned(),
        Effect::SessionsFinish => format!("{}; nothing new goes there", finish("")),
        Effect::ConnectionsFinish => connections_finish(change),
        Effect::StartsOver => {
            let finish = finish(" at the old address");
            format!("its health starts over; {finish}")
        }
        Effect::Reconnects => {
            let finish = finish(" on their connections");
            format!("connections to it are made anew; {finish}")
        }
        Effect::ChecksAgain => {
            "checks begin anew; health stays until they say something else".to_owned()
        }
        Effect::Joins => {
            "takes sessions once its checks succeed, or at once where no other is up".to_owned()
        }
        Effect::Listens => "connections are accepted there".to_owned(),
        Effect::CookiesForgotten => {
            "clients that bring the cookie of before go to any server".to_owned()
        }
        Effect::Restart => "when lbd is restarted".to_owned(),
        Effect::Shown => "only what is shown, and in which order".to_owned(),
    }
}

fn connections_finish(change: &Change) -> String {
    let connections = match change.connections.unwrap_or_default() {
        0 => return "no connection is open; none is accepted any more".to_owned(),
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    };
    let sessions = words::sessions(change.sessions.unwrap_or_default());
    let whose = match change.place.part {
        Some(_) => "the frontend has {}: those made there finish what they carry",
        None => "{} finish what they carry",
    };
    let whose = whose.replace("{}", &format!("{connections} with {sessions}"));
    format!("{whose}; none is accepted any more")
}

#[cfg(test)]
mod tests {
    use lb_proto::plan::Place;

    use super::*;

    fn change(change: Kind, part: Option<Part>, key: Option<&str>, effect: Effect) -> Change {
        Change {
            change,
            place: Place {
                section: Section::Backend,
                name: "app".to_owned(),
                part,
            },
            key: key.map(str::to_owned),
            was: Some("1".to_owned()),
            now: Some("\u{1b}2".to_owned()),
            effect,
            sessions: Some(3),
            connections: None,
        }
    }

    fn plain(changes: &[Change]) -> String {
        let canvas = Canvas {
            width: None,
            color: false,
        };
        render(changes, &canvas)
    }

    #[test]
    fn a_change_has_a_sign_a_line_and_a_consequence() {
        let server = Part::Server("web02".parse().unwrap());
        let changes = [
            change(Kind::Changed, None, Some("retries"), Effect::NewRequests),
            change(Kind::Removed, Some(server), None, Effect::SessionsFinish),
            change(Kind::Moved, Some(Part::Route(2)), None, Effect::NewRequests),
        ];
        let expected = "\
backend app
  ~ retries: 1 -> \u{241b}2
      for requests that begin then; running ones go on as they began
  - server web02: 1
      the 3 sessions there finish; nothing new goes there
  > route 2: was 1
      for requests that begin then; running ones go on as they began
";
        assert_eq!(plain(&changes), expected);
        assert_eq!(count(&changes), "1 removed, 1 changed, 1 moved");
    }

    #[test]
    fn connections_of_a_bind_are_some_of_its_frontends() {
        let mut gone = change(Kind::Removed, None, None, Effect::ConnectionsFinish);
        gone.connections = Some(12);
        let whole =
            "12 connections with 3 sessions finish what they carry; none is accepted any more";
        assert_eq!(effect(&gone), whole);
        gone.place.part = Some(Part::Bind("0.0.0.0:80".to_owned()));
        assert!(
            effect(&gone).starts_with("the frontend has 12 connections with 3 sessions: those")
        );
        gone.connections = Some(0);
        assert!(effect(&gone).starts_with("no connection is open"));
    }
}
