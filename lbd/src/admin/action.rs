//! `POST /api/v1/servers/BACKEND/SERVER/state`: the control socket's `set_state`, for those who may.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::ServerId;
use lb_proto::reason::Reason;
use lb_proto::request::SetState;
use lb_proto::state::Admin;
use lb_proto::status::By;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::http::{NoUpload, Upload};
use super::page::Asked;
use super::refusals::Refused;
use super::response::{self, Body, JSON, Refusal};
use super::visitor::{Shown, Visitor};
use super::{Site, host, origin};

/// More than a state and a reason.
const MAX_BODY: usize = 4 * 1024;

/// The server that a path is about, as it is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Of<'a> {
    backend: &'a str,
    server: &'a str,
}

impl<'a> Of<'a> {
    pub(super) fn path(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix("/api/v1/servers/")?;
        let (backend, server) = path.strip_suffix("/state")?.split_once('/')?;
        Some(Self { backend, server })
    }

    fn id(self) -> Result<ServerId, Refusal> {
        let name = format!("{}/{}", self.backend, self.server);
        let name = percent_decode_str(&name).decode_utf8_lossy();
        name.parse().map_err(|error| {
            let message = format!("no such server: {name}");
            ErrorReply::new(ErrorCode::NoSuchServer, message)
                .hint(format!("{error}"))
                .into()
        })
    }
}

pub(super) async fn answer(
    of: Of<'_>,
    asked: Asked<'_>,
    upload: &mut Upload,
    site: &Site,
) -> Result<Response<Body>, Refusal> {
    // First, though it may be of no use: the connection goes on behind it, and who may act is asked when all is there.
    let body = upload.read(MAX_BODY).await;
    let mut by = By {
        dashboard: Some(asked.peer.address),
        ..By::default()
    };
    let may = async {
        // Before who it is: a browser logs in for any page, and not because its user wants to.
        is_ours(asked)?;
        let visitor = Visitor::of(asked, site).await?;
        by = visitor.by();
        judge(asked, &visitor, site).await
    };
    if let Err(refusal) = may.await {
        let refused = Refused {
            by,
            server: of.id().ok(),
            error: refusal.error().clone(),
        };
        site.refusals.note(refused, &site.knows);
        return Err(refusal);
    }
    let call = read(of.id()?, &body.map_err(refused)?)?;
    let done = (site.knows.set_state)(call, by).await?;
    Ok(response::json(StatusCode::OK, &done))
}

fn is_ours(asked: Asked<'_>) -> Result<(), Refusal> {
    let host = host::of(asked.head).unwrap_or_default();
    if origin::is_ours(&asked.head.headers, host, asked.peer.secure) {
        return Ok(());
    }
    let message = "a page of another site asks for this";
    let hint = "open the dashboard by the name that is asked here";
    Err(Refusal::new(StatusCode::FORBIDDEN, message).hint(hint))
}

/// Whether the head of a request is one that may change something.
async fn judge(asked: Asked<'_>, visitor: &Visitor, site: &Site) -> Result<(), Refusal> {
    let headers = &asked.head.headers;
    let may = site.admin().is_some_and(|admin| admin.config.actions);
    if !may {
        let message = "nothing can be changed here";
        let hint = "use lbctl, or set `actions = true` in [admin]";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message).hint(hint));
    }
    if !is_json(headers) {
        let message = "a change is asked for in JSON";
        let hint = "send `content-type: application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).hint(hint));
    }
    if !visitor.may_act() {
        let message = "this is for operators";
        let hint = "log in as a user whose `role` is \"operator\"";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message).hint(hint));
    }
    let message = match Shown::of(headers) {
        Shown::None if visitor.is_logged_in() => return Ok(()),
        Shown::One(shown) if site.is_token_of(visitor, shown).await => return Ok(()),
        Shown::None => "x-lbd-token is missing",
        Shown::One(_) => "x-lbd-token is wrong",
        Shown::Many => "there is more than one x-lbd-token",
    };
    let hint = "load the dashboard anew, or send what admin.token in [global] state_dir holds";
    Err(Refusal::new(StatusCode::FORBIDDEN, message).hint(hint))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return false;
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(JSON)
}

/// The words of the control protocol's `set_state`, but for the server, which the path names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    admin: Admin,
    was: Option<Admin>,
    move_sticky: Option<bool>,
    reason: Option<Reason>,
    for_s: Option<u64>,
    #[serde(default)]
    kill: bool,
}

fn read(server: ServerId, body: &[u8]) -> Result<SetState, Refusal> {
    let change: Result<Change, _> = serde_json::from_slice(body);
    let change = change.map_err(|error| {
        let message = format!("not what a server can be set to: {error}");
        ErrorReply::new(ErrorCode::BadRequest, message)
            .hint(r#"send an object, as in {"admin":"drain","reason":"kernel update"}"#)
    })?;
    Ok(SetState {
        server,
        admin: change.admin,
        was: change.was,
        move_sticky: change.move_sticky,
        reason: change.reason,
        for_s: change.for_s,
        kill: change.kill,
    })
}

fn refused(why: NoUpload) -> Refusal {
    let (status, message) = match why {
        NoUpload::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a change has at most {MAX_BODY} bytes"),
        ),
        NoUpload::TooSlow => (
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not come in time".to_owned(),
        ),
        NoUpload::Broken => (
            StatusCode::BAD_REQUEST,
            "the request's body is broken".to_owned(),
        ),
    };
    Refusal::new(status, message)
}
