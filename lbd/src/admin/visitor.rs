//! Who asks, and what that one may do.

use std::net::IpAddr;

use http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use lb_proto::config::{Role, User};
use lb_proto::status::By;

use super::login::{Claim, NoClaim, NoLogin};
use super::page::Asked;
use super::response::Refusal;
use super::{Site, token};
use crate::state::Shared;

/// What shows that whoever asks may act, without a login.
const TOKEN: HeaderName = HeaderName::from_static("x-lbd-token");

/// What of that came with a request.
pub(super) enum Shown<'a> {
    None,
    One(&'a [u8]),
    Many,
}

impl<'a> Shown<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut shown = headers.get_all(TOKEN).iter();
        match (shown.next(), shown.next()) {
            (None, _) => Self::None,
            (Some(one), None) => Self::One(one.as_bytes()),
            _ => Self::Many,
        }
    }
}

/// Whose request it is, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visitor {
    from: IpAddr,
    /// Who logged in.
    user: Option<User>,
    /// Servers can be set here, and by this one.
    may_act: bool,
}

impl Visitor {
    /// Where nobody is asked who they are, whoever reaches the address is an operator: it is this machine's.
    ///
    /// # Errors
    /// Where somebody has to log in, and did not.
    pub(super) async fn of(asked: Asked<'_>, site: &Site) -> Result<Self, Refusal> {
        let users = site.users();
        let visitor = |user: Option<User>, role: Role| Self {
            from: asked.peer.address,
            user,
            may_act: role == Role::Operator && site.admin().is_some_and(|a| a.config.actions),
        };
        if users.is_empty() {
            return Ok(visitor(None, Role::Operator));
        }
        let claim = match Claim::read(&asked.head.headers) {
            Ok(claim) => claim,
            Err(NoClaim::Absent) => {
                let bearer = bearer(asked.head, users, site).await?;
                return Ok(visitor(bearer, Role::Operator));
            }
            Err(NoClaim::Unreadable) => return Err(nobody("the login cannot be read")),
        };
        match site.logins.login(claim, asked.peer.address, users).await {
            // It may have taken a while.
            Ok(user) if site.users().contains(&user) => {
                let role = user.role;
                Ok(visitor(Some(user), role))
            }
            Ok(_) | Err(NoLogin::Wrong) => Err(nobody("the name or the password is wrong")),
            Err(NoLogin::Wait(wait)) => {
                // Not sooner than it is of use.
                let seconds = wait.as_secs() + 1;
                let message = "too many logins have failed";
                let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, message);
                Err(refusal
                    .hint(format!("the next one counts in {seconds} s"))
                    .header(RETRY_AFTER, HeaderValue::from(seconds)))
            }
        }
    }

    /// Whether buttons are for this one.
    pub(super) fn may_act(&self) -> bool {
        self.may_act
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.user.is_some()
    }

    /// When a configuration no longer lets this one in; what is still being told ends then.
    pub(super) fn leaves(&self, site: &Site) -> impl Future<Output = ()> + Send + use<> {
        let (user, shared) = (self.user.clone(), site.shared.clone());
        let mut nudges = shared.phase();
        async move {
            loop {
                let users = users(&shared);
                let welcome = match &user {
                    Some(user) => users.contains(user),
                    None => users.is_empty(),
                };
                if !welcome || nudges.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// As it is noted of what this one asked for.
    pub(super) fn by(&self) -> By {
        By {
            user: self.user.as_ref().map(|user| user.name.clone()),
            dashboard: Some(self.from),
            ..By::default()
        }
    }
}

fn users(shared: &Shared) -> Vec<User> {
    let admin = shared.snapshot().admin.clone();
    admin.map(|admin| admin.config.users).unwrap_or_default()
}

impl Site {
    fn users(&self) -> Vec<User> {
        users(&self.shared)
    }

    /// What a page carries so that it can ask for changes, in `x-lbd-token`. `None`: it is not for this one.
    pub(super) async fn token_for(&self, visitor: &Visitor) -> Option<String> {
        let token = match visitor.may_act() {
            true => self.token.value().await,
            false => return None,
        };
        Some(token::of_page(token, visitor.user.as_ref()))
    }

    /// Whether it is the one of this visitor's page, or the one in the file.
    pub(super) async fn is_token_of(&self, visitor: &Visitor, shown: &[u8]) -> bool {
        let token = self.token.value().await;
        let of_page = token::of_page(token, visitor.user.as_ref());
        token::is(token, shown) || token::is(&of_page, shown)
    }
}

/// The operator from whose page a change comes without a login; nobody by name, where it shows the token in the file.
/// For changes alone: pages are for those who log in.
async fn bearer(head: &Parts, users: Vec<User>, site: &Site) -> Result<Option<User>, Refusal> {
    let nobody = || nobody("nobody is logged in");
    let shown = match Shown::of(&head.headers) {
        Shown::One(shown) if head.method == Method::POST => shown,
        _ => return Err(nobody()),
    };
    let token = site.token.value().await;
    if token::is(token, shown) {
        return Ok(None);
    }
    let mut operators = users.into_iter().filter(|u| u.role == Role::Operator);
    let operator = operators.find(|user| token::is(&token::of_page(token, Some(user)), shown));
    operator.map(Some).ok_or_else(nobody)
}

fn nobody(message: &str) -> Refusal {
    let how = HeaderValue::from_static("Basic realm=\"lbd\", charset=\"UTF-8\"");
    Refusal::new(StatusCode::UNAUTHORIZED, message)
        .hint("log in as one of [[admin.users]]")
        .header(WWW_AUTHENTICATE, how)
}
