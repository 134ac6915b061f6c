//! `kept_configs`: which good configurations are kept. Which they are, is [`crate::control::reload`]'s.

use lb_proto::error::ErrorReply;
use lb_proto::reply;

use crate::control::Control;

pub(in crate::control) async fn run(control: &Control) -> Result<reply::KeptConfigs, ErrorReply> {
    control.reloader.kept_configs().await
}
