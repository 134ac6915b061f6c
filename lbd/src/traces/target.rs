//! Where spans go, as configured.

use std::sync::Arc;

use lb_proto::config::{self, Protocol};

use crate::tls::{Originator, Originators, TlsError};

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) config: config::Traces,
    /// How it is spoken to by https.
    pub(super) originator: Option<Arc<Originator>>,
}

impl Target {
    /// `old`: the one of before, which stays if it would be the same.
    pub(crate) fn new(
        config: config::Traces,
        originators: &mut Originators<'_>,
        old: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, TlsError> {
        let known = old.and_then(|old| old.originator.as_ref());
        let originator = config
            .tls
            .as_ref()
            .map(|tls| originators.towards(tls, &config.otlp.address, Protocol::Http1, known));
        let originator = originator.transpose()?;
        let same = |old: &&Arc<Self>| {
            let uid = |originator: &Option<Arc<Originator>>| originator.as_ref().map(|o| o.uid);
            old.config == config && uid(&old.originator) == uid(&originator)
        };
        Ok(match old.filter(same) {
            Some(old) => old.clone(),
            None => Arc::new(Self { config, originator }),
        })
    }
}
