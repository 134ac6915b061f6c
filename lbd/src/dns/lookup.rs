//! One look-up of a host name. The only file that knows the resolver library.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, fs};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Look-ups in flight at once: a resolver that is asked a thousand things at once drops some.
const AT_ONCE: usize = 64;

/// How long a question waits for its answer, and how often it is asked.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// How long a look-up may take as a whole, with every server and search domain.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the system knows of names. They are read again when they change.
const SYSTEM_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// What a name leads to.
#[derive(Debug)]
pub(super) struct Answer {
    /// Never empty; IPv4 before IPv6.
    pub(super) addresses: Vec<IpAddr>,
    /// For how long the answer holds.
    pub(super) valid: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("no such name")]
    NoSuchName,
    #[error("no address")]
    NoAddress,
    #[error("no answer")]
    Timeout,
    #[error("{0}")]
    Other(NetError),
}

impl From<NetError> for LookupError {
    fn from(error: NetError) -> Self {
        match error {
            error if error.is_nx_domain() => Self::NoSuchName,
            error if error.is_no_records_found() => Self::NoAddress,
            NetError::Timeout => Self::Timeout,
            error => Self::Other(error),
        }
    }
}

/// Asks DNS servers and the system's files. It keeps no answer: whoever asks knows how long one
/// holds.
#[derive(Debug)]
pub(super) struct Lookup {
    source: Mutex<Option<Source>>,
    turns: Semaphore,
}

/// A resolver, and what it was made from.
struct Source {
    servers: Vec<SocketAddr>,
    files: [Option<SystemTime>; 2],
    resolver: TokioResolver,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("servers", &self.servers)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Lookup {
    pub(super) fn new() -> Self {
        Self {
            source: Mutex::new(None),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Looks a name up. `servers` empty: those that the system uses.
    pub(super) async fn ask(
        &self,
        host: &str,
        servers: &[SocketAddr],
    ) -> Result<Answer, LookupError> {
        let _turn = self.turns.acquire().await;
        let resolver = self.resolver(servers)?;
        // Not only what may name a host: what people run has underscores, too.
        let name = Name::from_str_relaxed(host).map_err(NetError::from)?;
        let found = timeout(PATIENCE, resolver.lookup_ip(name)).await;
        let found = found.map_err(|_| LookupError::Timeout)??;
        let mut addresses: Vec<IpAddr> = found.iter().map(|ip| ip.to_canonical()).collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        if addresses.is_empty() {
            return Err(LookupError::NoAddress);
        }
        let valid = found
            .valid_until()
            .saturating_duration_since(Instant::now());
        Ok(Answer { addresses, valid })
    }

    fn resolver(&self, servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
        let files = SYSTEM_FILES.map(|path| fs::metadata(path).and_then(|m| m.modified()).ok());
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = &*source
            && source.servers == servers
            && source.files == files
        {
            return Ok(source.resolver.clone());
        }
        let resolver = build(servers)?;
        *source = Some(Source {
            servers: servers.to_vec(),
            files,
            resolver: resolver.clone(),
        });
        Ok(resolver)
    }
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let runtime = TokioRuntimeProvider::default();
    let mut builder = match servers {
        [] => TokioResolver::builder(runtime.clone()).unwrap_or_else(|_| {
            // Without servers in resolv.conf(5), the one on this machine.
            TokioResolver::builder_with_config(config(&[([127, 0, 0, 1], 53).into()]), runtime)
        }),
        servers => TokioResolver::builder_with_config(config(servers), runtime),
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
    builder.build()
}

fn config(servers: &[SocketAddr]) -> ResolverConfig {
    let servers = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    ResolverConfig::from_parts(None, Vec::new(), servers.collect())
}
