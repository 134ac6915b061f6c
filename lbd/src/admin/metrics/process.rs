//! What the kernel counts of this process (proc(5)), by the names that every exporter gives it.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::text::{Kind, Text, labels};

/// Fields of `/proc/self/stat` after the name, from 0: the third of the manual is the first here.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const STARTED_TICKS: usize = 19;
const VIRTUAL_BYTES: usize = 20;
const RESIDENT_PAGES: usize = 21;

/// What cannot be read is left out.
pub(super) fn write(text: &mut Text) {
    threads(text);
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        let boot = fs::read_to_string("/proc/stat").ok();
        let boot = boot.as_deref().and_then(boot_time);
        let (second, page) = (
            rustix::param::clock_ticks_per_second(),
            rustix::param::page_size(),
        );
        times_and_memory(text, &stat, boot, second, page as u64);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        let open = open.count().saturating_sub(1);
        text.family(Kind::Gauge, "process_open_fds", "Open file descriptors.");
        text.sample("", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        text.family(
            Kind::Gauge,
            "process_max_fds",
            "How many file descriptors may be open.",
        );
        text.sample("", most);
    }
}

/// Those that live as long as the process. A core's worth is a second each second.
fn threads(text: &mut Text) {
    text.family(
        Kind::Counter,
        "lbd_thread_cpu_seconds",
        "User and system CPU time of a thread, in seconds: of each data thread, and of the control plane's.",
    );
    let second = rustix::param::clock_ticks_per_second();
    let process = std::process::id().to_string();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return;
    };
    for task in tasks.flatten() {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else {
            continue;
        };
        let is_first = task.file_name().to_str() == Some(process.as_str());
        if let Some((name, ticks)) = busy(&stat, is_first) {
            text.sample(&labels(&[("thread", name)]), ticks as f64 / second as f64);
        }
    }
}

/// A thread's name, and how many clock ticks it ran; `None`: it is none of those.
fn busy(stat: &str, is_first: bool) -> Option<(&str, u64)> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let name = match is_first {
        true => "control",
        false => Some(name).filter(|name| name.starts_with("data-"))?,
    };
    let mut fields = rest.split_ascii_whitespace();
    let user: u64 = fields.nth(USER_TICKS)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name, user + system))
}

/// `second` and `page`: clock ticks and bytes.
fn times_and_memory(text: &mut Text, stat: &str, boot: Option<u64>, second: u64, page: u64) {
    // The name is in parentheses, and may have any character.
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return;
    };
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |at: usize| -> Option<u64> { fields.get(at)?.parse().ok() };
    let seconds = |ticks: u64| ticks as f64 / second as f64;
    if let (Some(user), Some(system)) = (field(USER_TICKS), field(SYSTEM_TICKS)) {
        text.family(
            Kind::Counter,
            "process_cpu_seconds",
            "User and system CPU time, in seconds.",
        );
        text.sample("", seconds(user + system));
    }
    if let (Some(started), Some(boot)) = (field(STARTED_TICKS), boot) {
        text.family(
            Kind::Gauge,
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
        );
        text.sample("", boot as f64 + seconds(started));
    }
    if let Some(bytes) = field(VIRTUAL_BYTES) {
        text.family(
            Kind::Gauge,
            "process_virtual_memory_bytes",
            "Size of the address space.",
        );
        text.sample("", bytes);
    }
    if let Some(pages) = field(RESIDENT_PAGES) {
        text.family(
            Kind::Gauge,
            "process_resident_memory_bytes",
            "Memory in RAM.",
        );
        text.sample("", pages.saturating_mul(page));
    }
}

fn boot_time(stat: &str) -> Option<u64> {
    let mut lines = stat.lines();
    lines.find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::text::Format;
    use super::*;

    #[test]
    fn only_threads_that_last_are_told_of() {
        let stat = |name: &str| format!("7 ({name}) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0");
        assert_eq!(busy(&stat("data-1"), false), Some(("data-1", 200)));
        assert_eq!(busy(&stat("lbd"), true), Some(("control", 200)));
        assert_eq!(busy(&stat("lbd-control-io"), false), None);
        assert_eq!(busy("nonsense", true), None);
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = "42 (a) (b c) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0 500 4096000 25 1";
        let mut text = Text::new(Format::Prometheus);
        times_and_memory(&mut text, stat, boot_time("cpu 1\nbtime 1000\n"), 100, 4096);
        let text = text.finish();
        for line in [
            "process_cpu_seconds_total 2",
            "process_start_time_seconds 1005",
            "process_virtual_memory_bytes 4096000",
            "process_resident_memory_bytes 102400",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
