//! Names of users and groups, from passwd(5) and group(5). Those that only a directory service knows
//! stay numbers.

use std::fs;

pub(super) fn user(uid: u32) -> String {
    named("/etc/passwd", uid).unwrap_or_else(|| format!("uid {uid}"))
}

pub(super) fn group(gid: u32) -> String {
    named("/etc/group", gid).unwrap_or_else(|| format!("gid {gid}"))
}

fn named(path: &str, id: u32) -> Option<String> {
    name_in(&fs::read_to_string(path).ok()?, id)
}

/// Both files have the name first and the number third.
fn name_in(text: &str, id: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == id).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_third_field() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nlbd:x:998:998::/:/sbin/nologin\n";
        assert_eq!(name_in(text, 998).as_deref(), Some("lbd"));
        assert_eq!(name_in(text, 7), None);
    }
}
