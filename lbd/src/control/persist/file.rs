//! What is kept, as text. Pure.
//!
//! A document with the number of its form. A higher number is a later lbd's, and not guessed at;
//! fields may be added without one.

use lb_proto::request::MAX_WEIGHT;
use lb_proto::state::Admin;
use serde::{Deserialize, Serialize};

use crate::state::{Kept, Remembered};

const VERSION: u32 = 1;

/// Why a text is not what is kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotKept {
    #[error("it is of version {0}, which a later lbd wrote; this one knows version {VERSION}")]
    Newer(u32),
    #[error("it is damaged: {0}")]
    Damaged(serde_json::Error),
    #[error("it is damaged: it says of {0} what cannot be")]
    Impossible(String),
}

pub(super) fn write(remembered: &Remembered) -> String {
    #[derive(Serialize)]
    struct File<'a> {
        version: u32,
        #[serde(flatten)]
        remembered: &'a Remembered,
    }
    let file = File {
        version: VERSION,
        remembered,
    };
    // No value of it can fail to serialise: its keys are strings.
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    text
}

pub(super) fn read(text: &[u8]) -> Result<Remembered, NotKept> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(text).map_err(NotKept::Damaged)?;
    if version > VERSION {
        return Err(NotKept::Newer(version));
    }
    let remembered: Remembered = serde_json::from_slice(text).map_err(NotKept::Damaged)?;
    match remembered.servers.iter().find(|kept| !is_possible(kept)) {
        Some(kept) => Err(NotKept::Impossible(kept.server.to_string())),
        None => Ok(remembered),
    }
}

fn is_possible(kept: &Kept) -> bool {
    let admin = kept.admin.as_ref();
    let before = admin.and_then(|set| set.before.as_deref());
    let ready = [admin, before]
        .into_iter()
        .flatten()
        .any(|set| set.admin == Admin::Ready);
    let mut weights = kept.weight.iter().chain(&kept.former_weight);
    !ready && weights.all(|set| u32::from(set.weight) <= MAX_WEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "version": 1,
  "servers": [
    {
      "server": "app/web01",
      "admin": {
        "admin": "drain",
        "term": {
          "until": "2026-11-27T18:30:00Z",
          "for_s": 1800
        },
        "before": {
          "admin": "maint",
          "at": "2026-11-27T17:00:00Z",
          "by": {
            "uid": 1001
          }
        },
        "at": "2026-11-27T18:00:00Z",
        "by": {
          "uid": 1000,
          "pid": 4711,
          "user": "ops"
        },
        "reason": "kernel update"
      }
    },
    {
      "server": "app/web02",
      "weight": {
        "weight": 0,
        "over": 3,
        "at": "2026-11-27T18:00:00Z",
        "by": {}
      },
      "missing_since": "2026-11-27T19:00:00Z"
    }
  ],
  "rolling": {
    "app": {
      "since": "2026-11-27T18:00:00Z",
      "by": {
        "uid": 0
      },
      "running": true,
      "turns": [
        {
          "server": "web01",
          "phase": "maint"
        }
      ]
    }
  }
}
"#;

    #[test]
    fn what_is_written_is_read_again_and_the_form_stays() {
        let kept = read(TEXT.as_bytes()).unwrap();
        assert_eq!(write(&kept), TEXT);
        let later = TEXT.replace("\"over\": 3", "\"over\": 3, \"new\": true");
        assert_eq!(read(later.as_bytes()).unwrap(), kept);
    }

    #[test]
    fn what_is_damaged_or_newer_is_told_apart() {
        let says = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert!(says(&TEXT[..TEXT.len() / 2]).starts_with("it is damaged: EOF"));
        assert!(says("").starts_with("it is damaged"));
        assert!(says(&TEXT.replace("\"version\": 1", "\"version\": 2")).contains("version 2"));
        assert!(says(r#"{"version": 9, "other": []}"#).contains("a later lbd"));
        assert!(says(&TEXT.replace("drain", "ready")).contains("app/web01"));
        assert!(says(&TEXT.replace("\"weight\": 0", "\"weight\": 257")).contains("app/web02"));
    }
}
