//! Users and groups by name and number: from /etc, or from wherever NSS finds them, which getent
//! asks.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

/// How long a directory may take to tell a name. It is for people to read, and worth no long wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// The id of a group, by number or by name.
pub(super) fn group(name: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let local = fs::read_to_string("/etc/group").unwrap_or_default();
    id_in(&local, name).or_else(|| {
        let getent = std::process::Command::new("getent")
            .args(["group", name])
            .output();
        id_in(&String::from_utf8_lossy(&getent.ok()?.stdout), name)
    })
}

/// The name of a user.
pub(super) async fn user(uid: u32) -> Option<String> {
    let local = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if let Some(name) = name_in(&local, uid) {
        return Some(name);
    }
    let getent = tokio::process::Command::new("getent")
        .args(["passwd", &uid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let told = timeout(PATIENCE, getent).await.ok()?.ok()?;
    name_in(&String::from_utf8_lossy(&told.stdout), uid)
}

/// The id of who has this name, in the format of passwd(5) and group(5).
fn id_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let (found, id) = entry(line)?;
        (found == name).then_some(id)
    })
}

/// The first name of who has this id.
fn name_in(text: &str, id: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, found) = entry(line)?;
        let shows = !name.is_empty() && !name.contains(char::is_control);
        (found == id && shows).then(|| name.to_owned())
    })
}

fn entry(line: &str) -> Option<(&str, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    Some((name, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name() {
        let text = "root:x:0:\nlbd:x:998:alice,bob\n";
        assert_eq!(id_in(text, "lbd"), Some(998));
        assert_eq!(id_in(text, "lb"), None);
        assert_eq!(group("4242"), Some(4242));
    }

    #[test]
    fn users_are_found_by_number() {
        let text = "# a comment\nops:x:1000:1000::/:/bin/sh\ntoor:x:1000:0::/:/bin/sh\n";
        assert_eq!(name_in(text, 1000).as_deref(), Some("ops"));
        assert_eq!(name_in(text, 100), None);
    }

    #[tokio::test]
    async fn a_number_that_nobody_has_is_no_error() {
        assert_eq!(user(0).await.as_deref(), Some("root"));
        assert_eq!(user(3_999_999_999).await, None);
    }
}
