//! Whether clients are shown what was installed: asked as they ask.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use lb_proto::document::cert::Served;
use lb_proto::error::ErrorReply;
use lb_proto::pem::{Bundle, fingerprint};
use lb_proto::reply::Shown;

use super::handshake::{self, Client, Target};
use super::{failed, reach};

/// For all handshakes together. One takes a few milliseconds; a daemon that is at its limits lets
/// new connections wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// A bind that shows the certificate, as far as could be seen.
#[derive(Debug)]
pub(super) struct Bind {
    pub(super) address: String,
    frontend: String,
    /// Those that were asked for.
    names: Vec<String>,
    /// Why nobody was asked.
    pub(super) unseen: Option<String>,
}

impl Bind {
    pub(super) fn document(&self) -> Served {
        Served {
            bind: self.address.clone(),
            frontend: self.frontend.clone(),
            names: self.names.clone(),
            read_back: self.unseen.is_none(),
        }
    }

    /// `0.0.0.0:443 (web)`
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.address, self.frontend)
    }

    /// For how many names, `as the default` among them.
    pub(super) fn seen(&self) -> String {
        match self.names.len() {
            0 => "as the default".to_owned(),
            1 => "for 1 name".to_owned(),
            many => format!("for {many} names"),
        }
    }
}

/// Asks each of the binds that are to show the certificate, for each name that they show it for.
///
/// # Errors
/// At the first that shows another, or nothing.
pub(super) fn all(
    bundle: &Bundle,
    wanted: &[&Shown],
    all: &[Shown],
) -> Result<Vec<Bind>, ErrorReply> {
    let client = Client::for_key_of(bundle).map_err(|error| {
        failed(
            format!("cannot ask as a client: {error}"),
            "this is a fault of lbctl",
        )
    })?;
    let deadline = Instant::now() + PATIENCE;
    let mut binds: BTreeMap<&str, Bind> = BTreeMap::new();
    for shown in wanted {
        let bind = one(&client, bundle, shown, all, deadline)?;
        binds.entry(&shown.bind).or_insert(bind);
    }
    Ok(binds.into_values().collect())
}

fn one(
    client: &Client,
    bundle: &Bundle,
    shown: &Shown,
    all: &[Shown],
    deadline: Instant,
) -> Result<Bind, ErrorReply> {
    let mut bind = Bind {
        address: shown.bind.clone(),
        frontend: shown.whose().to_owned(),
        names: Vec::new(),
        unseen: None,
    };
    let Some(target) = target(shown) else {
        let who = shown.proxy_protocol.join(", ");
        bind.unseen = Some(format!(
            "only {who} may connect to it, and no address of this machine is of those"
        ));
        return Ok(bind);
    };
    let here = reach::leads_here(target.address, deadline).map_err(|error| {
        failed(
            format!("{} takes no connection: {error}", shown.bind),
            "see lbd's log",
        )
    })?;
    if !here {
        bind.unseen = Some("its address is another machine's at the moment".to_owned());
        return Ok(bind);
    }
    let asked = shown.names.iter().filter_map(|name| {
        let asked = question(name, &shown.bind, all);
        Some((name, handshake::name(asked)?))
    });
    let mut asked = asked.peekable();
    if asked.peek().is_none() && !shown.default {
        bind.unseen = Some("none of its names is one to ask for".to_owned());
        return Ok(bind);
    }
    let unnamed = shown.default.then_some(None).into_iter();
    let asked = asked.map(|(name, asked)| Some((name, asked)));
    for question in unnamed.chain(asked) {
        let (name, asked) = question.unzip();
        let what = match name {
            Some(name) => format!("{} asked for {name}", shown.bind),
            None => format!("{} asked for no name", shown.bind),
        };
        let seen = client.ask(target, asked, deadline).map_err(|error| {
            failed(
                format!("{what} shows no certificate: {error}"),
                "see lbd's log",
            )
        })?;
        if bundle.chain.first() != Some(&seen) {
            let seen = fingerprint(&seen);
            return Err(failed(
                format!(
                    "{what} shows another certificate (SHA-256 {seen}) and not the new one ({})",
                    bundle.leaf.fingerprint
                ),
                "does another program listen there, or did another lbctl cert come between?",
            ));
        }
        bind.names.extend(name.cloned());
    }
    Ok(bind)
}

fn target(shown: &Shown) -> Option<Target> {
    let bind: SocketAddr = shown.bind.parse().ok()?;
    let networks = shown.proxy_protocol.iter().map(|network| network.parse());
    let networks: Vec<IpNet> = networks.collect::<Result<_, _>>().ok()?;
    reach::target(bind, &networks)
}

/// What a client asks for to be shown the certificate for `name`: itself, or a name that a `*` stands
/// for and no other certificate of the bind has.
fn question(name: &str, bind: &str, all: &[Shown]) -> String {
    let Some(parent) = name.strip_prefix("*.") else {
        return name.to_owned();
    };
    let others = all.iter().filter(|shown| shown.bind == bind);
    let taken: Vec<&String> = others.flat_map(|shown| &shown.names).collect();
    let mut made = (0..).map(|n: u32| format!("check{n}.{parent}"));
    made.find(|made| !taken.contains(&made)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_a_wildcard_a_name_is_asked_for_that_no_other_certificate_has() {
        let shown = |bind: &str, names: &[&str]| Shown {
            file: String::new(),
            fingerprint: String::new(),
            frontend: "web".parse().unwrap(),
            admin: false,
            bind: bind.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            default: false,
            proxy_protocol: Vec::new(),
        };
        let all = [
            shown("a", &["*.a.test", "check0.a.test"]),
            shown("b", &["check1.a.test"]),
        ];
        assert_eq!(question("a.test", "a", &all), "a.test");
        assert_eq!(question("*.a.test", "a", &all), "check1.a.test");
        assert_eq!(question("*.a.test", "b", &all), "check0.a.test");
    }
}
