//! TOML's tables and values, each knowing where it stands and able to say what is wrong with it.
//!
//! Nothing here knows a single key of the configuration: the readers beside this file do.

use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Report;
use crate::config::problem::Fault;
use crate::name::{NameError, nearest};

/// The keys that a table may have.
pub(super) struct Shape {
    /// "a frontend", as in "the keys of a frontend are …".
    pub(super) what: &'static str,
    /// How such a table is written, for those who wrote something else.
    pub(super) example: &'static str,
    pub(super) keys: &'static [&'static str],
    /// Keys that are part of the language but that nothing obeys yet, each with what that means.
    /// Ignoring one would leave the operator believing in a protection that is not there.
    pub(super) later: &'static [(&'static str, &'static str)],
}

/// A table all of whose keys are known.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) at: usize,
    report: &'a Report<'a>,
    entries: &'a DeTable<'a>,
    shape: &'static Shape,
}

/// A value and the key it was given under.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) key: &'a str,
    pub(super) key_at: usize,
    pub(super) at: usize,
    /// An entry of the list that the key has.
    in_list: bool,
    report: &'a Report<'a>,
    value: &'a DeValue<'a>,
}

impl<'a> Table<'a> {
    pub(super) fn root(
        document: &'a DeTable<'a>,
        shape: &'static Shape,
        report: &'a Report<'a>,
    ) -> Self {
        // What the file lacks as a whole is missed where it ends.
        let end = report.text().trim_end().len();
        Self::new(document, end, shape, report)
    }

    fn new(
        entries: &'a DeTable<'a>,
        at: usize,
        shape: &'static Shape,
        report: &'a Report<'a>,
    ) -> Self {
        let table = Self {
            at,
            report,
            entries,
            shape,
        };
        for (key, _) in entries.iter() {
            table.check_key(key.get_ref(), key.span().start);
        }
        table
    }

    fn check_key(&self, key: &str, at: usize) {
        let Shape {
            what, keys, later, ..
        } = self.shape;
        if keys.contains(&key) {
            return;
        }
        let fault = match later.iter().find(|(name, _)| *name == key) {
            Some((_, meanwhile)) => Fault::new(
                format!("`{key}` is not supported yet"),
                format!("remove it; {meanwhile}"),
            ),
            None => Fault::new(
                match nearest(key, keys.iter().copied()) {
                    Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
                    None => format!("unknown key `{key}`"),
                },
                match keys {
                    [one] => format!("the only key of {what} is {one}"),
                    _ => format!("the keys of {what} are {}", keys.join(", ")),
                },
            ),
        };
        self.report.wrong(at, fault);
    }

    pub(super) fn report(&self) -> &'a Report<'a> {
        self.report
    }

    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        let (key, value) = self.entries.get_key_value(key)?;
        Some(Value::new(key, value, self.report))
    }

    /// The value, or a complaint that it is missing; `example` is a line that would do.
    pub(super) fn require(&self, key: &str, example: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.absent(Fault::new(
                format!("{} needs `{key}`", self.shape.what),
                format!("add {example}"),
            ));
        }
        value
    }

    pub(super) fn parse<T>(
        &self,
        key: &str,
        parser: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        self.get(key)?.parse(parser)
    }

    pub(super) fn absent(&self, fault: Fault) {
        self.report.absent(self.at, fault);
    }
}

/// `toml` keeps tables sorted by key; operators read them as they wrote them.
fn in_order<'a>(entries: &'a DeTable<'a>, report: &'a Report<'a>) -> Vec<Value<'a>> {
    let entries = entries.iter();
    let mut values: Vec<_> = entries
        .map(|(key, value)| Value::new(key, value, report))
        .collect();
    values.sort_by_key(|value| value.key_at);
    values
}

impl<'a> Value<'a> {
    fn new(
        key: &'a Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
        report: &'a Report<'a>,
    ) -> Self {
        let (key_at, span) = (key.span().start, value.span());
        Self {
            key: key.get_ref(),
            key_at,
            // A value that the parser made up after broken syntax has no place of its own.
            at: if span.is_empty() { key_at } else { span.start },
            in_list: false,
            report,
            value: value.get_ref(),
        }
    }

    /// As it is spoken of.
    fn called(&self) -> String {
        match self.in_list {
            true => format!("an entry of `{}`", self.key),
            false => format!("`{}`", self.key),
        }
    }

    pub(super) fn wrong(&self, fault: Fault) {
        self.report.wrong(self.at, fault);
    }

    pub(super) fn wrong_key(&self, fault: Fault) {
        self.report.wrong(self.key_at, fault);
    }

    pub(super) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// True or false, or nothing and no complaint: for keys that take other types too.
    pub(super) fn as_flag(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// The digits of a number, whole or not, or nothing and no complaint.
    pub(super) fn as_digits(&self) -> Option<&'a str> {
        let whole = self.value.as_integer().map(|number| number.as_str());
        whole.or_else(|| self.value.as_float().map(|number| number.as_str()))
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            let shown = match self.value {
                DeValue::Integer(number) => number.to_string(),
                _ => "…".to_owned(),
            };
            self.mistyped("a string", &format!("put it in quotes: \"{shown}\""));
        }
        text
    }

    /// Text that is not empty.
    pub(super) fn words(&self) -> Option<&'a str> {
        let text = self.text()?;
        if text.is_empty() || text.contains(char::is_control) {
            self.wrong(Fault::new(
                format!("{} is empty or has control characters", self.called()),
                "write a plain, visible text",
            ));
            return None;
        }
        Some(text)
    }

    pub(super) fn parse<T>(&self, parser: impl FnOnce(&str) -> Result<T, Fault>) -> Option<T> {
        if let DeValue::Integer(number) = self.value {
            // Quotes alone may not be enough: `30` wants a unit, too.
            match parser(&number.to_string()) {
                Ok(_) => drop(self.text()),
                Err(fault) => self.wrong(fault),
            }
            return None;
        }
        let text = self.text()?;
        let named = |fault: Fault| match text {
            "" => Fault::new(format!("{} is empty", self.called()), fault.remedy),
            _ => fault,
        };
        let parsed = parser(text);
        parsed.map_err(|fault| self.wrong(named(fault))).ok()
    }

    pub(super) fn parse_key<T>(&self, parser: impl FnOnce(&str) -> Result<T, Fault>) -> Option<T> {
        let parsed = parser(self.key);
        parsed.map_err(|fault| self.wrong_key(fault)).ok()
    }

    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.mistyped("true or false", "write true or false, without quotes");
        }
        flag
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number(&self, least: u32, most: u32) -> Option<u32> {
        let Some(number) = self.value.as_integer() else {
            self.mistyped("a whole number", "write it in digits, without quotes");
            return None;
        };
        // What does not even fit here is far above every bound, or far below.
        let far = if number.as_str().starts_with('-') {
            i128::MIN
        } else {
            i128::MAX
        };
        let number = i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(far);
        let fault = |how: &str, bound: String| {
            let remedy = match most {
                u32::MAX => bound,
                _ => format!("write a number from {least} to {most}"),
            };
            Fault::new(format!("{} is too {how}", self.called()), remedy)
        };
        if number < i128::from(least) {
            self.wrong(fault("small", format!("write {least} or more")));
        } else if number > i128::from(most) {
            self.wrong(fault("large", format!("write {most} or less")));
        }
        u32::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number))
    }

    /// One of a few words. `later` says which others are part of the language but not supported.
    pub(super) fn choice<T: Clone>(
        &self,
        known: &[(&str, T)],
        later: impl Fn(&str) -> bool,
    ) -> Option<T> {
        let text = self.text()?;
        if let Some((_, choice)) = known.iter().find(|(word, _)| *word == text) {
            return Some(choice.clone());
        }
        let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        let remedy = match words.as_slice() {
            [one] => format!("write \"{one}\""),
            _ => format!("write one of \"{}\"", words.join("\", \"")),
        };
        let message = if later(text) {
            format!("`{} = \"{text}\"` is not supported yet", self.key)
        } else {
            match nearest(text, words) {
                Some(near) => format!("unknown value `{text}`; did you mean `{near}`?"),
                None => format!("unknown value `{text}`"),
            }
        };
        self.wrong(Fault::new(message, remedy));
        None
    }

    pub(super) fn table(&self, shape: &'static Shape) -> Option<Table<'a>> {
        let Some(entries) = self.value.as_table() else {
            self.mistyped("a table", &format!("write it as {}", shape.example));
            return None;
        };
        Some(Table::new(entries, self.at, shape, self.report))
    }

    /// The sections of `[frontend]` or `[backend]`, whose names the operator chose.
    pub(super) fn sections(&self, example: &str) -> Vec<Value<'a>> {
        let how = format!("write a header with a name, as in [{}.{example}]", self.key);
        let Some(entries) = self.value.as_table() else {
            self.mistyped("a table of named sections", &how);
            return Vec::new();
        };
        let mut found = in_order(entries, self.report);
        if found.is_empty() {
            let fault = Fault::new(format!("this {} has no name", self.key), how.as_str());
            self.report.absent(self.at, fault);
        }
        found.retain(|value| {
            let is_section = value.value.is_table();
            if !is_section {
                let message = format!("`{}` stands outside any {}", value.key, self.key);
                self.report
                    .wrong(value.key_at, Fault::new(message, how.as_str()));
            }
            is_section
        });
        found
    }

    /// The entries of a table whose keys mean themselves, such as header names.
    pub(super) fn entries(&self) -> Option<Vec<Value<'a>>> {
        let Some(entries) = self.value.as_table() else {
            self.mistyped("a table", "write { name = \"value\" }");
            return None;
        };
        Some(in_order(entries, self.report))
    }

    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        let Some(elements) = self.value.as_array() else {
            self.mistyped(
                "a list",
                match self.value {
                    DeValue::Table(_) => "write it in brackets, [ … ], or a header in two: [[ … ]]",
                    _ => "write it in brackets: [ … ]",
                },
            );
            return None;
        };
        let element = |element: &'a Spanned<DeValue<'a>>| Value {
            at: element.span().start,
            in_list: true,
            value: element.get_ref(),
            ..*self
        };
        Some(elements.iter().map(element).collect())
    }

    pub(super) fn mistyped(&self, wanted: &str, remedy: &str) {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong(Fault::new(
            format!("{} must be {wanted}, but this is {found}", self.called()),
            remedy,
        ));
    }
}

/// The name of a frontend, backend or server.
pub(super) fn name<T: FromStr<Err = NameError>>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|error| {
        let remedy = match error {
            NameError::Empty => "write one such as \"web01\"".to_owned(),
            _ => error.to_string(),
        };
        Fault::new(format!("`{text}` cannot be a name"), remedy)
    })
}
