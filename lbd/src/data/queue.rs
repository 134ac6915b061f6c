//! Waiting for a server with room. Who waits holds a place in the backend's queue, which all threads
//! share, and gives it up when it is no longer polled.

use std::rc::Rc;

use tokio::time::Instant;

use super::fault::Fault;
use super::lease::{Lease, Missed};
use super::thread::Thread;
use super::view::View;
use super::watch::{Awaiting, Expired, Watch};
use crate::state::{Ahead, QueueTally, Told, Wants, add};

/// A session, waited for if need be: what `look` finds, asked again whenever what it found full may
/// have changed. `waits` is told of each wait.
pub(super) async fn lease(
    thread: &Thread,
    watch: &Watch,
    view: &Rc<View>,
    backend: usize,
    look: impl Fn() -> Result<Lease, Missed>,
    waits: impl Fn(Ahead),
) -> Result<Lease, Fault> {
    match look() {
        Ok(lease) => Ok(lease),
        Err(Missed::NoServer) => Err(Fault::NoServer),
        // Apart, so that only those who wait have room for it.
        Err(Missed::Full(wants)) => {
            Box::pin(wait(thread, watch, view, backend, wants, look, waits)).await
        }
    }
}

async fn wait(
    thread: &Thread,
    watch: &Watch,
    view: &Rc<View>,
    backend: usize,
    mut wants: Wants,
    look: impl Fn() -> Result<Lease, Missed>,
    waits: impl Fn(Ahead),
) -> Result<Lease, Fault> {
    let state = &view.snapshot.backends[backend];
    let tally = state.pool.waits.of(thread.id);
    let mut wait: Option<Wait<'_>> = None;
    loop {
        let (ticket, since) = match &wait {
            Some(wait) => (Some(wait.ticket), wait.since),
            None => (None, Instant::now()),
        };
        if ticket.is_none() {
            watch.expect_from(since, Awaiting::Queue, state.config.timeouts.queue);
        }
        let waiting = state.wait(ticket, wants).map_err(|_| {
            add(&tally.refused, 1);
            Fault::QueueFull
        })?;
        wait.get_or_insert(Wait {
            ticket: waiting.ticket,
            since,
            tally,
        });
        waits(waiting.ahead);
        match watch.bound(waiting.told()).await {
            Ok(Told::Room(granted)) => {
                if let Some(lease) = Lease::granted(thread, view, backend, granted) {
                    return Ok(lease);
                }
            }
            Ok(Told::LookAgain) => {}
            Err(Expired(_)) => {
                add(&tally.timeouts, 1);
                return Err(Fault::QueueTimedOut);
            }
        }
        wants = match look() {
            Ok(lease) => return Ok(lease),
            Err(Missed::NoServer) => return Err(Fault::NoServer),
            Err(Missed::Full(wants)) => wants,
        };
    }
}

/// The time that a request waits, counted when that ends, whatever comes of it.
struct Wait<'q> {
    ticket: u64,
    since: Instant,
    tally: &'q QueueTally,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.tally.times.count(self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    use lb_proto::state::Admin;
    use tokio::task::yield_now;
    use tokio::time::Instant;

    use super::*;
    use crate::state::{Shared, ThreadId, Who, place};

    fn config(balance: &str, most: [u32; 3]) -> String {
        let server = |(name, most)| {
            format!(
                "{{ name = \"{name}\", address = \"127.0.0.1:1\", max_connections = {most} }},\n"
            )
        };
        let servers: String = ["a", "b", "c"].into_iter().zip(most).map(server).collect();
        format!(
            "[frontend.web]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\
             [backend.app]\nhealth = false\nbalance = \"{balance}\"\nqueue = {{ max = 20 }}\n\
             servers = [\n{servers}]\n"
        )
    }

    /// One request: waits, holds its session for a while, and tells what became of it.
    async fn request(thread: Rc<Thread>, n: u64) -> Result<(), Fault> {
        let watch = Watch::new(Awaiting::Request, Duration::from_secs(60), Instant::now());
        let view = thread.view();
        let key = Some(place(&n.to_be_bytes()));
        let tried = if n.is_multiple_of(11) {
            vec![0]
        } else {
            Vec::new()
        };
        let look = || match n % 7 {
            0 => Lease::on(&thread, &view, 0, n as usize % 3, Who::Returning),
            _ => Lease::take(&thread, &view, 0, key, &tried),
        };
        let leased = lease(&thread, &watch, &view, 0, look, |_| {});
        let impatient = async {
            for _ in 0..n % 50 {
                yield_now().await;
            }
        };
        let lease = match n % 5 {
            // Its client leaves.
            0 => tokio::select! {
                leased = leased => leased?,
                () = impatient => return Ok(()),
            },
            // Its time is up.
            1 => tokio::select! {
                biased;
                leased = leased => leased?,
                () = async { impatient.await; watch.expire(); std::future::pending().await } => return Ok(()),
            },
            _ => leased.await?,
        };
        assert!(lease.server().sessions() >= 1);
        for _ in 0..n % 4 {
            yield_now().await;
        }
        Ok(())
    }

    #[test]
    fn threads_that_wait_leave_and_time_out_while_servers_change_leave_no_count() {
        for balance in ["roundrobin", "leastconn", "random", "uri"] {
            let shared = Shared::of(&config(balance, [1, 2, 3]));
            let done = AtomicBool::new(false);
            let served = AtomicU64::new(0);
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3)
                    .map(|t| {
                        let (shared, served) = (&shared, &served);
                        scope.spawn(move || {
                            let runtime = tokio::runtime::Builder::new_current_thread()
                                .enable_all()
                                .build_local(tokio::runtime::LocalOptions::default())
                                .unwrap();
                            runtime.block_on(async {
                                let thread = Thread::new(ThreadId(0), shared.clone());
                                let requests: Vec<_> = (0..1500)
                                    .map(|n| {
                                        tokio::task::spawn_local(request(thread.clone(), n * 3 + t))
                                    })
                                    .collect();
                                for request in requests {
                                    let ended = request.await.unwrap();
                                    served.fetch_add(u64::from(ended.is_ok()), Ordering::Relaxed);
                                }
                            });
                        })
                    })
                    .collect();
                scope.spawn(|| {
                    let mut turn = 0;
                    while !done.load(Ordering::SeqCst) {
                        let server = shared.server(["app/a", "app/b"][turn % 2]);
                        let admin = [Admin::Drain, Admin::Ready, Admin::Maint][turn % 3];
                        shared.set_admin(&server, admin, "by a test");
                        if turn % 16 == 0 {
                            shared.load(&config(balance, [1 + turn as u32 % 3, 2, 3]));
                        }
                        turn += 1;
                        std::thread::yield_now();
                    }
                });
                threads
                    .into_iter()
                    .for_each(|thread| thread.join().unwrap());
                done.store(true, Ordering::SeqCst);
            });
            assert!(served.load(Ordering::Relaxed) > 0, "{balance}");
            let snapshot = shared.snapshot();
            let backend = &snapshot.backends[0];
            assert_eq!(backend.pool.queue.len(), 0, "{balance}");
            assert!(!backend.pool.queue.is_ahead_of_all(), "{balance}");
            for server in &backend.servers {
                assert_eq!(server.sessions(), 0, "{balance}");
                assert!(server.load.has_room(), "{balance}");
                assert!(server.sessions_max() <= 3, "{balance}");
            }
        }
    }

    /// With an own watch for each, that nothing ever expires.
    async fn waits(thread: &Thread, view: &Rc<View>) -> Result<Lease, Fault> {
        let watch = Watch::new(Awaiting::Request, Duration::from_secs(60), Instant::now());
        let look = || Lease::take(thread, view, 0, None, &[]);
        lease(thread, &watch, view, 0, look, |_| {}).await
    }

    #[tokio::test]
    async fn nobody_waits_where_there_is_no_server_to_wait_for() {
        let shared = Shared::of(&config("roundrobin", [1, 1, 1]));
        let thread = Thread::new(ThreadId(0), shared.clone());
        let view = thread.view();
        let _held = [
            waits(&thread, &view).await.unwrap(),
            waits(&thread, &view).await.unwrap(),
            waits(&thread, &view).await.unwrap(),
        ];
        for server in ["app/a", "app/b", "app/c"] {
            shared.set_admin(&shared.server(server), Admin::Drain, "by a test");
        }
        assert_eq!(waits(&thread, &view).await.err(), Some(Fault::NoServer));
    }
}
