//! What rules make of a client that connects, whoever it is. Pure.
//!
//! A rule that is about some clients only (their address, the interface, a rate) fits nobody in
//! particular: the verdict is that for everybody else, and rules that let some in are told with it.

use std::collections::HashMap;

/// Whether a rule is about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    No,
    /// About some clients, or more than is understood here.
    Some,
}

impl Fit {
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Some,
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Some => Self::Some,
        }
    }
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    /// Or reject.
    Drop,
    Return,
    Jump(String),
    Goto(String),
    /// It counts, logs or marks.
    Nothing,
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) fit: Fit,
    pub(super) action: Action,
    /// For people.
    pub(super) text: String,
}

/// The chains of a table by name.
pub(super) type Chains = HashMap<String, Vec<Rule>>;

/// What becomes of a client's first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    Closed {
        /// What closes it.
        by: String,
        /// What lets some in all the same.
        unless: Vec<String>,
        /// A command that opens it.
        open: String,
    },
}

/// What a chain that packets go through first says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What drops it; `None`: it may pass.
    pub(super) dropped: Option<String>,
    pub(super) unless: Vec<String>,
}

/// Chains that lead to each other are a mistake the kernel refuses; still nothing here is to hang.
const DEEPEST: usize = 32;

enum End {
    Accepted,
    Dropped(String),
    Through,
}

/// What the chain `first` says; `drops`: why packets that reach its end are dropped, if they are.
pub(super) fn verdict(chains: &Chains, first: &str, drops: Option<String>) -> Verdict {
    let mut unless = Vec::new();
    let dropped = match walk(chains, first, &mut unless, 0) {
        End::Accepted => None,
        End::Dropped(by) => Some(by),
        End::Through => drops,
    };
    Verdict { dropped, unless }
}

fn walk(chains: &Chains, name: &str, unless: &mut Vec<String>, depth: usize) -> End {
    if depth > DEEPEST {
        return End::Through;
    }
    for rule in chains.get(name).into_iter().flatten() {
        let sure = match rule.fit {
            Fit::No => continue,
            Fit::Yes => true,
            Fit::Some => false,
        };
        match &rule.action {
            Action::Accept if sure => return End::Accepted,
            Action::Accept => unless.push(rule.text.clone()),
            Action::Drop if sure => return End::Dropped(rule.text.clone()),
            Action::Return if sure => return End::Through,
            Action::Jump(to) if sure => match walk(chains, to, unless, depth + 1) {
                End::Through => {}
                end => return end,
            },
            Action::Goto(to) if sure => return walk(chains, to, unless, depth + 1),
            Action::Jump(to) | Action::Goto(to) => {
                if let End::Accepted = walk(chains, to, unless, depth + 1) {
                    unless.push(rule.text.clone());
                }
            }
            Action::Drop | Action::Return | Action::Nothing => {}
        }
    }
    End::Through
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chains(all: &[(&str, &[(Fit, Action)])]) -> Chains {
        let rules = |rules: &[(Fit, Action)]| {
            let rules = rules.iter().enumerate().map(|(at, (fit, action))| Rule {
                fit: *fit,
                action: action.clone(),
                text: format!("rule {at}"),
            });
            rules.collect()
        };
        let all = all.iter();
        all.map(|(name, of)| ((*name).to_owned(), rules(of)))
            .collect()
    }

    fn dropped(all: &[(&str, &[(Fit, Action)])], policy: Option<&str>) -> (Option<String>, usize) {
        let said = verdict(&chains(all), "input", policy.map(str::to_owned));
        (said.dropped, said.unless.len())
    }

    #[test]
    fn the_first_rule_that_is_about_everybody_decides() {
        use Action::{Accept, Drop, Nothing};
        let drop = Some("policy");
        let policy = (Some("policy".to_owned()), 0);
        assert_eq!(dropped(&[("input", &[])], drop), policy);
        assert_eq!(dropped(&[("input", &[])], None), (None, 0));
        assert_eq!(dropped(&[("input", &[(Fit::No, Accept)])], drop), policy);
        assert_eq!(dropped(&[("input", &[(Fit::Yes, Nothing)])], drop), policy);
        assert_eq!(
            dropped(&[("input", &[(Fit::Yes, Accept)])], drop),
            (None, 0)
        );
        let by = (Some("rule 1".to_owned()), 0);
        let rules: &[_] = &[(Fit::No, Accept), (Fit::Yes, Drop), (Fit::Yes, Accept)];
        assert_eq!(dropped(&[("input", rules)], None), by);
        // Some are let in, some kept out: that is nothing about everybody.
        let some: &[_] = &[(Fit::Some, Accept)];
        assert_eq!(
            dropped(&[("input", some)], drop),
            (Some("policy".to_owned()), 1)
        );
        let some: &[_] = &[(Fit::Some, Drop), (Fit::Yes, Accept)];
        assert_eq!(dropped(&[("input", some)], drop), (None, 0));
    }

    #[test]
    fn chains_lead_to_others_and_back() {
        use Action::{Accept, Drop, Goto, Jump, Return};
        let to = |name: &str| Jump(name.to_owned());
        let web: &[_] = &[(Fit::Yes, Accept)];
        let back: &[_] = &[(Fit::Yes, Return), (Fit::Yes, Drop)];
        let all: &[(&str, &[_])] = &[
            ("input", &[(Fit::Yes, to("back")), (Fit::Yes, to("web"))]),
            ("web", web),
            ("back", back),
        ];
        assert_eq!(dropped(all, Some("policy")), (None, 0));
        let all: &[(&str, &[_])] = &[
            (
                "input",
                &[(Fit::Yes, Goto("back".to_owned())), (Fit::Yes, Accept)],
            ),
            ("back", back),
        ];
        assert_eq!(dropped(all, Some("policy")).0.as_deref(), Some("policy"));
        let all: &[(&str, &[_])] = &[("input", &[(Fit::Some, to("web"))]), ("web", web)];
        assert_eq!(dropped(all, Some("policy")), (Some("policy".to_owned()), 1));
        let all: &[(&str, &[_])] = &[("input", &[(Fit::Yes, to("input"))])];
        assert_eq!(dropped(all, None), (None, 0));
    }
}
