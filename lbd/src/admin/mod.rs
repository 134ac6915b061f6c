//! What the daemon tells by HTTP about itself, on `[admin]`'s own address and the control runtime, and what may be
//! asked of it there.
//!
//! Never names the control plane: `app.rs` hands over what only that knows, and does.

mod action;
mod assets;
mod crowd;
mod dashboard;
mod due;
mod events;
mod handshakes;
mod history;
mod host;
mod http;
mod login;
mod metrics;
mod origin;
mod page;
mod refusals;
mod response;
mod sending;
mod token;
mod visitor;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lb_proto::error::ErrorReply;
use lb_proto::reply;
use lb_proto::request::SetState;
use lb_proto::status::{By, LastReload, Status, TrialStatus};
use rustix::system::uname;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, watch};
use tracing::{error, info};

use self::dashboard::Live;
use self::handshakes::Handshakes;
use self::history::History;
use self::login::Logins;
use self::refusals::Refusals;
use crate::state::{Admin, Listener, Shared, ThreadId};

pub(crate) use self::refusals::Refused;
pub(crate) use self::token::Token;

/// Streams of events at once, half of the places that there are for connections: the others are left to whoever asks
/// for health.
const MOST_STREAMS: usize = 32;

/// Answers at once that tell of every server: of many thousands each takes tens of megabytes.
const MOST_LARGE: usize = 8;

/// What only the control plane knows, and does.
pub(crate) struct Knows {
    pub(crate) last_reload: Box<dyn Fn() -> Option<LastReload> + Send + Sync>,
    pub(crate) trial: Box<dyn Fn() -> Option<TrialStatus> + Send + Sync>,
    pub(crate) status:
        Box<dyn Fn() -> BoxFuture<'static, Result<Status, ErrorReply>> + Send + Sync>,
    pub(crate) set_state: SetsState,
    pub(crate) refused: Box<dyn Fn(Refused) + Send + Sync>,
}

/// The call of the control socket, in somebody's name.
type SetsState = Box<
    dyn Fn(SetState, By) -> BoxFuture<'static, Result<reply::SetState, ErrorReply>> + Send + Sync,
>;

impl fmt::Debug for Knows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Knows")
    }
}

/// What is served at one address.
#[derive(Debug)]
struct Site {
    shared: Arc<Shared>,
    knows: Arc<Knows>,
    token: Arc<Token>,
    logins: Arc<Logins>,
    listener: Arc<Listener>,
    handshakes: Handshakes,
    /// One scrape at a time: each takes a CPU for a while, and memory.
    scrapes: Mutex<()>,
    refusals: Arc<Refusals>,
    /// The same of views for the dashboard.
    views: Mutex<()>,
    history: History,
    live: Live,
    streams: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// The name of the machine.
    host: String,
}

impl Site {
    fn new(
        shared: Arc<Shared>,
        knows: Arc<Knows>,
        token: Arc<Token>,
        logins: Arc<Logins>,
        listener: Arc<Listener>,
    ) -> Self {
        Self {
            shared,
            knows,
            token,
            logins,
            listener,
            handshakes: Handshakes::default(),
            scrapes: Mutex::default(),
            refusals: Arc::default(),
            views: Mutex::default(),
            history: History::default(),
            live: Live::default(),
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            large: Arc::new(Semaphore::new(MOST_LARGE)),
            host: uname().nodename().to_string_lossy().into_owned(),
        }
    }

    /// What the configuration says of it now; `None`: it is on its way out.
    fn admin(&self) -> Option<Admin> {
        self.shared.snapshot().admin.clone()
    }
}

/// Serves wherever the configuration says, until it is dropped; also while the daemon stops.
pub(crate) async fn run(shared: Arc<Shared>, knows: Knows, token: Token) {
    let (knows, token) = (Arc::new(knows), Arc::new(token));
    let logins = Arc::new(Logins::new());
    let mut nudges = shared.phase();
    let mut serving: Option<Serving> = None;
    loop {
        let admin = shared.snapshot().admin.clone();
        if admin.as_ref().is_some_and(|admin| admin.config.actions) {
            let token = token.clone();
            tokio::spawn(async move { token.value().await.len() });
        }
        let wanted = admin.map(|admin| admin.listener);
        if wanted.as_ref().map(|l| l.uid) != serving.as_ref().map(|s| s.uid) {
            // The one before is dropped when this one listens.
            serving = wanted.and_then(|listener| {
                let (shared, knows) = (shared.clone(), knows.clone());
                let (token, logins) = (token.clone(), logins.clone());
                Serving::start(Site::new(shared, knows, token, logins, listener))
            });
        }
        if nudges.changed().await.is_err() {
            return;
        }
    }
}

/// An address that is served: dropped, it is closed, and its connections end with what they carry.
struct Serving {
    uid: u64,
    _stop: watch::Sender<()>,
}

impl Serving {
    fn start(site: Site) -> Option<Self> {
        let (uid, address) = (site.listener.uid, site.listener.address);
        let socket = site.listener.take_socket(ThreadId(0))?;
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                error!(%address, %error, "[admin] cannot be served");
                return None;
            }
        };
        info!(%address, "[admin] is served");
        let (stop, mut stops) = watch::channel(());
        let site = Arc::new(site);
        tokio::spawn(http::accept(socket, site.clone(), stops.clone()));
        tokio::spawn(async move {
            tokio::select! {
                () = dashboard::run(&site) => {}
                () = history::run(&site) => {}
                _ = stops.changed() => {}
            }
        });
        Some(Self { uid, _stop: stop })
    }
}
