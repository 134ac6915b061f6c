//! CPUs, memory and limits, as the kernel counts them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::proxy::Kind;

/// Which CPU is whose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpus {
    pub(crate) proxy: usize,
    pub(crate) load: usize,
}

impl Cpus {
    /// The last CPU is the proxy's: the first is where the machine's own work tends to be.
    pub(crate) fn of_this_machine() -> Self {
        let allowed = sched_getaffinity(None).unwrap_or_default();
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|cpu| allowed.is_set(*cpu))
            .collect();
        Self {
            proxy: usable.last().copied().unwrap_or(0),
            load: usable.first().copied().unwrap_or(0),
        }
    }

    /// Keeps this process, which makes the load of some scenarios itself, off the proxy's CPU.
    pub(crate) fn keep_to_load(self) {
        let mut set = CpuSet::new();
        set.set(self.load);
        // Where it is not allowed, the load is only less even.
        let _ = sched_setaffinity(None, &set);
    }
}

/// `program`, pinned to a CPU, and killed by the kernel when this process ends in whatever way.
pub(crate) fn pinned(cpu: usize, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "taskset", "--cpu-list"])
        .arg(cpu.to_string())
        .arg(program);
    command
}

/// Open files that the scenario with the most connections takes, on both sides of a proxy.
pub(crate) const OPEN_FILES: u64 = 32_768;

/// Raises the limit of open files as far as it may be, up to what is needed; children inherit it.
pub(crate) fn raise_open_files() {
    let limit = Rlimit {
        current: Some(OPEN_FILES),
        maximum: Some(OPEN_FILES),
    };
    if setrlimit(Resource::Nofile, limit).is_err() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = maximum.map(|maximum| maximum.min(OPEN_FILES));
        let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
    }
}

pub(crate) fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// CPU time that a process has taken, all its threads together.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, String> {
    let tasks = format!("/proc/{pid}/task");
    let mut nanoseconds = 0;
    for task in fs::read_dir(&tasks).map_err(|e| format!("{tasks}: {e}"))? {
        let path = task.map_err(|e| format!("{tasks}: {e}"))?.path();
        // A thread may end between the listing and the look.
        let Ok(text) = fs::read_to_string(path.join("schedstat")) else {
            continue;
        };
        nanoseconds += text
            .split_whitespace()
            .next()
            .and_then(|field| field.parse::<u64>().ok())
            .ok_or(format!("{}: {text:?}", path.display()))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Waits until a process that has no requests takes next to no CPU time, or has had a minute.
pub(crate) fn until_quiet(pid: u32) -> Result<(), String> {
    const LIMIT: Duration = Duration::from_secs(60);
    const LOOK: Duration = Duration::from_millis(500);
    const QUIET: Duration = Duration::from_millis(10);
    let started = Instant::now();
    let mut before = cpu_time(pid)?;
    loop {
        std::thread::sleep(LOOK);
        let now = cpu_time(pid)?;
        if now - before < QUIET || started.elapsed() > LIMIT {
            return Ok(());
        }
        before = now;
    }
}

/// The most memory a process has had, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64, String> {
    status_field(pid, "VmHWM:")
}

/// Memory of its own that a process has now, in bytes.
pub(crate) fn own_memory(pid: u32) -> Result<u64, String> {
    status_field(pid, "RssAnon:")
}

fn status_field(pid: u32, field: &str) -> Result<u64, String> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or(format!("{path} has no {field}"))
}

/// What the figures below it were measured on.
pub(crate) fn describe(cpus: Cpus, proxies: &[Kind]) -> Result<String, String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |line| {
            line.trim_start_matches([' ', '\t', ':'])
        });
    let versions: Vec<String> = proxies
        .iter()
        .map(|proxy| proxy.version())
        .collect::<Result<_, _>>()?;
    Ok(format!(
        "{}\n{model}; proxy on CPU {}, load and origin on CPU {}; {} open files\n",
        versions.join("\n"),
        cpus.proxy,
        cpus.load,
        open_files()
    ))
}
