//! Configurations of daemons under test: what most of them have in common.

use std::net::SocketAddr;

use crate::origin::Origin;

/// A configuration whose frontend `web` sends everything to the backend `app`, which has these
/// servers under their names and `lines`.
pub fn app<'o>(lines: &str, origins: impl IntoIterator<Item = &'o Origin>) -> String {
    app_at(
        lines,
        origins
            .into_iter()
            .map(|origin| (origin.name(), origin.addr())),
    )
}

/// [`app`], with servers that are not of the harness.
pub fn app_at<'s>(lines: &str, servers: impl IntoIterator<Item = (&'s str, SocketAddr)>) -> String {
    let servers: String = servers
        .into_iter()
        .map(|(name, address)| format!("  {{ name = \"{name}\", address = \"{address}\" }},\n"))
        .collect();
    format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\n\
         [backend.app]\n{lines}\nservers = [\n{servers}]\n"
    )
}

/// A health check that speaks often, for [`app`]. It gives up no probe that a busy machine is slow with: what
/// a test has fail is an answer, or a connection refused.
pub const QUICK_CHECK: &str = "health = { type = \"http\", path = \"/healthz\", \
     interval = \"50ms\", timeout = \"60s\", rise = 2, fall = 2 }";

/// No health check, for [`app`].
pub const NO_CHECK: &str = "health = false";

/// The timeout `of`, to be passed by a silence that comes after something else has happened: within a hundred times
/// what that takes. Where nothing has to happen before, a shorter one will do.
pub fn silence(of: &str) -> String {
    format!("{of} = \"2s\"")
}

/// A file of these two, with timeouts longer than any test: of what a busy machine does slowly, lbd
/// gives nothing up that the test has not given a time.
pub(crate) fn patient(global: &str, config: &str) -> String {
    const SECTION: &str = "[defaults.timeouts]\n";
    const ALL: [&str; 7] = [
        "request",
        "client",
        "keep_alive",
        "tls_handshake",
        "queue",
        "connect",
        "server",
    ];
    let (before, given) = config.split_once(SECTION).unwrap_or((config, ""));
    let section = given.split("\n[").next().unwrap_or_default();
    let is_given = |key: &str| section.lines().any(|line| line.starts_with(key));
    let rest = ALL.iter().filter(|key| !is_given(key));
    let rest = rest.map(|key| format!("{key} = \"10m\""));
    let rest: Vec<String> = rest.collect();
    match given {
        "" => {
            let rest = rest.join(", ");
            format!("defaults.timeouts = {{ {rest} }}\n{global}{config}")
        }
        given => format!("{global}\n{before}{SECTION}{}\n{given}", rest.join("\n")),
    }
}
