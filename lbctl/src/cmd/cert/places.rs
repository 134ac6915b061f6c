//! Where lbd reads certificates: what the binds of a configuration name.

use std::path::{Path, PathBuf};

use lb_proto::config::{self, LoadError};
use lb_proto::error::ErrorReply;
use lb_proto::status::{Status, TlsStatus};

use super::failed;
use crate::cmd::validate;

/// Where certificates are read: as the configuration that is named says, or the running daemon, or
/// the file that it has read or would read.
pub(super) fn of(
    named: Option<&Path>,
    daemon: Option<&Status>,
) -> Result<Vec<PathBuf>, ErrorReply> {
    if let (None, Some(status)) = (named, daemon)
        && speaks_tls(status)
    {
        return Ok(of_daemon(status));
    }
    let of_daemon = || daemon.map(|status| PathBuf::from(&status.daemon.config.path));
    let named = named.map(Path::to_owned).or_else(of_daemon);
    of_config(&named.unwrap_or_else(|| lb_proto::DEFAULT_CONFIG.into()))
}

/// Without a bind that speaks TLS a daemon shows nobody anything, and nobody an old certificate.
pub(super) fn speaks_tls(status: &Status) -> bool {
    binds(status).next().is_some()
}

/// Those where TLS is spoken.
fn binds(status: &Status) -> impl Iterator<Item = &TlsStatus> {
    let admin = status.daemon.admin.as_ref();
    let frontends = status.frontends.iter().flat_map(|frontend| &frontend.tls);
    frontends.chain(admin.and_then(|admin| admin.tls.as_ref()))
}

/// The paths of all binds' `certs`, files and folders, in their order and each once. What they hold
/// is not looked at: before the first certificate is installed that would be a problem.
fn of_config(path: &Path) -> Result<Vec<PathBuf>, ErrorReply> {
    let file = path.display().to_string();
    let text = config::bytes(path).map_err(|error| {
        failed(
            format!("cannot read {file}: {error}"),
            "name a configuration with --config, or the folder of certificates with --certs",
        )
    })?;
    let config = config::read(&file, &String::from_utf8_lossy(&text))
        .map_err(|problems| validate::refusal(LoadError::Invalid(problems), &file))?;
    let certs = config.binds_tls().flat_map(|tls| &tls.certs);
    let places = each_once(certs.map(|certs| certs.path.clone()));
    if places.is_empty() {
        return Err(failed(
            format!("no bind of {file} has certificates"),
            "give one `tls = { certs = [\"/etc/lbd/certs\"] }`, or name a folder with --certs",
        ));
    }
    Ok(places)
}

/// Those of a running daemon. Its configuration file may say something else by now.
fn of_daemon(status: &Status) -> Vec<PathBuf> {
    each_once(
        binds(status)
            .flat_map(|bind| &bind.certs)
            .map(PathBuf::from),
    )
}

fn each_once(places: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    for place in places {
        if !seen.contains(&place) {
            seen.push(place);
        }
    }
    seen
}

/// Which of the places the file of this name is for: one that is the file, or the only folder.
pub(super) fn pick(places: &[PathBuf], file: &Path) -> Result<PathBuf, ErrorReply> {
    let (folders, files): (Vec<&PathBuf>, Vec<&PathBuf>) =
        places.iter().partition(|place| is_folder(place));
    let files: Vec<&&PathBuf> = files
        .iter()
        .filter(|place| place.file_name() == Some(file.as_os_str()))
        .collect();
    match (&*files, &*folders) {
        ([only], _) => Ok((**only).clone()),
        ([], [only]) => Ok(only.join(file)),
        ([], []) => Err(failed(
            format!(
                "lbd reads no folder of certificates and no file called {}",
                file.display()
            ),
            format!(
                "--name the file to replace: it reads {}; or name a folder with --certs",
                in_words(places.iter())
            ),
        )),
        ([], folders) => Err(failed(
            format!(
                "lbd reads several folders of certificates: {}",
                in_words(folders.iter().copied())
            ),
            "say which with --certs",
        )),
        (files, _) => Err(failed(
            format!(
                "lbd reads several files called {}: {}",
                file.display(),
                in_words(files.iter().map(|file| **file))
            ),
            "say whose folder with --certs",
        )),
    }
}

/// One that is not there yet is a folder unless its name is that of a file.
fn is_folder(place: &Path) -> bool {
    place.is_dir() || (!place.exists() && place.extension().is_none_or(|end| end != "pem"))
}

fn in_words<'a>(places: impl Iterator<Item = &'a PathBuf>) -> String {
    let places: Vec<String> = places.map(|place| place.display().to_string()).collect();
    places.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_its_name_or_the_only_folder_is_picked() {
        let picked = |places: &[&str]| {
            let places: Vec<PathBuf> = places.iter().map(PathBuf::from).collect();
            pick(&places, Path::new("a.pem")).map_err(|error| error.message)
        };
        assert_eq!(picked(&["/x/certs"]), Ok("/x/certs/a.pem".into()));
        assert_eq!(
            picked(&["/x/b.pem", "/x/certs"]),
            Ok("/x/certs/a.pem".into())
        );
        assert_eq!(picked(&["/x/a.pem", "/x/certs"]), Ok("/x/a.pem".into()));
        let several = picked(&["/x/certs", "/y/certs"]).unwrap_err();
        assert_eq!(
            several,
            "lbd reads several folders of certificates: /x/certs, /y/certs"
        );
        let several = picked(&["/x/a.pem", "/y/a.pem"]).unwrap_err();
        assert_eq!(
            several,
            "lbd reads several files called a.pem: /x/a.pem, /y/a.pem"
        );
        let none = picked(&["/x/b.pem"]).unwrap_err();
        assert_eq!(
            none,
            "lbd reads no folder of certificates and no file called a.pem"
        );
    }
}
