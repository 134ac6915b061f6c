//! The page as HTML. What is put into it is escaped, whatever it holds: by `maud`, and nowhere else.
//!
//! A place that changes has the name of its cell in `data-c` (its text) or `data-a` (`attribute:cell`, several with
//! spaces between), and the nearest `data-row` around it says whose. `page.js` fills them by these.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::spark::{HEIGHT, WIDTH};
use super::tables;
use super::view::{Cells, View};
use crate::admin::assets;

/// Shapes that tell states and levels apart where colours do not.
const SHAPES: &str = include_str!("../assets/shapes.svg");

/// The whole page. `layout` changes when there are other rows; `token` is for those who may act.
pub(super) fn page(view: &View, layout: &str, refresh: Duration, token: Option<&str>) -> String {
    let daemon = &view.daemon.cells;
    let seconds = refresh.as_secs();
    let markup = html! {
        (DOCTYPE)
        html lang="en" data-row="daemon" data-layout=(layout) data-refresh=(seconds) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                (text(daemon, "title", Tag::Title))
                noscript { meta http-equiv="refresh" content=(seconds); }
                link rel="icon" type="image/svg+xml" href=(assets::path("icon.svg"));
                link rel="stylesheet" href=(assets::path("page.css"));
                script src=(assets::path("page.js")) defer {}
                @if let Some(token) = token {
                    meta name="lbd-token" content=(token);
                    script src=(assets::path("act.js")) defer {}
                }
            }
            body {
                a.skip href="#backends" { "Skip to the servers" }
                (PreEscaped(SHAPES))
                p #said.hidden role="status" {}
                (top(daemon, seconds))
                main {
                    (totals(daemon))
                    (attention(&view.attention))
                    (tables::backends(view))
                    (tables::frontends(&view.frontends))
                    (tables::certificates(&view.certificates))
                    div.pair { (configuration(daemon)) (events(&view.events)) }
                }
                @if token.is_some() { (act()) }
                footer {
                    p {
                        "Request and error rates and response times are those of the last minute; drawings show five minutes. "
                        "As data: " a href="api/v1/status" { "status" } ", " a href="metrics" { "metrics" } "."
                    }
                }
            }
        }
    };
    markup.into_string()
}

pub(super) enum Tag {
    Title,
    Span,
    /// With a class of its own.
    Of(&'static str),
}

/// The text of a cell, where it changes.
pub(super) fn text(cells: &Cells, name: &'static str, tag: Tag) -> Markup {
    let text = cells.get(name);
    match tag {
        Tag::Title => html! { title data-c=(name) { (text) } },
        Tag::Span => html! { span data-c=(name) { (text) } },
        Tag::Of(class) => html! { span class=(class) data-c=(name) { (text) } },
    }
}

pub(super) fn icon(cells: &Cells) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" aria-hidden="true" { use href=(cells.get("icon")) data-a="href:icon" {} }
    }
}

/// Five minutes of it.
pub(super) fn spark(cells: &Cells, what: &str) -> Markup {
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
            path d=(cells.get("spark")) data-a="d:spark" {}
        }
        span.hidden { (what) " " (text(cells, "drawn", Tag::Span)) }
    }
}

fn top(daemon: &Cells, seconds: u64) -> Markup {
    html! {
        header.top {
            h1 { span.mark { "lb" } " " (text(daemon, "host", Tag::Span)) }
            p.about { "lbd " (text(daemon, "version", Tag::Span)) ", up for " (text(daemon, "uptime", Tag::Span)) }
            p #live.live data-state="still" {
                span.dot {}
                span #live-text role="status" { "as of " (text(daemon, "clock", Tag::Span)) ", every " (seconds) "s" }
                a #live-again href="" hidden { "Load it again" }
            }
        }
    }
}

fn totals(daemon: &Cells) -> Markup {
    let tile = |what: &str, value: Markup, more: Markup| {
        html! { div.tile { dt { (what) } dd { strong { (value) } " " span.more { (more) } } } }
    };
    let of = |name| text(daemon, name, Tag::Span);
    html! {
        dl.totals aria-label="All together" {
            div.tile data-look=(daemon.get("servers")) data-a="data-look:servers" {
                dt { "Servers up" }
                dd { strong { (of("well")) } " " span.more { "of " (of("all")) } }
            }
            (tile("Requests", of("rate"), html! { "last minute" }))
            (tile("5xx answers", of("errors"), html! { "last minute" }))
            (tile("In flight", of("sessions"), html! { "now" }))
            (tile("Connections", of("connections"), html! { "of " (of("limit")) }))
            (tile("Configuration", of("generation"), html! { "since " (of("loaded")) }))
        }
    }
}

fn attention(lines: &[Cells]) -> Markup {
    let line = |cells: &Cells| {
        html! {
            li data-level=(cells.get("level")) data-a="data-level:level" {
                (icon(cells))
                a href=(cells.get("link")) data-a="href:link" data-c="text" { (cells.get("text")) }
            }
        }
    };
    html! {
        section.attention aria-labelledby="attention" {
            h2 #attention { "Needs attention" }
            (list("attention", lines, line))
            p.calm { svg.icon viewBox="0 0 16 16" aria-hidden="true" { use href="#i-up" {} } "Nothing. Every server is up." }
        }
    }
}

/// A list that is made anew when it changes, from the template that is beside it.
fn list(name: &str, lines: &[Cells], line: impl Fn(&Cells) -> Markup) -> Markup {
    html! {
        ul data-list=(name) { @for cells in lines { (line(cells)) } }
        template data-for=(name) { (line(&Cells::default())) }
    }
}

fn events(events: &[Cells]) -> Markup {
    let line = |cells: &Cells| {
        html! {
            li data-look=(cells.get("look")) data-a="data-look:look" {
                (icon(cells))
                time datetime=(cells.get("at")) data-a="datetime:at" data-c="clock" { (cells.get("clock")) }
                " " (text(cells, "what", Tag::Of("what")))
                " " (text(cells, "text", Tag::Of("told")))
            }
        }
    };
    html! {
        section.card.events aria-labelledby="events" {
            h2 #events { "Latest events" }
            (list("events", events, line))
            p.calm { "None since lbd started." }
        }
    }
}

fn configuration(daemon: &Cells) -> Markup {
    let of = |name| text(daemon, name, Tag::Span);
    html! {
        section.card aria-labelledby="configuration" {
            h2 #configuration { "Configuration" }
            dl.facts {
                div { dt { "File" } dd { code { (of("path")) } } }
                div { dt { "Generation" } dd { (of("generation")) ", loaded " (of("loaded")) } }
                div {
                    dt { "Last reload" }
                    dd data-tone=(daemon.get("reloaded")) data-a="data-tone:reloaded" { (of("reload")) }
                }
                div { dt { "SHA-256" } dd { code { (of("sha256")) "…" } } }
            }
        }
    }
}

/// What is asked before something is done, and the buttons that lead there: each row gets its own of them.
fn act() -> Markup {
    html! {
        template #acts {
            span.acts {
                button type="button" data-act="ready" { "Ready" }
                button type="button" data-act="drain" { "Drain" }
                button type="button" data-act="maint" { "Maint" }
            }
        }
        dialog #act aria-labelledby="act-title" {
            form #act-form {
                h2 #act-title {}
                p.last #act-last role="alert" hidden {
                    svg.icon viewBox="0 0 16 16" aria-hidden="true" { use href="#i-bad" {} }
                    span #act-last-text {}
                }
                ul #act-will {}
                label.field { "Reason, for whoever sees it later" input #act-reason type="text" maxlength="200" autocomplete="off"; }
                label { input #act-move type="checkbox"; " Send its sticky clients elsewhere, too" }
                label { input #act-kill type="checkbox"; " Close its sessions at once" }
                p.wrong #act-error role="alert" {}
                p.choice {
                    button #act-no type="button" { "Cancel" }
                    button.yes #act-yes type="submit" {}
                }
            }
        }
    }
}
