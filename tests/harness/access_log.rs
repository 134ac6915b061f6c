//! An access log as its readers see it: lines, whole ones, each with its fields.

use std::path::Path;

use crate::eventually::eventually;

/// A line of the text format for HTTP, in HAProxy's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `Nov 23 10:11:12 host lbd[14389]`
    pub prefix: String,
    /// With its port.
    pub client: String,
    /// What is in the brackets.
    pub date: String,
    pub frontend: String,
    /// `BACKEND/SERVER`.
    pub server: String,
    /// TR, Tw, Tc, Tr, Ta.
    pub timers: [i64; 5],
    pub status: i64,
    pub bytes: u64,
    pub flags: String,
    /// actconn, feconn, beconn, srv_conn and retries.
    pub counts: String,
    pub queues: String,
    pub request: String,
}

impl Line {
    /// # Panics
    /// Where it is no line of the format.
    #[track_caller]
    pub fn parse(line: &str) -> Self {
        Self::try_parse(line).unwrap_or_else(|| panic!("not a line of an access log: {line:?}"))
    }

    fn try_parse(line: &str) -> Option<Self> {
        let (prefix, rest) = line.split_once(": ")?;
        let (rest, request) = rest.strip_suffix('"')?.split_once(" \"")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let [
            client,
            date,
            frontend,
            server,
            timers,
            status,
            bytes,
            "-",
            "-",
            flags,
            counts,
            queues,
        ] = fields[..]
        else {
            return None;
        };
        let timers: Vec<i64> = timers
            .split('/')
            .map(|timer| timer.parse().ok())
            .collect::<Option<_>>()?;
        Some(Self {
            prefix: prefix.to_owned(),
            client: client.to_owned(),
            date: date.strip_prefix('[')?.strip_suffix(']')?.to_owned(),
            frontend: frontend.to_owned(),
            server: server.to_owned(),
            timers: timers.try_into().ok()?,
            status: status.parse().ok()?,
            bytes: bytes.parse().ok()?,
            flags: flags.to_owned(),
            counts: counts.to_owned(),
            queues: queues.to_owned(),
            request: request.to_owned(),
        })
    }

    /// Which of the five timers came to an end: `0` where one did, `-` where it is -1.
    pub fn shape(&self) -> String {
        let sign = |timer: &i64| if *timer == -1 { '-' } else { '0' };
        self.timers.iter().map(sign).collect()
    }
}

/// The lines of a file, each of them whole.
///
/// # Panics
/// Where the last one is not.
#[track_caller]
pub fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "half a line: {:?}",
        text.lines().last()
    );
    text.lines().map(str::to_owned).collect()
}

/// Waits until the file has as many lines, and no more.
#[track_caller]
pub fn wait_for_lines(path: &Path, wanted: usize) -> Vec<String> {
    let what = format!("{} has {wanted} lines", path.display());
    eventually(&what, || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let seen = text.lines().count();
        assert!(seen <= wanted, "{seen} lines, {wanted} wanted:\n{text}");
        if seen == wanted && text.ends_with('\n') {
            Ok(())
        } else {
            Err(format!("{seen} lines:\n{text}"))
        }
    });
    lines(path)
}
