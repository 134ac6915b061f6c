//! What shows that whoever asks may act, without a login: the token in a file that only lbd's user can read, and what
//! our own pages carry, which is derived from it and good for whom the page was made, and no longer.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use lb_proto::config::User;
use lb_proto::os_error;
use lb_proto::regular::{self, Links};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

const NAME: &str = "admin.token";

/// Nobody guesses so many.
const BYTES: usize = 32;

/// How soon a file that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// As it was when it was first wanted; the file is looked at once.
pub(crate) struct Token {
    path: PathBuf,
    value: OnceCell<String>,
}

impl Token {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(NAME),
            value: OnceCell::new(),
        }
    }

    /// Made, and kept in its file, if there is none.
    pub(crate) async fn value(&self) -> &str {
        let path = self.path.clone();
        let kept = || async move {
            let wanted = path.clone();
            let kept = spawn_blocking(move || kept(&path)).await;
            let (token, is_written) = kept.unwrap_or_else(|_| (fresh(), false));
            if !is_written {
                tokio::spawn(write_later(wanted, token.clone()));
            }
            token
        };
        self.value.get_or_init(kept).await
    }
}

/// What a page carries of it that was made for this user, as he is configured, or where nobody logs in.
pub(super) fn of_page(token: &str, user: Option<&User>) -> String {
    if token.is_empty() {
        return String::new();
    }
    let mut whom = Vec::new();
    if let Some(user) = user {
        for part in [&user.name, &user.password_hash.to_string()] {
            whom.extend_from_slice(&(part.len() as u64).to_be_bytes());
            whom.extend_from_slice(part.as_bytes());
        }
    }
    let key = hmac::Key::new(HMAC_SHA256, token.as_bytes());
    in_hex(hmac::sign(&key, &whom).as_ref())
}

/// Whether this one was shown. Takes as long whatever was.
pub(super) fn is(token: &str, shown: &[u8]) -> bool {
    !token.is_empty() && verify_slices_are_equal(token.as_bytes(), shown).is_ok()
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The one in the file, or a new one, and whether that is there from now on.
fn kept(path: &Path) -> (String, bool) {
    match read(path) {
        Ok(token) => return (token, true),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            let (path, why) = (path.display(), os_error::in_words(&error));
            warn!("{path} is not used, {why}: there is a new one in its place");
        }
    }
    let token = fresh();
    let written = write(path, &token);
    if let Err(error) = &written {
        let (path, why) = (path.display(), os_error::in_words(error));
        warn!(
            "cannot write {path}: {why}; until it can, the token is another one after a restart of lbd"
        );
    }
    (token, written.is_ok())
}

/// Until there is room for it.
async fn write_later(path: PathBuf, token: String) {
    loop {
        sleep(AGAIN).await;
        let (to, wanted) = (path.clone(), token.clone());
        if let Ok(Ok(())) = spawn_blocking(move || write(&to, &wanted)).await {
            info!("{} is written", path.display());
            return;
        }
    }
}

fn fresh() -> String {
    let mut bytes = [0; BYTES];
    if rand::fill(&mut bytes).is_err() {
        // There is no randomness to be had: an empty token is nobody's.
        return String::new();
    }
    in_hex(&bytes)
}

fn in_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One that others could have read, or written, protects nothing.
fn read(path: &Path) -> io::Result<String> {
    let file = regular::open(OpenOptions::new().read(true), path, Links::Refused)?;
    let found = file.metadata()?;
    let us = rustix::process::geteuid().as_raw();
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o777;
        return Err(io::Error::other(format!("others may read it ({mode:04o})")));
    }
    if found.uid() != us {
        let owner = found.uid();
        return Err(io::Error::other(format!("it belongs to uid {owner}")));
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text)?;
    let token = text.trim();
    let is_one = token.len() == 2 * BYTES && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_one {
        true => Ok(token.to_owned()),
        false => Err(io::Error::other("it holds no token")),
    }
}

/// In one step: at every instant it is whole. Its mode is never wider than 0600.
fn write(path: &Path, token: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(NAME).tempfile_in(folder)?;
    writeln!(new, "{token}")?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use lb_proto::config::Role;
    use lb_proto::password::Hash;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn it_is_made_once_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let token = kept(&path).0;
        assert_eq!(token.len(), 64);
        assert_eq!(kept(&path).0, token);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_met_a_full_disk_is_written_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not yet");
        let token = Token::new(&path);
        let value = token.value().await.to_owned();
        fs::create_dir(&path).unwrap();
        while read(&path.join(NAME)).is_err() {
            sleep(AGAIN).await;
        }
        assert_eq!(kept(&path.join(NAME)), (value, true));
    }

    #[test]
    fn what_protects_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let first = kept(&path).0;
        set_mode(&path, 0o644);
        let second = kept(&path).0;
        assert_ne!(first, second);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        fs::write(&path, "short\n").unwrap();
        let third = kept(&path).0;
        assert_eq!((third.len(), kept(&path).0), (64, third));

        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        let before = fs::read(&elsewhere).unwrap();
        let _ = kept(&path);
        assert_eq!(fs::read(&elsewhere).unwrap(), before);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn nothing_else_is_it_and_an_empty_one_is_none() {
        let token = fresh();
        assert!(is(&token, token.as_bytes()));
        for other in ["", &token[1..], &format!("{token}0"), &fresh()] {
            assert!(!is(&token, other.as_bytes()), "{other}");
        }
        assert!(!is("", b""));
    }

    #[test]
    fn each_page_has_its_own_which_leads_to_no_other() {
        let user = |name: &str| User {
            name: name.to_owned(),
            password_hash: Hash::of("secret").unwrap(),
            role: Role::Operator,
        };
        let (token, ops) = (fresh(), user("ops"));
        let renamed = User {
            name: "eve".to_owned(),
            ..ops.clone()
        };
        let of_ops = of_page(&token, Some(&ops));
        assert_eq!(of_page(&token, Some(&ops.clone())), of_ops);
        let others = [
            of_page(&token, None),
            of_page(&token, Some(&user("ops"))),
            of_page(&token, Some(&renamed)),
            of_page(&fresh(), Some(&ops)),
            token,
        ];
        assert!(!others.contains(&of_ops));
        assert_eq!(of_page("", Some(&ops)), "");
    }
}
