//! The tables of the page. On a narrow screen their rows are cards: roles keep them tables for those who listen.

use maud::{Markup, html};

use super::html::{Tag, icon, spark, text};
use super::view::{Cells, Pool, Row, View, anchor};

/// A column: its head, and the number that it is sorted by (`by` of a server), if it is.
struct Column(&'static str, Option<u8>);

const SERVERS: &[Column] = &[
    Column("State", Some(0)),
    Column("Sessions", Some(1)),
    Column("Requests", Some(2)),
    Column("Errors", Some(3)),
    Column("Response time", Some(4)),
    Column("Bytes", Some(5)),
    Column("Last check", None),
    Column("Weight", None),
];

pub(super) fn backends(view: &View) -> Markup {
    html! {
        section aria-labelledby="backends" {
            div.bar {
                h2 #backends { "Backends" }
                form.tools #tools role="search" hidden {
                    label { "Filter " input #filter type="search" placeholder="name, address, state" autocomplete="off" spellcheck="false"; }
                    label { "Show " select #show {
                        option value="" { "all servers" }
                        option value="ill" { "not up" }
                        option value="busy" { "with sessions" }
                    } }
                    p #found role="status" {}
                }
            }
            @for pool in &view.pools { (pool_table(pool)) }
        }
    }
}

fn pool_table(pool: &Pool) -> Markup {
    let Row { key, cells } = &pool.row;
    let id = anchor(key);
    html! {
        section.card.pool #(id) data-row=(key) data-look=(cells.get("look")) data-well=(cells.get("well")) data-all=(cells.get("all"))
            data-a="data-look:look data-well:well data-all:all" {
            table role="table" aria-labelledby={ (id) "-is" } {
                caption #{ (id) "-is" } {
                    strong { (text(cells, "name", Tag::Span)) }
                    " " (text(cells, "up", Tag::Of("up")))
                    " " (text(cells, "balance", Tag::Of("more")))
                    " " (text(cells, "queued", Tag::Of("queued")))
                    " " (text(cells, "more", Tag::Of("more")))
                }
                thead role="rowgroup" {
                    tr role="row" {
                        th role="columnheader" scope="col" data-sort="name" { "Server" }
                        @for Column(head, sort) in SERVERS {
                            th role="columnheader" scope="col" data-sort=[sort] { (head) }
                        }
                    }
                }
                tbody role="rowgroup" { @for server in &pool.servers { (server_row(server)) } }
            }
        }
    }
}

fn server_row(server: &Row) -> Markup {
    let Row { key, cells } = server;
    let of = |name| text(cells, name, Tag::Span);
    let small = |name| text(cells, name, Tag::Of("small"));
    html! {
        tr #(anchor(key)) role="row" data-row=(key) data-look=(cells.get("look")) data-admin=(cells.get("admin")) data-by=(cells.get("by")) data-held=(cells.get("held"))
            data-a="data-look:look data-admin:admin data-by:by data-held:held" {
            th.server role="rowheader" scope="row" {
                strong { (of("name")) } " " (text(cells, "role", Tag::Of("badge")))
                (small("address"))
            }
            td.state role="cell" data-l="State" {
                span.word { (icon(cells)) (of("word")) } " " (text(cells, "since", Tag::Of("since")))
                (text(cells, "left", Tag::Of("left")))
                (small("why"))
            }
            td role="cell" data-l="Sessions" {
                span.level { strong { (of("sessions")) } (spark(cells, "sessions,")) }
                span.small { "most " (of("most")) (text(cells, "sticky", Tag::Of("sticky"))) }
            }
            td.number role="cell" data-l="Requests" { (of("rate")) }
            td.number role="cell" data-l="Errors" data-tone=(cells.get("failing")) data-a="data-tone:failing" { (of("errors")) }
            td.times role="cell" data-l="Response time" { (times(cells)) }
            td.number role="cell" data-l="Bytes" {
                span.pair { span.hidden { "in " } span.arrow aria-hidden="true" { "↑" } (of("in")) }
                span.pair { span.hidden { "out " } span.arrow aria-hidden="true" { "↓" } (of("out")) }
            }
            td role="cell" data-l="Last check" { (check(key, cells)) }
            td role="cell" data-l="Weight" { (of("weight")) (small("set")) }
        }
    }
}

/// What half, and what nearly all had to wait at most.
fn times(cells: &Cells) -> Markup {
    html! {
        @for name in ["p50", "p95", "p99"] {
            span.pair { span.small { (name) } " " (text(cells, name, Tag::Span)) }
        }
    }
}

fn check(key: &str, cells: &Cells) -> Markup {
    let tip = format!("{}-check", anchor(key));
    html! {
        span.tip {
            button type="button" aria-describedby=(tip) data-tone=(cells.get("tone")) data-a="data-tone:tone" {
                (text(cells, "check", Tag::Span)) " " (text(cells, "took", Tag::Of("small")))
            }
            span.detail #(tip) role="tooltip" data-c="detail" { (cells.get("detail")) }
        }
    }
}

/// A table without a place of its own for each cell.
fn plain(
    id: &str,
    title: &str,
    heads: &[&str],
    rows: &[Row],
    cells: impl Fn(&Cells) -> Markup,
) -> Markup {
    html! {
        section.card aria-labelledby=(id) {
            h2.title #(id) { (title) }
            table role="table" aria-labelledby=(id) {
                thead role="rowgroup" {
                    tr role="row" { @for head in heads { th role="columnheader" scope="col" { (head) } } }
                }
                tbody role="rowgroup" {
                    @for row in rows {
                        tr #(anchor(&row.key)) role="row" data-row=(row.key) { (cells(&row.cells)) }
                    }
                }
            }
        }
    }
}

pub(super) fn frontends(rows: &[Row]) -> Markup {
    let heads = [
        "Frontend",
        "Listens on",
        "Connections",
        "In flight",
        "Requests",
        "5xx",
        "Requests ever",
        "Bytes",
    ];
    plain("frontends", "Frontends", &heads, rows, |cells| {
        let of = |name| text(cells, name, Tag::Span);
        html! {
            th.server role="rowheader" scope="row" { strong { (of("name")) } " " (text(cells, "mode", Tag::Of("badge"))) }
            td role="cell" data-l="Listens on" { (of("binds")) }
            td role="cell" data-l="Connections" {
                span.level { strong { (of("connections")) } (spark(cells, "connections,")) }
            }
            td.number role="cell" data-l="In flight" { (of("sessions")) }
            td.number role="cell" data-l="Requests" { (of("rate")) }
            td.number role="cell" data-l="5xx" data-tone=(cells.get("failing")) data-a="data-tone:failing" { (of("errors")) }
            td.number role="cell" data-l="Requests ever" { (of("requests")) }
            td.number role="cell" data-l="Bytes" {
                span.pair { span.hidden { "in " } span.arrow aria-hidden="true" { "↑" } (of("in")) }
                span.pair { span.hidden { "out " } span.arrow aria-hidden="true" { "↓" } (of("out")) }
            }
        }
    })
}

/// Nothing where clients speak no TLS.
pub(super) fn certificates(rows: &[Row]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    let heads = ["Certificate", "Left", "Ends", "Issuer", "Shown at"];
    plain("certificates", "Certificates", &heads, rows, |cells| {
        let of = |name| text(cells, name, Tag::Span);
        html! {
            th.server role="rowheader" scope="row" { strong { (of("names")) } (text(cells, "file", Tag::Of("small"))) }
            td.number role="cell" data-l="Left" data-tone=(cells.get("tone")) data-a="data-tone:tone" { (of("left")) }
            td.number role="cell" data-l="Ends" { (of("ends")) }
            td role="cell" data-l="Issuer" { (of("issuer")) }
            td role="cell" data-l="Shown at" { (of("binds")) }
        }
    })
}
