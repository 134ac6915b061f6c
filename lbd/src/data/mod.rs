//! The data plane: the way of a request, modules declared in its order.
//!
//! Every data thread runs alone: its own runtime, clients, pools and counters. A connection lives
//! and dies on one thread.

mod thread;
mod view;

mod listen;
mod accept;
mod proxy_protocol;
mod link;
mod client;
mod conn;
mod watch;
mod client_io;
mod http2;
mod framing;
mod request;
mod inflow;
mod request_body;
mod hex;
mod request_id;
mod account;
mod outcome;
mod own_fields;
mod trace;
mod traceparent;
mod span;
mod https_redirect;
mod journal;
mod route;
mod headers;
mod header_rules;
mod socket;
mod sticky;
mod cache_control;
mod session_cookie;
mod client_address;
mod balance;
mod lease;
mod queue;
mod forward;
mod pool;
mod connect;
mod trunk;
mod write;
mod exchange;
mod upload;
mod stream_upload;
mod websocket;
mod drain;
mod encode;
mod decode;
mod body;
mod upgrade;
mod tunnel;
mod tcp;
mod fault;
mod reply;
mod linger;

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::listen::Listening;
use self::thread::Thread;
use crate::state::{Phase, Shared, ThreadId};

/// By uids, which are numbers of our own: nobody can choose ones that collide.
type ByUid<T> = HashMap<u64, T, foldhash::fast::FixedState>;

/// Task polls between two looks at the sockets. A request takes about four, so this is a look every
/// fifty requests or so under load, a millisecond at most; measured, it saves 3 % of CPU.
const EVENT_INTERVAL: u32 = 200;

/// How long connections may take to close that are cut; those that have something to tell take no time.
const LAST_CUT: Duration = Duration::from_millis(500);

/// Starts the data threads. Each ends by itself when the phase is [`Phase::Stopping`] and its last
/// connection has closed, and soon after it is [`Phase::Cutting`].
///
/// # Errors
/// Where the system grants no thread.
pub(crate) fn spawn(shared: &Arc<Shared>) -> io::Result<Vec<JoinHandle<()>>> {
    (0..shared.threads)
        .map(|i| {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("data-{i}"))
                .spawn(move || {
                    let runtime = Builder::new_current_thread()
                        .enable_all()
                        .event_interval(EVENT_INTERVAL)
                        .build_local(LocalOptions::default())
                        .expect("the system grants an event queue");
                    runtime.block_on(run(Thread::new(ThreadId(i), shared)));
                })
        })
        .collect()
}

async fn run(thread: Rc<Thread>) {
    let mut phase = thread.shared.phase();
    let mut listening = Listening::default();
    spawn_local(journal::hand_over(thread.clone()));
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let running = matches!(*phase.borrow_and_update(), Phase::Running | Phase::Leaving);
        // Also where a stop came first: a socket that is not taken would listen on.
        listening.follow(&thread).await;
        if !running {
            break;
        }
        thread.sweep();
        thread.heed_kills();
        loop {
            tokio::select! {
                changed = phase.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                _ = second.tick() => thread.tick(),
            }
        }
    }
    thread.stop();
    listening.stop().await;
    tokio::select! {
        () = thread.last_client_left() => {}
        _ = phase.wait_for(|phase| *phase == Phase::Cutting) => {
            thread.cut();
            let _ = timeout(LAST_CUT, thread.last_client_left()).await;
        }
    }
    thread.journal.close().await;
}
