//! Metrics as text: what Prometheus has always read (0.0.4), or OpenMetrics 1.0 for those who ask for it. Pure.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>

use std::fmt::{Display, Write as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// What a client that sends these `accept` headers is to get: OpenMetrics where it is named, and wanted at least
    /// as much as plain text is.
    pub(in crate::admin) fn wanted<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let (mut plain, mut open) = (0.0, 0.0);
        for range in accept.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut known) = (1.0, true);
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => known = value.trim_matches(['"', ' ']) == "1.0.0",
                    _ => {}
                }
            }
            match kind.as_str() {
                "application/openmetrics-text" if known => open = f32::max(open, quality),
                "text/plain" => plain = f32::max(plain, quality),
                _ => {}
            }
        }
        match open > 0.0 && open >= plain {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    pub(in crate::admin) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// Its samples end in `_total`.
    Counter,
    Histogram,
}

/// One buffer that all of it is written into, a family at a time.
#[derive(Debug)]
pub(super) struct Text {
    text: String,
    format: Format,
    /// The family, `lbd_frontend_requests`.
    name: &'static str,
    kind: Kind,
}

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self {
            text: String::new(),
            format,
            name: "",
            kind: Kind::Gauge,
        }
    }

    /// What follows are samples of this family; `name` is without `_total`.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) {
        (self.kind, self.name) = (kind, name);
        let word = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let total = match (kind, self.format) {
            (Kind::Counter, Format::Prometheus) => "_total",
            _ => "",
        };
        self.text.push_str("# HELP ");
        self.push_all(&[
            name,
            total,
            " ",
            help,
            "\n# TYPE ",
            name,
            total,
            " ",
            word,
            "\n",
        ]);
    }

    /// `labels` as [`labels`] makes them.
    pub(super) fn sample(&mut self, labels: &str, value: impl Display) {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            _ => "",
        };
        self.line(suffix, labels, "", value);
    }

    /// A sample with one label more, whose value needs no escapes.
    pub(super) fn sample_of(
        &mut self,
        labels: &str,
        (key, name): (&str, &str),
        value: impl Display,
    ) {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            _ => "",
        };
        self.line(suffix, labels, &format!("{key}=\"{name}\""), value);
    }

    /// How many were within each bound and above the one before it, the last without bound; `bounds` in seconds.
    pub(super) fn histogram(&mut self, labels: &str, bounds: &[&str], counts: &[u64], sum: f64) {
        let mut within = 0u64;
        let all = bounds.iter().copied().chain(["+Inf"]);
        for (bound, count) in all.zip(counts) {
            within = within.wrapping_add(*count);
            self.line("_bucket", labels, &format!("le=\"{bound}\""), within);
        }
        self.line("_sum", labels, "", sum);
        self.line("_count", labels, "", within);
    }

    fn line(&mut self, suffix: &str, labels: &str, more: &str, value: impl Display) {
        let comma = if labels.is_empty() || more.is_empty() {
            ""
        } else {
            ","
        };
        self.push_all(&[self.name, suffix]);
        if !(labels.is_empty() && more.is_empty()) {
            self.push_all(&["{", labels, comma, more, "}"]);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, " {value}");
    }

    fn push_all(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.push_str(part);
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// `frontend="web",code="2xx"`: as they stand in a sample, with escapes.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{key}=\"");
        for letter in value.chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                _ => text.push(letter),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut text = Text::new(format);
        text.family(Kind::Counter, "lbd_requests", "Requests.");
        text.sample(&labels(&[("frontend", "web")]), 7);
        text.sample_of("", ("code", "2xx"), 6);
        text.family(Kind::Gauge, "lbd_up", "Whether it is.");
        text.sample("", 1);
        text.finish()
    }

    #[test]
    fn a_counter_is_named_as_each_format_wants_it() {
        let samples =
            "lbd_requests_total{frontend=\"web\"} 7\nlbd_requests_total{code=\"2xx\"} 6\n";
        let up = "# HELP lbd_up Whether it is.\n# TYPE lbd_up gauge\nlbd_up 1\n";
        let head = "# HELP lbd_requests_total Requests.\n# TYPE lbd_requests_total counter\n";
        assert_eq!(written(Format::Prometheus), format!("{head}{samples}{up}"));
        let head = "# HELP lbd_requests Requests.\n# TYPE lbd_requests counter\n";
        let open = format!("{head}{samples}{up}# EOF\n");
        assert_eq!(written(Format::OpenMetrics), open);
    }

    #[test]
    fn a_histogram_adds_up() {
        let mut text = Text::new(Format::Prometheus);
        text.family(Kind::Histogram, "t", "Times.");
        text.histogram("a=\"b\"", &["0.5", "1.0"], &[2, 0, 1], 1.25);
        let expected = "# HELP t Times.\n# TYPE t histogram\n\
             t_bucket{a=\"b\",le=\"0.5\"} 2\nt_bucket{a=\"b\",le=\"1.0\"} 2\n\
             t_bucket{a=\"b\",le=\"+Inf\"} 3\nt_sum{a=\"b\"} 1.25\nt_count{a=\"b\"} 3\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn no_value_of_a_label_ends_it() {
        let escaped = labels(&[("file", "/a \"b\"\\\n} 1"), ("more", "é")]);
        assert_eq!(escaped, "file=\"/a \\\"b\\\"\\\\\\n} 1\",more=\"é\"");
    }

    #[test]
    fn open_metrics_are_for_those_who_ask() {
        let of = |accept: &str| Format::wanted([accept].into_iter());
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(of(prometheus), Format::OpenMetrics);
        assert_eq!(of("application/openmetrics-text"), Format::OpenMetrics);
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/plain, application/openmetrics-text;q=0.5",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=x",
        ] {
            assert_eq!(of(accept), Format::Prometheus, "{accept}");
        }
    }
}
