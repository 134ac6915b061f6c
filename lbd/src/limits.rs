//! The limit of open files, and how many connections fit into it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use lb_proto::config::{Global, connections_within, open_files};

/// How many files this process may have open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFiles(u64);

impl OpenFiles {
    #[cfg(test)]
    pub(crate) fn of(limit: u64) -> Self {
        Self(limit)
    }

    /// Raises the soft limit to the hard one, as HAProxy does.
    pub(crate) fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        let wanted = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            warn!(%error, "cannot raise the limit of open files");
        }
        let limit = getrlimit(Resource::Nofile);
        Self(limit.current.unwrap_or(u64::MAX))
    }

    /// How many client connections may be open at once, and what an operator should know about it.
    pub(crate) fn connections(self, global: &Global) -> (usize, Option<String>) {
        let fits = usize::try_from(connections_within(self.0)).unwrap_or(usize::MAX);
        let Some(wanted) = global.max_connections.map(|n| n as usize) else {
            return (fits, None);
        };
        let warning = (wanted > fits).then(|| {
            let needed = open_files(wanted as u64);
            format!(
                "max_connections = {wanted} needs {needed} open files and the limit is {}: raise \
                 LimitNOFILE or `ulimit -n`, or lower it to {fits}",
                self.0
            )
        });
        (wanted, warning)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lb_proto::config::{Log, LogFormat, LogLevel};

    use super::*;

    fn global(max_connections: Option<u32>) -> Global {
        Global {
            threads: None,
            max_connections,
            max_handshakes: None,
            socket: "/run/lbd/lbd.sock".into(),
            socket_mode: 0o660,
            socket_group: None,
            state_dir: "/var/lib/lbd".into(),
            shutdown_timeout: Duration::from_secs(30),
            shutdown_delay: None,
            resolvers: Vec::new(),
            log: Log {
                level: LogLevel::Info,
                format: LogFormat::Text,
            },
            access_log: None,
        }
    }

    #[test]
    fn connections_follow_from_the_limit_unless_configured() {
        let files = OpenFiles(1024);
        assert_eq!(files.connections(&global(None)), (480, None));
        assert_eq!(files.connections(&global(Some(100))), (100, None));
        let (most, warning) = files.connections(&global(Some(1000)));
        assert_eq!(most, 1000);
        assert!(warning.unwrap().contains("needs 2064 open files"));
        assert_eq!(OpenFiles(10).connections(&global(None)).0, 1);
    }
}
