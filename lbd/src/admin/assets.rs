//! What the page loads beside itself: files of this program, by names that change with what they hold, so that
//! browsers may keep them for ever.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};

/// Of the digest, in bytes: enough to tell two versions apart.
const TOLD: usize = 8;

#[derive(Debug)]
pub(super) struct Asset {
    name: &'static str,
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
    /// Of what it holds (RFC 9110, 8.8.3).
    pub(super) tag: String,
    /// Where it is, without the slash before it.
    path: String,
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    [
        Asset::new(
            "page.css",
            "text/css; charset=utf-8",
            include_str!("assets/page.css"),
        ),
        Asset::new(
            "page.js",
            "text/javascript; charset=utf-8",
            include_str!("assets/page.js"),
        ),
        Asset::new(
            "act.js",
            "text/javascript; charset=utf-8",
            include_str!("assets/act.js"),
        ),
        Asset::new("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ]
});

impl Asset {
    fn new(name: &'static str, kind: &'static str, text: &'static str) -> Self {
        let digest = digest(&SHA256, text.as_bytes());
        let mut hash = String::new();
        for byte in digest.as_ref().iter().take(TOLD) {
            // Writing to a string cannot fail.
            let _ = write!(hash, "{byte:02x}");
        }
        Self {
            name,
            kind,
            text,
            tag: format!("\"{hash}\""),
            path: format!("assets/{hash}-{name}"),
        }
    }
}

/// Where a page finds it.
pub(super) fn path(name: &str) -> &'static str {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    found.map_or("", |asset| &asset.path)
}

/// What is at this path; nothing by a name of another version.
pub(super) fn at(path: &str) -> Option<&'static Asset> {
    let path = path.strip_prefix('/')?;
    ASSETS.iter().find(|asset| asset.path == path)
}
