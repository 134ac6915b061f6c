//! One verb, one file.

pub(crate) mod cert;
pub(crate) mod completions;
pub(crate) mod confirm;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod hash_password;
pub(crate) mod maint;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod ready;
pub(crate) mod reload;
pub(crate) mod rollback;
pub(crate) mod rolling_maintenance;
pub(crate) mod status;
pub(crate) mod validate;
pub(crate) mod weight;
