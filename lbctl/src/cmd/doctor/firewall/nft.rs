//! `nft -j list ruleset` (libnftables-json(5)). Pure.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value;

use super::Door;
use super::rules::{Action, Chains, Fit, Passage, Rule, verdict};

/// Family and name.
type TableKey = (String, String);

#[derive(Debug, Default)]
pub(super) struct Nft {
    /// Chains that packets to this machine go through first.
    bases: Vec<Base>,
    /// As they stand, with the table and the chain of each.
    rules: Vec<(TableKey, String, Value)>,
    /// The elements of sets and maps, by their table and name.
    named: HashMap<(TableKey, String), Value>,
}

#[derive(Debug)]
struct Base {
    table: TableKey,
    name: String,
    drops: bool,
    priority: i64,
}

/// # Errors
/// Where the text is not what nft writes.
pub(super) fn parse(text: &str) -> Result<Nft, String> {
    let document: Value =
        serde_json::from_str(text).map_err(|error| format!("nft wrote no JSON: {error}"))?;
    let all = document["nftables"].as_array();
    let all = all.ok_or("nft wrote JSON without nftables")?;
    let mut found = Nft::default();
    for object in all {
        if let Some(chain) = object.get("chain") {
            if chain["hook"] == "input" && chain["type"] == "filter" {
                found.bases.push(Base {
                    table: of_table(chain),
                    name: word(chain, "name"),
                    drops: chain["policy"] == "drop",
                    priority: chain["prio"].as_i64().unwrap_or_default(),
                });
            }
        } else if let Some(rule) = object.get("rule") {
            let chain = word(rule, "chain");
            found.rules.push((of_table(rule), chain, rule.clone()));
        } else if let Some(set) = object.get("set").or_else(|| object.get("map")) {
            let key = (of_table(set), word(set, "name"));
            found.named.insert(key, set["elem"].clone());
        }
    }
    found.bases.sort_by_key(|base| base.priority);
    Ok(found)
}

fn word(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_default().to_owned()
}

fn of_table(of: &Value) -> TableKey {
    (word(of, "family"), word(of, "table"))
}

impl Nft {
    /// A packet has to get through all chains, each of which may drop it. Those of iptables are left to
    /// itself where it was `asked`, and where nft does not tell what they match.
    pub(super) fn passage(&self, door: Door, asked: bool) -> Passage {
        for base in &self.bases {
            let (family, table) = &base.table;
            let concerns = match &**family {
                "inet" => true,
                "ip" => door.ip.is_ipv4(),
                "ip6" => door.ip.is_ipv6(),
                _ => false,
            };
            let left = asked && base.name == "INPUT" || self.is_silent(&base.table);
            if !concerns || left {
                continue;
            }
            let place = format!("{family} {table} {}", base.name);
            let policy = format!("the policy of the chain {place} is drop");
            let chains = self.chains(&base.table, door);
            let said = verdict(&chains, &base.name, base.drops.then_some(policy));
            if let Some(by) = said.dropped {
                return Passage::Closed {
                    by,
                    unless: said.unless,
                    open: format!(
                        "sudo nft insert rule {place} tcp dport {} accept",
                        door.port
                    ),
                };
            }
        }
        Passage::Open
    }

    /// Whether it is silent about something that iptables made.
    pub(super) fn has_some_of_iptables(&self) -> bool {
        self.bases.iter().any(|base| self.is_silent(&base.table))
    }

    /// Whether a table has matches of iptables' own, of which nft tells no more than that.
    fn is_silent(&self, table: &TableKey) -> bool {
        let mut rules = self.rules.iter().filter(|(of, ..)| of == table);
        rules.any(|(.., rule)| parts(rule).any(|part| part.get("xt").is_some()))
    }

    fn chains(&self, table: &TableKey, door: Door) -> Chains {
        let mut chains = Chains::new();
        for (_, chain, rule) in self.rules.iter().filter(|(of, ..)| of == table) {
            let into = chains.entry(chain.clone()).or_default();
            self.read(table, rule, door, into);
        }
        chains
    }

    /// One rule; one with a verdict map is as many as that has entries.
    fn read(&self, table: &TableKey, rule: &Value, door: Door, into: &mut Vec<Rule>) {
        let reader = Reader {
            nft: self,
            table,
            door,
        };
        let text = text_of(rule);
        let mut fit = Fit::Yes;
        for part in parts(rule) {
            if let Some(matched) = part.get("match") {
                fit = fit.and(reader.matches(matched));
            } else if let Some(map) = part.get("vmap") {
                for (key, action) in reader.entries(&map["data"]) {
                    into.push(Rule {
                        fit: fit.and(reader.fits(&map["key"], &key)),
                        action,
                        text: text.clone(),
                    });
                }
            } else if let Some(action) = action(part) {
                into.push(Rule { fit, action, text });
                return;
            } else if !["counter", "log", "comment", "notrack", "mangle"]
                .iter()
                .any(|known| part.get(known).is_some())
            {
                fit = fit.and(Fit::Some);
            }
        }
    }
}

fn parts(rule: &Value) -> impl Iterator<Item = &Value> {
    rule["expr"].as_array().into_iter().flatten()
}

/// nft has no words for a rule in JSON; its handle is what finds it.
fn text_of(rule: &Value) -> String {
    let (family, table) = of_table(rule);
    let chain = word(rule, "chain");
    let handle = rule["handle"].as_u64().unwrap_or_default();
    match rule["comment"].as_str() {
        Some(comment) => {
            format!("the rule \"{comment}\" of {family} {table} {chain} (handle {handle})")
        }
        None => format!("the rule with handle {handle} of {family} {table} {chain}"),
    }
}

fn action(part: &Value) -> Option<Action> {
    let target = |key: &str| part.get(key).map(|to| word(to, "target"));
    let has = |key: &str| part.get(key).is_some();
    if has("accept") {
        Some(Action::Accept)
    } else if has("drop") || has("reject") {
        Some(Action::Drop)
    } else if has("return") {
        Some(Action::Return)
    } else if let Some(to) = target("jump") {
        Some(Action::Jump(to))
    } else {
        target("goto").map(Action::Goto)
    }
}

/// Compares with what a client's first packet has.
struct Reader<'a> {
    nft: &'a Nft,
    table: &'a TableKey,
    door: Door,
}

impl Reader<'_> {
    fn matches(&self, matched: &Value) -> Fit {
        let fit = self.fits(&matched["left"], &matched["right"]);
        match matched["op"].as_str() {
            Some("==" | "in") => fit,
            // A packet of another protocol has no such field at all.
            Some("!=") if is_of_another_protocol(&matched["left"]) => Fit::No,
            Some("!=") => fit.not(),
            _ => Fit::Some,
        }
    }

    fn fits(&self, left: &Value, right: &Value) -> Fit {
        if is_of_another_protocol(left) {
            return Fit::No;
        }
        let ip = self.door.ip;
        if let Some(payload) = left.get("payload") {
            return match (&*word(payload, "protocol"), &*word(payload, "field")) {
                ("tcp" | "th", "dport") => self.among(right, &|value| {
                    Fit::from(value.as_u64() == Some(self.door.port.into()))
                }),
                ("ip", _) if ip.is_ipv6() => Fit::No,
                ("ip6", _) if ip.is_ipv4() => Fit::No,
                ("ip", "protocol") | ("ip6", "nexthdr") => self.among(right, &is_tcp),
                ("ip" | "ip6", "daddr") if !ip.is_unspecified() => {
                    self.among(right, &|value| is_address(value, ip))
                }
                _ => Fit::Some,
            };
        }
        if let Some(meta) = left.get("meta") {
            return match &*word(meta, "key") {
                "l4proto" => self.among(right, &is_tcp),
                "nfproto" | "protocol" => self.among(right, &|value| {
                    let v4 = matches!(value.as_str(), Some("ipv4" | "ip"));
                    Fit::from(v4 == ip.is_ipv4())
                }),
                // Whoever comes from elsewhere comes by another interface.
                "iifname" | "iif" => self.among(right, &|value| match value.as_str() {
                    Some("lo") => Fit::No,
                    _ => Fit::Some,
                }),
                _ => Fit::Some,
            };
        }
        if left["ct"]["key"] == "state" {
            return self.among(right, &|value| Fit::from(value == "new"));
        }
        if left["fib"]["result"] == "type" {
            return self.among(right, &|value| Fit::from(value == "local"));
        }
        Fit::Some
    }

    /// Whether a value is what `is` looks for, or one of a set is, or a range has it.
    fn among(&self, right: &Value, is: &dyn Fn(&Value) -> Fit) -> Fit {
        let any = |values: &[Value]| {
            let fits = values.iter().map(|value| self.among(value, is));
            fits.fold(Fit::No, |all, one| all.not().and(one.not()).not())
        };
        match right {
            Value::Array(values) => any(values),
            Value::String(name) if name.starts_with('@') => {
                let key = (self.table.clone(), name[1..].to_owned());
                match self.nft.named.get(&key) {
                    Some(elements) => self.among(elements, is),
                    None => Fit::Some,
                }
            }
            // A set without elements.
            Value::Null => Fit::No,
            Value::Object(_) => {
                if let Some(values) = right.get("set").and_then(Value::as_array) {
                    return any(values);
                }
                if let Some(element) = right.get("elem") {
                    return self.among(&element["val"], is);
                }
                if let Some([from, to]) = right
                    .get("range")
                    .and_then(Value::as_array)
                    .map(Vec::as_slice)
                {
                    let port = u64::from(self.door.port);
                    return match (from.as_u64(), to.as_u64()) {
                        (Some(from), Some(to)) => (from..=to).contains(&port).into(),
                        _ => Fit::Some,
                    };
                }
                is(right)
            }
            value => is(value),
        }
    }

    /// The entries of a verdict map: a key and what happens.
    fn entries(&self, data: &Value) -> Vec<(Value, Action)> {
        let named = data.as_str().and_then(|name| name.strip_prefix('@'));
        let data = match named {
            Some(name) => self.nft.named.get(&(self.table.clone(), name.to_owned())),
            None => data.get("set"),
        };
        let pairs = data.and_then(Value::as_array).into_iter().flatten();
        pairs
            .filter_map(|pair| Some((pair.get(0)?.clone(), action(pair.get(1)?)?)))
            .collect()
    }
}

fn is_of_another_protocol(left: &Value) -> bool {
    let protocol = left["payload"]["protocol"].as_str();
    let others = [
        "udp", "udplite", "icmp", "icmpv6", "igmp", "sctp", "dccp", "esp", "ah", "comp", "arp",
    ];
    protocol.is_some_and(|protocol| others.contains(&protocol))
}

fn is_tcp(value: &Value) -> Fit {
    const TCP: u64 = 6;
    Fit::from(value == "tcp" || value.as_u64() == Some(TCP))
}

fn is_address(value: &Value, ip: IpAddr) -> Fit {
    if let Some(prefix) = value.get("prefix") {
        let (address, length) = (word(prefix, "addr"), &prefix["len"]);
        return match format!("{address}/{length}").parse::<ipnet::IpNet>() {
            Ok(net) => net.contains(&ip).into(),
            Err(_) => Fit::Some,
        };
    }
    match value.as_str().map(str::parse::<IpAddr>) {
        Some(Ok(address)) => (address == ip).into(),
        _ => Fit::Some,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ruleset with a chain of input of this policy, whose rules these are, and a chain `web`.
    fn of(policy: &str, rules: &str, more: &str) -> Passage {
        let comma = if rules.is_empty() { "" } else { "," };
        let text = format!(
            r#"{{"nftables":[{{"metainfo":{{"version":"1.0.9","json_schema_version":1}}}},
            {{"table":{{"family":"inet","name":"filter","handle":1}}}},
            {{"chain":{{"family":"inet","table":"filter","name":"input","handle":1,"type":"filter","hook":"input","prio":0,"policy":"{policy}"}}}},
            {{"chain":{{"family":"inet","table":"filter","name":"web","handle":2}}}},
            {{"chain":{{"family":"inet","table":"filter","name":"forward","handle":3,"type":"filter","hook":"forward","prio":0,"policy":"drop"}}}}{comma}{rules}{more}]}}"#
        );
        let door = Door {
            ip: [0, 0, 0, 0].into(),
            port: 80,
        };
        parse(&text).unwrap().passage(door, true)
    }

    fn rule_of(chain: &str, parts: &str) -> String {
        format!(
            r#"{{"rule":{{"family":"inet","table":"filter","chain":"{chain}","handle":7,"expr":[{parts}]}}}}"#
        )
    }

    fn rule(parts: &str) -> String {
        rule_of("input", parts)
    }

    fn dport(op: &str, right: &str) -> String {
        format!(
            r#"{{"match":{{"op":"{op}","left":{{"payload":{{"protocol":"tcp","field":"dport"}}}},"right":{right}}}}}"#
        )
    }

    const ACCEPT: &str = r#"{"accept":null}"#;

    #[test]
    fn the_policy_holds_for_what_no_rule_is_about() {
        assert_eq!(of("accept", "", ""), Passage::Open);
        assert_eq!(
            of("drop", "", ""),
            Passage::Closed {
                by: "the policy of the chain inet filter input is drop".to_owned(),
                unless: Vec::new(),
                open: "sudo nft insert rule inet filter input tcp dport 80 accept".to_owned(),
            }
        );
        assert!(parse("no JSON").is_err() && parse("{}").is_err());
    }

    #[test]
    fn ports_are_numbers_sets_ranges_and_names_of_sets() {
        let set = r#",{"set":{"family":"inet","name":"web","table":"filter","type":"inet_service","handle":9,"elem":[80,443]}}"#;
        for right in [
            "80",
            r#"{"set":[22,80]}"#,
            r#"{"range":[79,81]}"#,
            r#"{"set":[22,{"range":[79,81]}]}"#,
            r#"{"set":[{"elem":{"val":80,"comment":"web"}}]}"#,
            r#""@web""#,
        ] {
            let rules = rule(&format!("{},{ACCEPT}", dport("==", right)));
            assert_eq!(of("drop", &rules, set), Passage::Open, "{right}");
        }
        for right in ["443", r#"{"set":[22,443]}"#, r#"{"range":[1,79]}"#] {
            let rules = rule(&format!("{},{ACCEPT}", dport("==", right)));
            assert_ne!(of("drop", &rules, set), Passage::Open, "{right}");
            let drop = rule(&format!(r#"{},{{"drop":null}}"#, dport("!=", right)));
            assert_ne!(of("accept", &drop, set), Passage::Open, "not {right}");
        }
    }

    #[test]
    fn rules_about_others_let_no_client_in() {
        let state = |states: &str| {
            format!(
                r#"{{"match":{{"op":"in","left":{{"ct":{{"key":"state"}}}},"right":{states}}}}},{ACCEPT}"#
            )
        };
        let closed = |rules: &str| assert_ne!(of("drop", rules, ""), Passage::Open, "{rules}");
        closed(&rule(&state(r#"["established","related"]"#)));
        closed(&rule(&format!(
            r#"{{"match":{{"op":"==","left":{{"meta":{{"key":"iifname"}}}},"right":"lo"}}}},{ACCEPT}"#
        )));
        closed(&rule(&format!(
            r#"{{"match":{{"op":"==","left":{{"payload":{{"protocol":"udp","field":"dport"}}}},"right":80}}}},{ACCEPT}"#
        )));
        closed(&rule(&format!(
            r#"{{"match":{{"op":"==","left":{{"meta":{{"key":"l4proto"}}}},"right":"icmp"}}}},{ACCEPT}"#
        )));
        closed(&rule(
            &format!(r#"{{"xt":null}},{{"counter":{{"packets":0,"bytes":0}}}},{ACCEPT}"#)
                .replace("xt", "limit"),
        ));
        assert_eq!(
            of("drop", &rule(&state(r#"["new","established"]"#)), ""),
            Passage::Open
        );
    }

    #[test]
    fn chains_and_verdict_maps_are_followed() {
        let jump = rule(r#"{"jump":{"target":"web"}}"#);
        let web = rule_of("web", &format!("{},{ACCEPT}", dport("==", "80")));
        assert_eq!(of("drop", &format!("{jump},{web}"), ""), Passage::Open);
        let map = r#"{"vmap":{"key":{"payload":{"protocol":"tcp","field":"dport"}},"data":{"set":[[22,{"accept":null}],[80,{"jump":{"target":"web"}}]]}}}"#;
        assert_eq!(
            of("drop", &format!("{},{web}", rule(map)), ""),
            Passage::Open
        );
        let map = map.replace("80", "81");
        assert_ne!(
            of("drop", &format!("{},{web}", rule(&map)), ""),
            Passage::Open
        );
    }

    #[test]
    fn who_is_let_in_all_the_same_is_told() {
        let some = format!(
            r#"{{"match":{{"op":"==","left":{{"payload":{{"protocol":"ip","field":"saddr"}}}},"right":{{"prefix":{{"addr":"10.0.0.0","len":8}}}}}}}},{},{ACCEPT}"#,
            dport("==", "80")
        );
        let Passage::Closed { unless, .. } = of("drop", &rule(&some), "") else {
            panic!("it is open");
        };
        assert_eq!(unless, ["the rule with handle 7 of inet filter input"]);
    }

    #[test]
    fn what_iptables_made_is_left_to_it() {
        let xt = rule(&format!(
            r#"{{"xt":{{"type":"match","name":"tcp"}}}},{ACCEPT}"#
        ));
        assert_eq!(of("drop", &xt, ""), Passage::Open);
    }
}
