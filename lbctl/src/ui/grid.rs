//! A table that fits its window: columns give way in the order of their importance.
//!
//! What fits is decided here, where it can be tested; comfy-table does the aligning and painting.

use anstyle::AnsiColor;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width,
    presets,
};
use lb_proto::harmless::harmless;

use super::Canvas;

/// Between two columns.
const GAP: usize = 2;

/// What a column is worth when there is not room for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Always shown.
    Always,
    /// Left out before any column of greater number.
    Drop(u8),
    /// Always shown, and cut down to this many characters before any column is left out.
    Shrink(usize),
    /// Always shown. Cut in its middle, for names begin and end in ways of their own: where it is very
    /// long before any column is left out, and else after all.
    Name,
}

/// Names up to this long are worth more than any column that can be left out.
const LONG_NAME: usize = 32;

/// What is left of a name where there is room for nothing.
const LEAST_NAME: usize = 12;

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) right: bool,
    pub(crate) worth: Worth,
}

impl Column {
    pub(crate) const fn text(title: &'static str, worth: Worth) -> Self {
        Self {
            title,
            right: false,
            worth,
        }
    }

    pub(crate) const fn number(title: &'static str, worth: Worth) -> Self {
        Self {
            title,
            right: true,
            worth,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) text: String,
    pub(crate) color: Option<AnsiColor>,
}

impl<T: ToString> From<T> for Field {
    fn from(text: T) -> Self {
        Self {
            text: harmless(&text.to_string()),
            color: None,
        }
    }
}

/// Which columns are shown how wide. Several tables of one layout line up below each other.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    columns: &'a [Column],
    widths: Vec<Option<usize>>,
    color: bool,
}

impl<'a> Layout<'a> {
    /// A layout that holds each of `rows`.
    pub(crate) fn new<'b>(
        columns: &'a [Column],
        rows: impl Iterator<Item = &'b Vec<Field>>,
        canvas: &Canvas,
    ) -> Self {
        let mut natural: Vec<usize> = columns.iter().map(|column| column.title.len()).collect();
        for row in rows {
            for (widest, field) in natural.iter_mut().zip(row) {
                *widest = (*widest).max(field.text.chars().count());
            }
        }
        Self {
            columns,
            widths: fit(columns, &natural, canvas.width),
            color: canvas.color,
        }
    }

    /// The table, each line ended.
    pub(crate) fn render(&self, rows: &[Vec<Field>]) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        match self.color {
            true => table.enforce_styling(),
            false => table.force_no_tty(),
        };
        table.set_header(
            self.shown()
                .map(|(at, width)| header(&self.columns[at], width)),
        );
        for row in rows {
            table.add_row(
                self.shown()
                    .map(|(at, width)| cell(&self.columns[at], row.get(at), width)),
            );
        }
        for (column, (at, width)) in table.column_iter_mut().zip(self.shown()) {
            let gap = if at == 0 { 0 } else { GAP };
            column.set_padding((narrow(gap), 0));
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(narrow(
                gap + width,
            ))));
        }
        table.lines().fold(String::new(), |mut text, line| {
            text.push_str(line.trim_end());
            text.push('\n');
            text
        })
    }

    fn shown(&self) -> impl Iterator<Item = (usize, usize)> {
        self.widths
            .iter()
            .enumerate()
            .filter_map(|(at, width)| width.map(|width| (at, width)))
    }
}

/// A table by itself.
pub(crate) fn render(columns: &[Column], rows: &[Vec<Field>], canvas: &Canvas) -> String {
    Layout::new(columns, rows.iter(), canvas).render(rows)
}

/// The width each column gets; `None` leaves it out.
fn fit(columns: &[Column], natural: &[usize], room: Option<usize>) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let Some(room) = room else {
        return widths;
    };
    let excess = |widths: &[Option<usize>]| {
        let shown = widths.iter().flatten();
        let gaps = GAP * shown.clone().count().saturating_sub(1);
        (shown.sum::<usize>() + gaps).saturating_sub(room)
    };
    let shrink = |widths: &mut [Option<usize>], at: usize, least: usize| {
        let excess = excess(widths);
        if let Some(width) = &mut widths[at] {
            *width = width.saturating_sub(excess).max(least.min(*width));
        }
    };
    let names = || of(columns, |worth| (worth == Worth::Name).then_some(LONG_NAME));
    for (at, least) in of(columns, |worth| match worth {
        Worth::Shrink(least) => Some(least),
        _ => None,
    }) {
        shrink(&mut widths, at, least);
    }
    for (at, least) in names() {
        shrink(&mut widths, at, least);
    }
    while excess(&widths) > 0 {
        let least_worth = columns
            .iter()
            .enumerate()
            .filter_map(|(at, column)| match column.worth {
                Worth::Drop(worth) if widths[at].is_some() => Some((worth, at)),
                _ => None,
            })
            .min();
        let Some((_, at)) = least_worth else {
            break;
        };
        widths[at] = None;
    }
    for (at, _) in names() {
        shrink(&mut widths, at, LEAST_NAME);
    }
    give_back(columns, natural, &mut widths, room);
    widths
}

/// The places of the columns that are worth something of a kind, with what that is.
fn of(
    columns: &[Column],
    kind: impl Fn(Worth) -> Option<usize>,
) -> impl Iterator<Item = (usize, usize)> {
    let all = columns.iter().enumerate();
    all.filter_map(move |(at, column)| Some((at, kind(column.worth)?)))
}

/// A column left out may free more than was missing: those that were cut get it back.
fn give_back(columns: &[Column], natural: &[usize], widths: &mut [Option<usize>], room: usize) {
    let shown = widths.iter().flatten();
    let used = shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1);
    let mut spare = room.saturating_sub(used);
    for (at, column) in columns.iter().enumerate() {
        if let (Worth::Name | Worth::Shrink(_), Some(width)) = (column.worth, &mut widths[at]) {
            let more = spare.min(natural[at] - *width);
            *width += more;
            spare -= more;
        }
    }
}

fn header(column: &Column, width: usize) -> Cell {
    aligned(column, &cut(column.title, width)).add_attribute(Attribute::Dim)
}

fn cell(column: &Column, field: Option<&Field>, width: usize) -> Cell {
    let Some(field) = field else {
        return Cell::new("");
    };
    let text = match column.worth {
        Worth::Name => cut_in_the_middle(&field.text, width),
        _ => cut(&field.text, width),
    };
    let cell = aligned(column, &text);
    match field.color {
        Some(color) => cell.fg(painted(color)),
        None => cell,
    }
}

fn aligned(column: &Column, text: &str) -> Cell {
    Cell::new(text).set_alignment(match column.right {
        true => CellAlignment::Right,
        false => CellAlignment::Left,
    })
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn cut_in_the_middle(text: &str, width: usize) -> String {
    let long = text.chars().count();
    if long <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (begin, end) = (kept.div_ceil(2), kept / 2);
    let head: String = text.chars().take(begin).collect();
    let tail: String = text.chars().skip(long - end).collect();
    format!("{head}…{tail}")
}

/// comfy-table counts columns in 16 bits.
fn narrow(width: usize) -> u16 {
    width.try_into().unwrap_or(u16::MAX)
}

/// The terminal's own palette, which its owner has chosen to be readable; comfy-table's plain names
/// are the bright ones.
fn painted(color: AnsiColor) -> Color {
    match color {
        AnsiColor::Green => Color::DarkGreen,
        AnsiColor::Red => Color::DarkRed,
        AnsiColor::Yellow => Color::DarkYellow,
        AnsiColor::Blue => Color::DarkBlue,
        _ => Color::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::text("NAME", Worth::Always),
        Column::text("WHY", Worth::Shrink(6)),
        Column::number("TOTAL", Worth::Drop(1)),
        Column::number("NOW", Worth::Drop(2)),
    ];

    fn table(width: Option<usize>) -> String {
        let rows = [
            vec!["web01".into(), "L7OK 200".into(), 12.into(), 3.into()],
            vec![
                "web02".into(),
                "L4CON: refused".into(),
                1234.into(),
                0.into(),
            ],
        ];
        let canvas = Canvas {
            width,
            color: false,
        };
        render(&COLUMNS, &rows, &canvas)
    }

    #[test]
    fn a_name_that_would_break_the_table_is_one_line_of_it() {
        let rows = [["a\n\u{1b}[2Jb"; 4].map(Field::from).to_vec()];
        let canvas = Canvas {
            width: None,
            color: false,
        };
        let text = render(&COLUMNS, &rows, &canvas);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn columns_shrink_then_go_by_their_worth() {
        assert_eq!(
            table(None),
            "\
NAME   WHY             TOTAL  NOW
web01  L7OK 200           12    3
web02  L4CON: refused   1234    0
"
        );
        assert_eq!(
            table(Some(28)),
            "\
NAME   WHY        TOTAL  NOW
web01  L7OK 200      12    3
web02  L4CON: r…   1234    0
"
        );
        assert_eq!(
            table(Some(22)),
            "\
NAME   WHY         NOW
web01  L7OK 200      3
web02  L4CON: re…    0
"
        );
    }

    #[test]
    fn a_long_name_is_cut_in_its_middle_but_not_where_nobody_looks() {
        let columns = [
            Column::text("NAME", Worth::Name),
            Column::text("WHY", Worth::Shrink(6)),
            Column::number("NOW", Worth::Drop(1)),
        ];
        let name = format!("eu-west-{}-web01", "x".repeat(50));
        let at = |name: &str, width| {
            let rows = [vec![name.into(), "L7OK 200".into(), 3.into()]];
            let canvas = Canvas {
                width,
                color: false,
            };
            let text = render(&columns, &rows, &canvas);
            let line = text.lines().nth(1).map(str::to_owned);
            line.unwrap()
        };
        assert_eq!(at(&name, None), format!("{name}  L7OK 200    3"));
        let cut = "eu-west-xxxxxxxx…xxxxxxxxx-web01";
        assert_eq!(at(&name, Some(45)), format!("{cut}  L7OK…     3"));
        assert_eq!(at(&name, Some(30)), "eu-west-xxx…xxxx-web01  L7OK…");
        // A name that is not so long is worth more than a column.
        let short = &cut.replace('…', "x");
        assert_eq!(at(short, Some(40)), format!("{short}  L7OK…"));
    }

    #[test]
    fn a_window_too_narrow_for_anything_still_gets_the_names() {
        assert_eq!(table(Some(1)), "NAME   WHY\nweb01  L7OK…\nweb02  L4CON…\n");
    }
}
