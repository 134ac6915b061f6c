//! Firewalls of this machine that let no client in. What others on the way do is not seen from here.

mod iptables;
mod nft;
mod rules;
mod ufw;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use self::rules::Passage;
use super::finding::Finding;
use super::ports::{binds_of_daemon, binds_of_file};
use super::program::{self, Ran};
use super::scene::Scene;

const CHECK: &str = "firewall";

/// Where a client from elsewhere connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Door {
    ip: IpAddr,
    port: u16,
}

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let doors = doors(scene);
    if scene.status().is_none() && scene.config().is_none() {
        let why = "which ports there are is in the configuration file";
        return vec![Finding::not_looked_at(CHECK, "firewall rules", why)];
    }
    if doors.is_empty() {
        let what = "only this machine itself is to connect: no firewall is in between";
        return vec![Finding::fine(CHECK, what)];
    }
    let asked = [
        ("ufw", &["status", "verbose"][..]),
        ("nft", &["-j", "list", "ruleset"]),
        ("iptables-save", &[]),
        ("ip6tables-save", &[]),
    ];
    let [ufw, nft, v4, v6] = asked.map(|(program, args)| program::run(program, args));
    judge(&doors, &ufw, &nft, &v4, &v6)
}

/// Addresses that are listened on, or are to be, and that not only this machine itself can reach.
fn doors(scene: &Scene) -> BTreeSet<Door> {
    let configured = scene.config().into_iter().flat_map(binds_of_file);
    let configured = configured.map(|(bind, _)| bind);
    let all = binds_of_daemon(scene).into_iter().chain(configured);
    let outside = all.filter(|bind| !bind.ip().is_loopback() && bind.port() != 0);
    let door = |bind: SocketAddr| Door {
        ip: bind.ip(),
        port: bind.port(),
    };
    outside.map(door).collect()
}

/// Everything that was said, weighed for each door.
fn judge(doors: &BTreeSet<Door>, ufw: &Ran, nft: &Ran, v4: &Ran, v6: &Ran) -> Vec<Finding> {
    if [ufw, nft, v4, v6].iter().all(|ran| **ran == Ran::Absent) {
        let why = "neither nft nor ufw nor iptables is installed here";
        return vec![Finding::not_looked_at(CHECK, "firewall rules", why)];
    }
    let mut findings = Vec::new();
    let mut looked = Vec::new();
    let mut closed = BTreeSet::new();
    let mut blame = |by: &str, doors: &BTreeSet<Door>, passage: &dyn Fn(&Door) -> Passage| {
        let mut found = Vec::new();
        for door in doors {
            let finding = shut(by, *door, passage(door));
            if finding.is_some() && closed.insert(*door) {
                found.extend(finding);
            }
        }
        found
    };
    let ufw_rules = heard(ufw, &mut findings, "ufw").and_then(ufw::parse);
    if let Some(rules) = &ufw_rules {
        looked.push("ufw");
        findings.extend(blame("ufw", doors, &|door| rules.passage(*door)));
    }
    // Tables that are iptables' own are told better by itself.
    let nft_rules = heard(nft, &mut findings, "nft").map(nft::parse);
    match nft_rules {
        Some(Ok(rules)) => {
            looked.push("nft");
            let asked = ufw_rules.is_some() || matches!(v4, Ran::Said(_));
            findings.extend(blame("nft", doors, &|door| rules.passage(*door, asked)));
            if !asked && rules.has_some_of_iptables() {
                let why = "nft does not tell what iptables made, and iptables-save tells nothing";
                findings.push(Finding::not_looked_at(CHECK, "the rules of iptables", why));
            }
        }
        Some(Err(why)) => findings.push(Finding::not_looked_at(CHECK, "the rules of nft", why)),
        None => {}
    }
    if ufw_rules.is_none() {
        for (program, said, is_v4) in [("iptables-save", v4, true), ("ip6tables-save", v6, false)] {
            let doors: BTreeSet<Door> = doors
                .iter()
                .copied()
                .filter(|d| d.ip.is_ipv4() == is_v4)
                .collect();
            if doors.is_empty() {
                continue;
            }
            let Some(text) = heard(said, &mut findings, program) else {
                continue;
            };
            looked.push(program);
            findings.extend(blame("iptables", &doors, &|door| {
                iptables::passage(text, *door)
            }));
        }
    }
    if closed.is_empty() && findings.is_empty() {
        let ports: BTreeSet<String> = doors.iter().map(|d| d.port.to_string()).collect();
        let ports: Vec<String> = ports.into_iter().collect();
        let what = format!(
            "{} let clients in to {}",
            looked.join(" and "),
            ports.join(", ")
        );
        findings.push(Finding::fine(CHECK, what));
    }
    findings
}

/// What a program said, if it said anything; else why not is a finding.
fn heard<'a>(ran: &'a Ran, findings: &mut Vec<Finding>, program: &str) -> Option<&'a str> {
    match ran {
        Ran::Said(text) => Some(text),
        Ran::Absent => None,
        Ran::Failed(why) => {
            let what = format!("the rules of {program}");
            let finding = Finding::not_looked_at(CHECK, what, why);
            findings.push(match super::scene::is_root() {
                true => finding,
                false => finding.remedy("run it with sudo"),
            });
            None
        }
    }
}

fn shut(program: &str, door: Door, passage: Passage) -> Option<Finding> {
    let (by, unless, open) = match passage {
        Passage::Open => return None,
        Passage::Closed { by, unless, open } => (by, unless, open),
    };
    let Door { ip, port } = door;
    let place = SocketAddr::new(ip, port).to_string();
    let finding = match unless.is_empty() {
        true => Finding::problem(
            CHECK,
            format!(
                "{program} lets no client from elsewhere in to port {port}: connections hang or are refused"
            ),
        ),
        false => Finding::warning(
            CHECK,
            format!("{program} lets only some clients in to port {port}"),
        ),
    };
    let finding = finding.place(place).why(by);
    let finding = unless.into_iter().fold(finding, |finding, rule| {
        finding.why(format!("let in by {rule}"))
    });
    Some(
        finding
            .remedy(format!("let clients in to port {port}"))
            .command(open),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    fn doors() -> BTreeSet<Door> {
        BTreeSet::from([Door {
            ip: [0, 0, 0, 0].into(),
            port: 80,
        }])
    }

    fn said(text: &str) -> Ran {
        Ran::Said(text.to_owned())
    }

    const UFW: &str = "Status: active\nLogging: on (low)\n\
        Default: deny (incoming), allow (outgoing), disabled (routed)\nNew profiles: skip\n\n\
        To                         Action      From\n\
        --                         ------      ----\n\
        22/tcp                     ALLOW IN    Anywhere\n";

    #[test]
    fn nothing_that_could_not_be_asked_is_fine() {
        let none = [(); 4].map(|()| Ran::Absent);
        let [a, b, c, d] = &none;
        let findings = judge(&doors(), a, b, c, d);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::NotLookedAt);
        let denied = Ran::Failed("nft: Operation not permitted (you must be root)".to_owned());
        let findings = judge(&doors(), &Ran::Absent, &denied, &Ran::Absent, &Ran::Absent);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].severity, Severity::NotLookedAt);
        assert!(findings[0].why[0].contains("must be root"));
    }

    #[test]
    fn who_shuts_a_port_is_told_once_and_how_to_open_it() {
        let drop_all = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
        let findings = judge(
            &doors(),
            &said(UFW),
            &Ran::Absent,
            &said(drop_all),
            &Ran::Absent,
        );
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].severity, Severity::Problem);
        assert_eq!(
            findings[0].command.as_deref(),
            Some("sudo ufw allow 80/tcp")
        );
        let inactive = said("Status: inactive\n");
        let findings = judge(
            &doors(),
            &inactive,
            &Ran::Absent,
            &said(drop_all),
            &Ran::Absent,
        );
        assert!(
            findings[0].what.starts_with("iptables lets no client"),
            "{findings:?}"
        );
        let empty = said(r#"{"nftables":[{"metainfo":{"version":"1.0.9"}}]}"#);
        let findings = judge(&doors(), &inactive, &empty, &said(""), &Ran::Absent);
        assert_eq!(findings[0].severity, Severity::Fine, "{findings:?}");
        let of_iptables = said(
            r#"{"nftables":[{"chain":{"family":"ip","table":"filter","name":"INPUT","type":"filter","hook":"input","prio":0,"policy":"drop"}},
            {"rule":{"family":"ip","table":"filter","chain":"INPUT","handle":7,"expr":[{"xt":null},{"accept":null}]}}]}"#,
        );
        let findings = judge(
            &doors(),
            &inactive,
            &of_iptables,
            &Ran::Absent,
            &Ran::Absent,
        );
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].severity, Severity::NotLookedAt, "{findings:?}");
    }
}
