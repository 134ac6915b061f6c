//! Which server gets the next session.

mod round_robin;

pub(super) use round_robin::Rotation;
