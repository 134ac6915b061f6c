//! Findings as people read them: what is wrong first, then what is fine, then what nobody looked at.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::finding::{Finding, Severity};
use crate::ui::Canvas;

/// `findings` in the order of their severity.
pub(super) fn text(findings: &[Finding], canvas: &Canvas) -> String {
    let of = |severity| findings.iter().filter(move |f| f.severity == severity);
    let mut text = String::new();
    for finding in of(Severity::Problem).chain(of(Severity::Warning)) {
        in_full(&mut text, finding, canvas);
    }
    for finding in of(Severity::Fine) {
        let _ = writeln!(text, "{} {}", label("fine:", FINE, canvas), finding.what);
    }
    for finding in of(Severity::NotLookedAt) {
        let label = label("not looked at:", UNKNOWN, canvas);
        let why = finding.why.join("; ");
        let _ = write!(text, "{label} {}: {why}", finding.what);
        match &finding.remedy {
            Some(remedy) => _ = writeln!(text, " ({remedy})"),
            None => text.push('\n'),
        }
    }
    let _ = writeln!(text, "\n{}", summary(findings));
    text
}

const PROBLEM: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const FINE: Style = AnsiColor::Green.on_default();
const UNKNOWN: Style = AnsiColor::Cyan.on_default();

/// One line: "2 problems, 1 warning, 6 fine, 1 not looked at".
pub(super) fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let many = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    let mut parts = vec![match count(Severity::Problem) {
        0 => "no problem found".to_owned(),
        n => many(n, "problem"),
    }];
    if let n @ 1.. = count(Severity::Warning) {
        parts.push(many(n, "warning"));
    }
    parts.push(format!("{} fine", count(Severity::Fine)));
    if let n @ 1.. = count(Severity::NotLookedAt) {
        parts.push(format!("{n} not looked at"));
    }
    parts.join(", ")
}

fn in_full(text: &mut String, finding: &Finding, canvas: &Canvas) {
    let label = match finding.severity {
        Severity::Problem => label("problem:", PROBLEM, canvas),
        _ => label("warning:", WARNING, canvas),
    };
    let _ = writeln!(text, "{label} {}", finding.what);
    let mut line = |name: &str, said: &str| {
        let _ = writeln!(text, "  {name:7} {said}");
    };
    if let Some(place) = &finding.place {
        line("where", place);
    }
    let mut name = "why";
    for why in &finding.why {
        line(std::mem::take(&mut name), why);
    }
    if let Some(remedy) = &finding.remedy {
        line("remedy", remedy);
    }
    if let Some(command) = &finding.command {
        line("try", command);
    }
    text.push('\n');
}

fn label(word: &str, style: Style, canvas: &Canvas) -> String {
    match canvas.color {
        true => format!("{style}{word}{style:#}"),
        false => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Canvas = Canvas {
        width: Some(80),
        color: false,
    };

    #[test]
    fn what_is_wrong_comes_first_and_nothing_unseen_is_fine() {
        let findings = [
            Finding::fine("ports", "lbd listens on 0.0.0.0:80"),
            Finding::not_looked_at("firewall", "the rules of nft", "not allowed")
                .remedy("use sudo"),
            Finding::warning("clock", "the clock is late").remedy("set it"),
            Finding::problem("servers", "every server of app fails its check")
                .place("app")
                .why("web01 answered 404")
                .why("web02 answered 404")
                .remedy("add the path")
                .command("curl -i http://10.0.0.11:8080/healthz"),
        ];
        assert_eq!(
            text(&findings, &PLAIN),
            "\
problem: every server of app fails its check
  where   app
  why     web01 answered 404
          web02 answered 404
  remedy  add the path
  try     curl -i http://10.0.0.11:8080/healthz

warning: the clock is late
  remedy  set it

fine: lbd listens on 0.0.0.0:80
not looked at: the rules of nft: not allowed (use sudo)

1 problem, 1 warning, 1 fine, 1 not looked at
"
        );
        assert_eq!(summary(&findings[..1]), "no problem found, 1 fine");
    }

    #[test]
    fn colour_only_adds_to_the_words() {
        let canvas = Canvas {
            color: true,
            ..PLAIN
        };
        let findings = [Finding::problem("ports", "nobody listens")];
        assert!(text(&findings, &canvas).contains("problem:\x1b[0m nobody listens"));
    }
}
