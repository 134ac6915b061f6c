//! `ufw status verbose` (ufw(8)). Pure.

use super::Door;
use super::rules::{Action, Chains, Fit, Passage, Rule, verdict};

/// What ufw does with clients that connect to this machine.
#[derive(Debug)]
pub(super) struct Ufw {
    /// What happens where no rule says anything.
    denies: bool,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    to: String,
    action: Action,
    from: String,
}

/// `None`: it is not active.
pub(super) fn parse(text: &str) -> Option<Ufw> {
    let mut lines = text.lines().map(str::trim);
    if !lines.any(|line| line.eq_ignore_ascii_case("status: active")) {
        return None;
    }
    let default = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Default: "));
    let denies = default.is_some_and(|said| {
        let incoming = said.split(',').find(|part| part.contains("(incoming)"));
        incoming.is_some_and(|part| !part.trim().starts_with("allow"))
    });
    Some(Ufw {
        denies,
        rows: text.lines().filter_map(row).collect(),
    })
}

/// `80,443/tcp                 ALLOW IN    Anywhere`: columns are two blanks apart at least, and
/// numbered ones begin with `[ 1]`.
fn row(line: &str) -> Option<Row> {
    let columns: Vec<&str> = line
        .split("  ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect();
    let [to, what, from, ..] = *columns else {
        return None;
    };
    let (what, direction) = what.split_once(' ').unwrap_or((what, "IN"));
    if direction != "IN" {
        return None;
    }
    let action = match what {
        "ALLOW" | "LIMIT" => Action::Accept,
        "DENY" | "REJECT" => Action::Drop,
        _ => return None,
    };
    Some(Row {
        to: to.to_owned(),
        action,
        from: from.to_owned(),
    })
}

impl Ufw {
    pub(super) fn passage(&self, door: Door) -> Passage {
        let rules = self.rows.iter().map(|row| Rule {
            fit: row.fit(door),
            action: row.action.clone(),
            text: format!("{} from {}", row.to, row.from),
        });
        let chains = Chains::from([("input".to_owned(), rules.collect())]);
        let policy = "incoming connections are denied by default".to_owned();
        let said = verdict(&chains, "input", self.denies.then_some(policy));
        match said.dropped {
            None => Passage::Open,
            Some(by) => Passage::Closed {
                by,
                unless: said.unless,
                open: format!("sudo ufw allow {}/tcp", door.port),
            },
        }
    }
}

impl Row {
    fn fit(&self, door: Door) -> Fit {
        let v6 = self.to.contains("(v6)") || self.from.contains("(v6)");
        if v6 == door.ip.is_ipv4() {
            return Fit::No;
        }
        let everybody = self.from.trim_end_matches("(v6)").trim() == "Anywhere";
        let to = self.to.trim_end_matches("(v6)").trim();
        ports(to, door).and(if everybody { Fit::Yes } else { Fit::Some })
    }
}

/// `80`, `80/tcp`, `80,443/tcp`, `8000:8100/tcp`, `10.0.0.1 80/tcp`, `80/tcp on eth0`, `Anywhere`, or
/// the name of an application, as in `Nginx Full` or `80,443/tcp (Nginx Full)`.
fn ports(to: &str, door: Door) -> Fit {
    let (to, on_interface) = match to.split_once(" on ") {
        Some((to, _)) => (to, Fit::Some),
        None => (to, Fit::Yes),
    };
    let to = to.split(" (").next().unwrap_or(to).trim();
    let (address, to) = match to.split_once(' ') {
        Some((ip, rest)) => match ip.parse::<std::net::IpAddr>() {
            Ok(ip) if ip == door.ip => (Fit::Yes, rest),
            Ok(_) if door.ip.is_unspecified() => (Fit::Some, rest),
            Ok(_) => return Fit::No,
            Err(_) => return application(to, door),
        },
        None => (Fit::Yes, to),
    };
    if to == "Anywhere" {
        return address.and(on_interface);
    }
    let (ports, protocol) = to.split_once('/').unwrap_or((to, "tcp"));
    if protocol != "tcp" {
        return Fit::No;
    }
    let mut known = true;
    let fits = ports.split(',').any(|part| {
        let (from, until) = part.split_once(':').unwrap_or((part, part));
        match (from.parse::<u16>(), until.parse::<u16>()) {
            (Ok(from), Ok(until)) => (from..=until).contains(&door.port),
            _ => {
                known = false;
                false
            }
        }
    });
    match known {
        true => Fit::from(fits).and(address).and(on_interface),
        false => application(to, door),
    }
}

/// Those that web servers bring along; of others nothing is known.
fn application(name: &str, door: Door) -> Fit {
    let ports: &[u16] = match name {
        "Nginx Full" | "Apache Full" | "WWW Full" => &[80, 443],
        "Nginx HTTP" | "Apache" | "WWW" => &[80],
        "Nginx HTTPS" | "Apache Secure" | "WWW Secure" => &[443],
        "OpenSSH" => &[22],
        _ => return Fit::Some,
    };
    ports.contains(&door.port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(default: &str, rows: &str) -> Ufw {
        let text = format!(
            "Status: active\nLogging: on (low)\nDefault: {default} (incoming), allow (outgoing), disabled (routed)\n\
             New profiles: skip\n\nTo                         Action      From\n\
             --                         ------      ----\n{rows}"
        );
        parse(&text).unwrap()
    }

    fn is_open(ufw: &Ufw, door: &str) -> bool {
        let address: std::net::SocketAddr = door.parse().unwrap();
        let door = Door {
            ip: address.ip(),
            port: address.port(),
        };
        ufw.passage(door) == Passage::Open
    }

    #[test]
    fn only_what_is_active_says_anything() {
        assert!(parse("Status: inactive\n").is_none());
        assert!(is_open(&status("allow", ""), "0.0.0.0:80"));
        assert!(!is_open(&status("deny", ""), "0.0.0.0:80"));
        assert!(!is_open(&status("reject", ""), "0.0.0.0:80"));
    }

    #[test]
    fn rows_are_read_as_ufw_writes_them() {
        for row in [
            "80/tcp                     ALLOW IN    Anywhere                  # web",
            "80                         ALLOW IN    Anywhere",
            "80,443/tcp                 ALLOW IN    Anywhere",
            "80,443/tcp (Nginx Full)    ALLOW IN    Anywhere",
            "79:81/tcp                  LIMIT IN    Anywhere",
            "Nginx HTTP                 ALLOW IN    Anywhere",
            "Anywhere                   ALLOW IN    Anywhere",
        ] {
            assert!(is_open(&status("deny", row), "0.0.0.0:80"), "{row}");
        }
        for row in [
            "80/udp                     ALLOW IN    Anywhere",
            "443/tcp                    ALLOW IN    Anywhere",
            "80/tcp                     ALLOW OUT   Anywhere",
            "80/tcp                     ALLOW FWD   Anywhere",
            "80/tcp (v6)                ALLOW IN    Anywhere (v6)",
            "80/tcp                     DENY IN     Anywhere",
            "80/tcp                     ALLOW IN    10.0.0.0/8",
            "80/tcp on eth1             ALLOW IN    Anywhere",
            "Own Application            ALLOW IN    Anywhere",
        ] {
            assert!(!is_open(&status("deny", row), "0.0.0.0:80"), "{row}");
        }
        let v6 = "80/tcp (v6)                ALLOW IN    Anywhere (v6)";
        assert!(is_open(&status("deny", v6), "[::]:80"));
        let of_address = "10.0.0.1 80/tcp            ALLOW IN    Anywhere";
        assert!(is_open(&status("deny", of_address), "10.0.0.1:80"));
        assert!(!is_open(&status("deny", of_address), "10.0.0.2:80"));
    }

    #[test]
    fn who_is_let_in_all_the_same_is_told() {
        let some = "80/tcp                     ALLOW IN    10.0.0.0/8";
        let door = Door {
            ip: [0, 0, 0, 0].into(),
            port: 80,
        };
        assert_eq!(
            status("deny", some).passage(door),
            Passage::Closed {
                by: "incoming connections are denied by default".to_owned(),
                unless: vec!["80/tcp from 10.0.0.0/8".to_owned()],
                open: "sudo ufw allow 80/tcp".to_owned(),
            }
        );
    }
}
