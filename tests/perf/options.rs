//! What the command line asks for.

use crate::proxy::Kind;
use crate::{idle, scale, scenario};

pub(crate) const USAGE: &str = "\
usage: cargo perf [--rounds N] [--seconds N] [--only SCENARIO[,SCENARIO]] [--proxies lbd,haproxy,nginx] [--access-log]

--access-log measures each scenario with a log of requests, too

scenarios: small 64k 10m upload new c1000 tcp-small tcp-bulk tcp-splice ws
           tls-small tls-64k tls-ecdsa tls-rsa tls-resumed tls12-ecdsa tls12-resumed tls-hybrid
           h2-small h2-64k h2c-small idle tls-idle scale";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) proxies: Vec<Kind>,
    /// Also with a line in a file for each request.
    pub(crate) access_log: bool,
    /// Empty: all.
    only: Vec<String>,
}

impl Options {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 3,
            seconds: 5,
            proxies: vec![Kind::Lbd, Kind::Haproxy, Kind::Nginx],
            access_log: false,
            only: Vec::new(),
        };
        while let Some(option) = args.next() {
            let mut value = || args.next().ok_or(format!("{option} needs a value"));
            match option.as_str() {
                "--rounds" => options.rounds = at_least_one(&value()?)?,
                "--seconds" => options.seconds = at_least_one(&value()?)? as u64,
                "--access-log" => options.access_log = true,
                "--only" => options.only = known_scenarios(&value()?)?,
                "--proxies" => {
                    options.proxies = value()?
                        .split(',')
                        .map(str::parse)
                        .collect::<Result<_, _>>()?;
                }
                _ => return Err(format!("there is no option {option:?}")),
            }
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == scenario)
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or(format!("{text:?} is not a number from 1"))
}

fn known_scenarios(list: &str) -> Result<Vec<String>, String> {
    let known = |name: &str| {
        scenario::ALL.iter().any(|s| s.name == name)
            || [idle::NAME, idle::TLS, scale::NAME].contains(&name)
    };
    list.split(',')
        .map(|name| {
            known(name)
                .then(|| name.to_owned())
                .ok_or(format!("there is no scenario {name:?}"))
        })
        .collect()
}
