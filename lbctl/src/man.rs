//! The manual pages: what `--help` tells, a page for each verb. Pure, and the same on every day.

use std::io::Result;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::Cli;

const SECTION: &str = "1";

/// Nothing would make what comes after it in the title the date.
const NO_DATE: &str = " ";

/// How a paragraph below the flags begins that has a section of its own; others are notes.
const EXIT_CODES: &str = "Exit codes:";
const EXAMPLES: &str = "Examples:";

#[derive(Debug)]
pub(crate) struct Page {
    /// The name of its file, as man(1) looks for it.
    pub(crate) file: String,
    /// In roff.
    pub(crate) text: Vec<u8>,
}

/// All of them, lbctl's own first.
///
/// # Errors
/// Only where a write to memory fails.
pub(crate) fn pages() -> Result<Vec<Page>> {
    let mut lbctl = Cli::command();
    lbctl.build();
    let exit_codes = starting_with(EXIT_CODES, &paragraphs(&lbctl));
    let mut pages = Vec::new();
    add(&lbctl, &[], &exit_codes, &mut pages)?;
    Ok(pages)
}

/// The page of a command, and those of its verbs. `above` it are the pages that it belongs to.
fn add(
    command: &Command,
    above: &[&str],
    exit_codes: &[String],
    pages: &mut Vec<Page>,
) -> Result<()> {
    let name = name(command);
    pages.push(Page {
        file: format!("{name}.{SECTION}"),
        text: page(command, above, exit_codes)?,
    });
    let above = [above, &[name]].concat();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    for verb in verbs {
        add(verb, &above, exit_codes, pages)?;
    }
    Ok(())
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command, above: &[&str], exit_codes: &[String]) -> Result<Vec<u8>> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let man = Man::new(command.clone().override_usage(usage))
        .section(SECTION)
        .date(NO_DATE)
        .source(format!("lbctl {}", lb_proto::VERSION))
        .manual("lb");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let told = paragraphs(command);
    let examples = starting_with(EXAMPLES, &told);
    let notes: Vec<String> = told
        .into_iter()
        .filter(|paragraph| !paragraph.starts_with(EXAMPLES) && !paragraph.starts_with(EXIT_CODES))
        .collect();
    let mut rest = Roff::new();
    section(&mut rest, "NOTES", &notes);
    section(&mut rest, "EXIT STATUS", exit_codes);
    section(&mut rest, "EXAMPLES", &examples);
    see_also(&mut rest, command, above);
    rest.to_writer(&mut text)?;
    Ok(text)
}

/// What `--help` has below the flags.
fn paragraphs(command: &Command) -> Vec<String> {
    let text = command.get_after_help().map(ToString::to_string);
    let text = text.unwrap_or_default();
    text.split("\n\n").map(str::to_owned).collect()
}

/// The paragraphs with this head, without it.
fn starting_with(head: &str, paragraphs: &[String]) -> Vec<String> {
    let rest = |paragraph: &String| paragraph.strip_prefix(head).map(str::to_owned);
    paragraphs.iter().filter_map(rest).collect()
}

/// Tables and commands, which are indented, stay line for line.
fn section(roff: &mut Roff, head: &str, paragraphs: &[String]) {
    let paragraphs: Vec<&str> = paragraphs
        .iter()
        .map(|paragraph| paragraph.trim_matches('\n'))
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    if paragraphs.is_empty() {
        return;
    }
    roff.control("SH", [head]);
    for paragraph in paragraphs {
        roff.control("PP", []);
        let kept = paragraph.lines().any(|line| line.starts_with(' '));
        if kept {
            roff.control("nf", []);
        }
        for line in paragraph.lines() {
            roff.text([roman(line)]);
        }
        if kept {
            roff.control("fi", []);
        }
    }
}

/// The other names of a verb, and the pages above its own.
fn see_also(roff: &mut Roff, command: &Command, above: &[&str]) {
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        roff.control("SH", ["ALIASES"]);
        roff.text([bold(aliases.join(", "))]);
    }
    if above.is_empty() {
        return;
    }
    roff.control("SH", ["SEE ALSO"]);
    let pages: Vec<String> = above
        .iter()
        .map(|name| format!("{name}({SECTION})"))
        .collect();
    roff.text([roman(pages.join(", "))]);
}
