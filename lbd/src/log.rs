//! The daemon's log: to stderr, level and format changeable while it runs. A thread of its own writes
//! it, so that a pipe that nobody reads stops nothing; what there is no room for is lost.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use lb_proto::config::{Log, LogFormat, LogLevel};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// What [`apply`] changes. One per process, as the subscriber is.
static LEVEL: OnceLock<reload::Handle<Targets, tracing_subscriber::Registry>> = OnceLock::new();
static JSON: AtomicBool = AtomicBool::new(false);

/// What writes the rest when it is dropped.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Starts logging. Later calls only change level and format.
pub(crate) fn init(log: Log) {
    if LEVEL.get().is_none() {
        let (level, handle) = reload::Layer::new(filter(log.level));
        let (writer, guard) = tracing_appender::non_blocking(io::stderr());
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(io::stderr().is_terminal())
            .event_format(Lines::new());
        let started = tracing_subscriber::registry()
            .with(level)
            .with(lines)
            .try_init();
        if started.is_ok() {
            let _ = LEVEL.set(handle);
            *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        }
    }
    apply(log);
}

/// Writes what is not written yet, unless that takes longer than a second or so.
pub(crate) fn finish() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Sets level and format.
pub(crate) fn apply(log: Log) {
    JSON.store(log.format == LogFormat::Json, Ordering::Relaxed);
    if let Some(handle) = LEVEL.get() {
        // It fails only when the subscriber is gone, and then nobody logs.
        let _ = handle.reload(filter(log.level));
    }
}

/// What libraries have to say is for those who look for a bug: some of it comes as often as a peer
/// likes, and fills disks.
fn filter(level: LogLevel) -> Targets {
    let (ours, libraries) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::OFF),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::OFF),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::OFF),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::DEBUG),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    Targets::new()
        .with_default(libraries)
        .with_target(env!("CARGO_CRATE_NAME"), ours)
}

/// Writes an event in the format of the moment.
struct Lines {
    text: Format<Full>,
    json: Format<Json>,
}

impl Lines {
    fn new() -> Self {
        Self {
            text: Format::default().with_target(false),
            json: Format::default()
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_current_span(false)
                .with_span_list(false),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if JSON.load(Ordering::Relaxed) {
            return self.json.format_event(context, writer, event);
        }
        self.text.format_event(context, writer.by_ref(), event)
    }
}
