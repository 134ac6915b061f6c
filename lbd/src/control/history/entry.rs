//! How a kept configuration is written: pure.

use serde::{Deserialize, Serialize};

use lb_proto::config::sha256;

/// What the first line begins with; the rest of it is JSON.
const MARK: &str = "# kept by lbd: ";

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) about: About,
    /// As the file had it.
    pub(crate) text: String,
}

/// Where a configuration came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The number of the one that ran before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u64>,
    /// When it was loaded. RFC 3339, UTC.
    pub(crate) at: String,
    /// Who or what asked for it.
    pub(crate) by: String,
    /// The file that had it.
    pub(crate) path: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    number: u64,
    #[serde(flatten)]
    about: About,
    /// Of the text below.
    sha256: String,
}

impl Entry {
    pub(super) fn write(number: u64, about: About, text: &str) -> Vec<u8> {
        let head = Head {
            number,
            about,
            sha256: sha256(text),
        };
        // Nothing in it fails to serialise: numbers and strings.
        let head = serde_json::to_string(&head).unwrap_or_default();
        format!("{MARK}{head}\n{text}").into_bytes()
    }

    /// # Errors
    /// Why it is not what was written.
    pub(super) fn read(bytes: &[u8], number: u64) -> Result<Self, &'static str> {
        let whole = str::from_utf8(bytes).map_err(|_| "it is no text")?;
        let lines = whole
            .strip_prefix(MARK)
            .and_then(|rest| rest.split_once('\n'));
        let (head, text) = lines.ok_or("it does not begin as a kept configuration")?;
        let head: Head = serde_json::from_str(head).map_err(|_| "its first line is damaged")?;
        if head.number != number {
            return Err("it has another number");
        }
        if head.sha256 != sha256(text) {
            return Err("its text is not what was kept");
        }
        Ok(Self {
            number,
            about: head.about,
            text: text.to_owned(),
        })
    }
}
