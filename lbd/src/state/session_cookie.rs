//! That a server sets a cookie which looks like a session of its own: seen by data threads, told by
//! the control plane. Once it is known, a response costs one load.

use std::sync::OnceLock;

/// The cookie's name, from the first such response on.
#[derive(Debug, Default)]
pub(crate) struct SessionCookie(OnceLock<Box<str>>);

impl SessionCookie {
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.get().map(|name| &**name)
    }

    pub(crate) fn is_known(&self) -> bool {
        self.0.get().is_some()
    }

    pub(crate) fn saw(&self, name: &str) {
        // Another thread may have seen one a moment ago: either will do.
        let _ = self.0.set(name.into());
    }
}
