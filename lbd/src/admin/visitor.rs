//! Who asks, and what that one may do.

use std::net::IpAddr;

use lb_proto::status::By;

use super::Site;
use super::page::Asked;

/// Whose request it is, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visitor {
    from: IpAddr,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Viewer,
    Operator,
}

impl Visitor {
    /// Where nobody is asked who they are, whoever reaches the address is an operator: it is this machine's.
    pub(super) fn of(asked: Asked<'_>, site: &Site) -> Self {
        let acts = site.admin().is_some_and(|admin| admin.config.actions);
        Self {
            from: asked.from,
            role: if acts { Role::Operator } else { Role::Viewer },
        }
    }

    /// Whether buttons are for this one.
    pub(super) fn may_act(&self) -> bool {
        self.role == Role::Operator
    }

    /// As it is noted of what this one asked for.
    pub(super) fn by(&self) -> By {
        By {
            dashboard: Some(self.from),
            ..By::default()
        }
    }
}

impl Site {
    /// What a page carries so that it can ask for changes, in `x-lbd-token`. `None`: it is not for this one.
    pub(super) async fn token_for(&self, visitor: &Visitor) -> Option<&str> {
        match visitor.may_act() {
            true => Some(self.token.value().await),
            false => None,
        }
    }
}
