//! `plan`: what a reload would change. What that is, is [`crate::control::plan`]'s.

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::reply;
use lb_proto::request::Plan;

use crate::control::Control;

pub(in crate::control) async fn run(
    call: &Plan,
    control: &Control,
) -> Result<reply::Plan, ErrorReply> {
    let other = match (&call.text, &call.file) {
        (Some(text), file) => {
            let file = file.clone().unwrap_or_else(|| "the text sent".to_owned());
            Some((file, text.clone()))
        }
        (None, None) => None,
        (None, Some(_)) => {
            return Err(ErrorReply::new(
                ErrorCode::BadRequest,
                "`file` names the `text` that comes with it: lbd reads no other file than its own",
            ));
        }
    };
    control.reloader.plan(other).await
}
