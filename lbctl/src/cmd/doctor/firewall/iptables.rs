//! `iptables-save` (iptables-save(8)), the table that filters what comes in. Pure.

use super::Door;
use super::rules::{Action, Chains, Fit, Passage, Rule, verdict};

pub(super) fn passage(text: &str, door: Door) -> Passage {
    let mut filters = false;
    let mut drops = false;
    let mut chains = Chains::new();
    for line in text.lines() {
        if let Some(table) = line.strip_prefix('*') {
            filters = table == "filter";
            continue;
        }
        if !filters {
            continue;
        }
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let (name, policy) = (words.next(), words.next());
            drops |= name == Some("INPUT") && policy == Some("DROP");
        } else if let Some(rest) = line.strip_prefix("-A ") {
            let (name, rule) = rest.split_once(' ').unwrap_or((rest, ""));
            chains
                .entry(name.to_owned())
                .or_default()
                .push(read(rule, line, door));
        }
    }
    let policy = "the policy of the chain INPUT is DROP".to_owned();
    let said = verdict(&chains, "INPUT", drops.then_some(policy));
    match said.dropped {
        None => Passage::Open,
        Some(by) => Passage::Closed {
            by,
            unless: said.unless,
            open: format!(
                "sudo {} -I INPUT -p tcp --dport {} -j ACCEPT",
                if door.ip.is_ipv4() {
                    "iptables"
                } else {
                    "ip6tables"
                },
                door.port
            ),
        },
    }
}

/// One rule, `line` as it stands.
fn read(rule: &str, line: &str, door: Door) -> Rule {
    let mut fit = Fit::Yes;
    let mut action = Action::Nothing;
    let mut words = rule.split_whitespace().peekable();
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        let value = match words.peek() {
            Some(next) if word.starts_with('-') && !next.starts_with('-') && *next != "!" => {
                words.next().unwrap_or_default()
            }
            _ => "",
        };
        let matched = match (word, value) {
            ("-j" | "-g", target) => {
                action = target_of(word, target);
                Fit::Yes
            }
            ("-p" | "--protocol", protocol) => matches!(protocol, "tcp" | "all" | "6" | "0").into(),
            (
                "-m" | "--match",
                "tcp" | "multiport" | "conntrack" | "state" | "comment" | "addrtype",
            ) => Fit::Yes,
            ("--dport" | "--dports" | "--destination-port", ports) => {
                has_port(ports, door.port).into()
            }
            ("--ctstate" | "--state", states) => states.split(',').any(|s| s == "NEW").into(),
            ("-i" | "--in-interface", "lo") => Fit::No,
            ("-d" | "--destination", to) => destination(to, door),
            ("--dst-type", "LOCAL") => Fit::Yes,
            ("--comment", _) => {
                skip_comment(value, &mut words);
                Fit::Yes
            }
            // How it is refused is all the same.
            ("--reject-with", _) => Fit::Yes,
            _ => Fit::Some,
        };
        fit = fit.and(if std::mem::take(&mut negated) {
            matched.not()
        } else {
            matched
        });
    }
    Rule {
        fit,
        action,
        text: line.to_owned(),
    }
}

/// A comment of several words is in quotes.
fn skip_comment<'a>(first: &str, words: &mut impl Iterator<Item = &'a str>) {
    let ends = |word: &str| word.ends_with('"') && !word.ends_with("\\\"");
    if !first.starts_with('"') || first.len() > 1 && ends(first) {
        return;
    }
    let _ = words.find(|word| ends(word));
}

fn target_of(flag: &str, target: &str) -> Action {
    match (flag, target) {
        (_, "ACCEPT") => Action::Accept,
        (_, "DROP" | "REJECT") => Action::Drop,
        (_, "RETURN") => Action::Return,
        (
            _,
            "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "TRACE" | "AUDIT" | "SET" | "NOTRACK" | "CT",
        ) => Action::Nothing,
        ("-g", chain) => Action::Goto(chain.to_owned()),
        (_, chain) => Action::Jump(chain.to_owned()),
    }
}

/// `80`, `80:90`, `80,443`.
fn has_port(ports: &str, port: u16) -> bool {
    ports.split(',').any(|part| {
        let (from, until) = part.split_once(':').unwrap_or((part, part));
        let (from, until) = (from.parse::<u16>(), until.parse::<u16>());
        matches!((from, until), (Ok(from), Ok(until)) if (from..=until).contains(&port))
    })
}

fn destination(to: &str, door: Door) -> Fit {
    match to.parse::<ipnet::IpNet>() {
        _ if door.ip.is_unspecified() => Fit::Some,
        Ok(net) => net.contains(&door.ip).into(),
        Err(_) => (to.parse() == Ok(door.ip)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(policy: &str, rules: &str) -> Passage {
        let text = format!(
            "# Generated by iptables-save\n*nat\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n:INPUT {policy} [12:3456]\n\
             :FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:web - [0:0]\n{rules}\nCOMMIT\n"
        );
        let door = Door {
            ip: [0, 0, 0, 0].into(),
            port: 80,
        };
        passage(&text, door)
    }

    #[test]
    fn the_policy_holds_for_what_no_rule_is_about() {
        assert_eq!(of("ACCEPT", ""), Passage::Open);
        assert_eq!(
            passage(
                "",
                Door {
                    ip: [0, 0, 0, 0].into(),
                    port: 80
                }
            ),
            Passage::Open
        );
        let Passage::Closed { by, open, .. } = of("DROP", "") else {
            panic!("it is open");
        };
        assert_eq!(by, "the policy of the chain INPUT is DROP");
        assert_eq!(open, "sudo iptables -I INPUT -p tcp --dport 80 -j ACCEPT");
    }

    #[test]
    fn rules_are_read_as_iptables_writes_them() {
        for rules in [
            "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT",
            "-A INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 79:81 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
            "-A INPUT -p tcp -m comment --comment \"the web -j DROP\" -m tcp --dport 80 -j ACCEPT",
            "-A INPUT -p tcp -m comment --comment web -m tcp --dport 80 -j ACCEPT",
            "-A INPUT -j web\n-A web -p tcp -m tcp --dport 80 -j ACCEPT",
            "-A INPUT ! -i lo -j ACCEPT",
            "-A INPUT -j LOG --log-prefix x\n-A INPUT -j ACCEPT",
        ] {
            assert_eq!(of("DROP", rules), Passage::Open, "{rules}");
        }
        for rules in [
            "-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT",
            "-A INPUT -p udp -m udp --dport 80 -j ACCEPT",
            "-A INPUT -i lo -j ACCEPT",
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A INPUT -p tcp -m tcp ! --dport 80 -j ACCEPT",
            "-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT",
            "-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j ACCEPT",
        ] {
            assert_ne!(of("DROP", rules), Passage::Open, "{rules}");
        }
        let reject = "-A INPUT -j REJECT --reject-with icmp-port-unreachable";
        let Passage::Closed { by, .. } = of("ACCEPT", reject) else {
            panic!("it is open");
        };
        assert_eq!(by, reject);
    }

    #[test]
    fn who_is_let_in_all_the_same_is_told() {
        let some = "-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j ACCEPT";
        let Passage::Closed { unless, .. } = of("DROP", some) else {
            panic!("it is open");
        };
        assert_eq!(unless, [some]);
    }
}
