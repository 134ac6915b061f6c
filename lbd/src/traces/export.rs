//! The thread that sends spans. It alone waits for the collector: its runtime is its own, and so are
//! its look-ups of names.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::otlp::{self, Service};
use super::post::{Answer, Connection, Failed, post};
use super::trouble::Trouble;
use super::{Span, Spans, Target};
use crate::state::Shared;

/// Spans sent at once.
const MOST: usize = 512;

/// How long a span may wait for company.
const EVERY: Duration = Duration::from_secs(5);

/// How often the queue is looked at. Data threads wake nobody, which would be a system call for each
/// span; of [`super::QUEUE`] spans it takes more than 80,000 a second to fill it meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// The same while `[traces]` is gone, for requests that began before.
const SELDOM: Duration = Duration::from_secs(5);

/// How long one export may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often spans are sent that a collector may take another time, and how long after the first time.
const ATTEMPTS: u32 = 3;
const BACKOFF: Duration = Duration::from_secs(1);

/// However long a collector asks to wait: the queue does not hold for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Starts the exporter when the configuration first has somebody to send spans to.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut phase = shared.phase();
    loop {
        if shared.snapshot().traces.is_some() {
            match start(&shared) {
                Ok(()) => return,
                Err(error) => error!(%error, "cannot start the thread that exports traces"),
            }
        }
        if phase.changed().await.is_err() {
            return;
        }
    }
}

fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let of_thread = shared.clone();
    let main = move || {
        if let Some(waiting) = of_thread.spans.take_waiting() {
            runtime.block_on(Exporter::new(&of_thread, waiting).run());
        }
        of_thread.spans.exporting.store(false, Ordering::Release);
    };
    shared.spans.exporting.store(true, Ordering::Release);
    let started = thread::Builder::new().name("traces".into()).spawn(main);
    if started.is_err() {
        shared.spans.exporting.store(false, Ordering::Release);
    }
    started.map(drop)
}

struct Exporter<'a> {
    shared: &'a Shared,
    spans: &'a Spans,
    waiting: Receiver<Box<Span>>,
    batch: Vec<Span>,
    /// When the first of the batch came.
    since: Instant,
    /// The last one that the configuration had: what was collected for it is still sent.
    target: Option<Arc<Target>>,
    connection: Option<Connection>,
    trouble: Trouble,
    host: String,
}

impl<'a> Exporter<'a> {
    fn new(shared: &'a Shared, waiting: Receiver<Box<Span>>) -> Self {
        let name = rustix::system::uname();
        Self {
            shared,
            spans: &shared.spans,
            waiting,
            batch: Vec::new(),
            since: Instant::now(),
            target: None,
            connection: None,
            trouble: Trouble::default(),
            host: name.nodename().to_string_lossy().into_owned(),
        }
    }

    /// Sends until it is told to finish and nothing is left.
    async fn run(&mut self) {
        let mut phase = self.shared.phase();
        loop {
            // Asked first: what is handed over before that is in the queue.
            let finishing = self.spans.is_finishing();
            let is_on = self.follow();
            self.tell_of_recovery();
            self.collect();
            let due = finishing || !is_on || self.since.elapsed() >= EVERY;
            if self.batch.len() == MOST || !self.batch.is_empty() && due {
                self.export().await;
                continue;
            }
            if finishing {
                return;
            }
            let pause = if is_on { LOOK } else { SELDOM };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.spans.finish.notified() => {}
                changed = phase.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Where the configuration of now sends them; false: nowhere.
    fn follow(&mut self) -> bool {
        let target = self.shared.snapshot().traces.clone();
        let is_on = target.is_some();
        self.target = target.or(self.target.take());
        is_on
    }

    fn collect(&mut self) {
        while self.batch.len() < MOST
            && let Ok(span) = self.waiting.try_recv()
        {
            if self.batch.is_empty() {
                self.since = Instant::now();
            }
            self.batch.push(*span);
        }
    }

    /// Sends the batch, or gives it up.
    async fn export(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len() as u64;
        let mut wait = BACKOFF;
        for attempt in 1..=ATTEMPTS {
            self.follow();
            let Some(target) = self.target.clone() else {
                break;
            };
            let service = Service {
                name: &target.config.service_name,
                host: &self.host,
            };
            let body = otlp::body(&batch, service);
            let sent = timeout(DEADLINE, post(&mut self.connection, &target, body)).await;
            let failed = match sent.unwrap_or_else(|_| Err(late())) {
                Ok(Answer::Taken) => {
                    self.spans.exported.fetch_add(count, Ordering::Relaxed);
                    self.trouble.works();
                    return;
                }
                Ok(Answer::Partly(refused, why)) => {
                    let refused = refused.min(count);
                    let taken = count - refused;
                    self.spans.exported.fetch_add(taken, Ordering::Relaxed);
                    self.fails(&target, &format!("it refused spans: {why}"));
                    self.spans.drop(refused);
                    return;
                }
                Err(failed) => failed,
            };
            self.spans.failures.fetch_add(1, Ordering::Relaxed);
            self.fails(&target, &failed.why);
            let Some(asked) = failed.again.filter(|_| attempt < ATTEMPTS) else {
                break;
            };
            if self.spans.is_finishing() {
                break;
            }
            tokio::select! {
                () = sleep(asked.unwrap_or(wait).min(LONGEST_WAIT)) => {}
                () = self.spans.finish.notified() => {}
            }
            wait *= 2;
        }
        self.spans.drop(count);
    }

    fn fails(&mut self, target: &Target, why: &str) {
        if self.trouble.fails(self.spans.dropped(), Instant::now()) {
            let to = &target.config.otlp;
            warn!(%to, error = why, "cannot export traces; requests go on");
        }
    }

    fn tell_of_recovery(&mut self) {
        let dropped_before = self.trouble.is_over(Instant::now());
        if let (Some(before), Some(target)) = (dropped_before, &self.target) {
            let lost = self.spans.dropped() - before;
            let to = &target.config.otlp;
            info!(%to, lost, "traces are exported again");
        }
    }
}

/// Sent again it would be as late.
fn late() -> Failed {
    Failed {
        why: format!("no answer within {} s", DEADLINE.as_secs()),
        again: None,
    }
}
