//! The same files again, while what they held is being served.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Certificates, judged};
use crate::config::problem::Fault;
use crate::pem::{self, File, FileError};

/// What the files hold now.
#[derive(Debug)]
pub struct Again {
    pub certificates: Certificates,
    pub unusable: Vec<Unusable>,
    /// What can be served, but should not stay so.
    pub warnings: Vec<Fault>,
}

/// A file, or a folder, that gives nothing to serve.
#[derive(Debug)]
pub struct Unusable {
    pub path: PathBuf,
    pub fault: Fault,
    /// What was read of it before is served on.
    pub kept: bool,
}

impl Certificates {
    /// Reads the certificates that clients are shown again. All else stays as it is: another authority
    /// lets other clients in, and what servers are shown is kept for their connections; both are for a
    /// reload to change.
    ///
    /// One file that is of no use keeps no other from being renewed. `only`: what all other files held
    /// stays as well. `now`: seconds since 1970.
    pub fn read_again(&self, only: Option<&Path>, now: i64) -> Again {
        let mut again = Again {
            certificates: Self {
                files: HashMap::new(),
                ..self.clone()
            },
            unusable: Vec::new(),
            warnings: Vec::new(),
        };
        let mut places: Vec<_> = self.files.iter().collect();
        places.sort_by_key(|(place, _)| *place);
        for (place, before) in places {
            let files = match only {
                Some(only) => again.one_of(place, before, only),
                None => again.place(place, before),
            };
            again.certificates.files.insert(place.clone(), files);
        }
        for file in again.certificates.all() {
            again.warnings.extend(judged(file, now));
        }
        again
    }
}

impl Again {
    /// A path of `certs`, and what it held before.
    fn place(&mut self, place: &Path, before: &[Arc<File>]) -> Vec<Arc<File>> {
        let found = match pem::list(place) {
            Ok(listing) if listing.files.is_empty() => Err(Fault::new(
                format!("there is no .pem file in {}", place.display()),
                "put one there: lbctl cert install --lineage DIR",
            )),
            Ok(listing) => Ok(listing.files),
            Err(source) => Err(fault(&FileError::Unreadable {
                path: place.to_owned(),
                source,
            })),
        };
        let paths = match found {
            Ok(paths) => paths,
            Err(fault) => {
                self.no_use(place, fault, true);
                return before.to_vec();
            }
        };
        let read = paths.iter().map(|path| self.file(path, before));
        let files: Vec<Arc<File>> = read.flatten().collect();
        // A bind must have something to show.
        match files.is_empty() {
            true => before.to_vec(),
            false => files,
        }
    }

    /// A path of `certs` of which one file is read.
    fn one_of(&mut self, place: &Path, before: &[Arc<File>], only: &Path) -> Vec<Arc<File>> {
        let here = match pem::list(place) {
            Ok(listing) => listing.files,
            // A file that is not there is found out below.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(source) => {
                let path = place.to_owned();
                let error = FileError::Unreadable { path, source };
                self.no_use(place, fault(&error), true);
                return before.to_vec();
            }
        };
        let held = || before.iter().map(|file| &file.path);
        let Some(path) = here.iter().chain(held()).find(|path| is_same(path, only)) else {
            return before.to_vec();
        };
        let is_there = here.contains(path);
        let new = is_there.then(|| self.file(path, before)).flatten();
        let others = before.iter().filter(|file| file.path != *path);
        let mut files: Vec<Arc<File>> = others.cloned().chain(new).collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        // A bind must have something to show.
        match files.is_empty() {
            true => before.to_vec(),
            false => files,
        }
    }

    fn file(&mut self, path: &Path, before: &[Arc<File>]) -> Option<Arc<File>> {
        match File::read(path) {
            Ok(file) => Some(Arc::new(file)),
            Err(error) => {
                let kept = before.iter().find(|file| file.path == path).cloned();
                self.no_use(path, fault(&error), kept.is_some());
                kept
            }
        }
    }

    fn no_use(&mut self, path: &Path, fault: Fault, kept: bool) {
        self.unusable.push(Unusable {
            path: path.to_owned(),
            fault,
            kept,
        });
    }
}

/// Whether two paths lead to one place, be there a file or not.
fn is_same(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent().and_then(|folder| folder.canonicalize().ok());
    one == other || one.file_name() == other.file_name() && folder(one) == folder(other)
}

fn fault(error: &FileError) -> Fault {
    Fault::new(error.to_string(), error.remedy())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pem(name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        leaf.self_signed(&key).unwrap().pem() + &key.serialize_pem()
    }

    fn of(place: &Path) -> Certificates {
        let mut certificates = Certificates::default();
        certificates.files.insert(place.to_owned(), Vec::new());
        certificates.read_again(None, 0).certificates
    }

    /// The first name of each certificate.
    fn names(certificates: &Certificates) -> Vec<&str> {
        let files = certificates.all().into_iter();
        files.map(|file| file.bundle.leaf.name()).collect()
    }

    #[test]
    fn what_was_added_removed_and_replaced_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::write(file("a.pem"), pem("a.test")).unwrap();
        fs::write(file("b.pem"), pem("b.test")).unwrap();
        let before = of(folder.path());
        assert_eq!(names(&before), ["a.test", "b.test"]);
        assert!(before.read_again(None, 0).certificates.are_as(&before));
        fs::write(file("a.pem"), pem("new.test")).unwrap();
        fs::rename(file("b.pem"), file("c.pem")).unwrap();
        let again = before.read_again(None, 0);
        assert_eq!(names(&again.certificates), ["new.test", "b.test"]);
        assert!(!again.certificates.are_as(&before));
        assert!(again.unusable.is_empty());
    }

    #[test]
    fn a_file_of_no_use_keeps_what_it_held_and_no_other_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::write(file("a.pem"), pem("a.test")).unwrap();
        fs::write(file("b.pem"), pem("b.test")).unwrap();
        let before = of(folder.path());
        fs::write(file("a.pem"), "half").unwrap();
        fs::write(file("b.pem"), pem("new.test")).unwrap();
        fs::write(file("c.pem"), "").unwrap();
        let again = before.read_again(None, 0);
        assert_eq!(names(&again.certificates), ["a.test", "new.test"]);
        let told: Vec<_> = again.unusable.iter().map(|u| (&u.path, u.kept)).collect();
        assert_eq!(told, [(&file("a.pem"), true), (&file("c.pem"), false)]);
    }

    #[test]
    fn where_one_file_is_asked_for_the_others_stay_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::write(file("b.pem"), pem("b.test")).unwrap();
        fs::write(file("c.pem"), pem("c.test")).unwrap();
        let before = of(folder.path());
        fs::write(file("a.pem"), pem("stray.test")).unwrap();
        fs::write(file("b.pem"), pem("new.test")).unwrap();
        fs::write(file("c.pem"), "half").unwrap();
        let only = folder
            .path()
            .join("../")
            .join(folder.path().file_name().unwrap());
        let again = before.read_again(Some(&only.join("b.pem")), 0);
        assert_eq!(names(&again.certificates), ["new.test", "c.test"]);
        assert!(again.unusable.is_empty());
        fs::remove_file(file("b.pem")).unwrap();
        let gone = again.certificates.read_again(Some(&file("b.pem")), 0);
        assert_eq!(names(&gone.certificates), ["c.test"]);
        let added = gone.certificates.read_again(Some(&file("a.pem")), 0);
        assert_eq!(names(&added.certificates), ["stray.test", "c.test"]);
        let stranger = before.read_again(Some(Path::new("/nowhere/b.pem")), 0);
        assert!(stranger.certificates.are_as(&before));
    }

    #[test]
    fn a_bind_is_never_left_without_any() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pem");
        fs::write(&file, pem("a.test")).unwrap();
        let before = of(folder.path());
        fs::rename(&file, folder.path().join("a.crt")).unwrap();
        let empty = before.read_again(None, 0);
        assert_eq!(names(&empty.certificates), ["a.test"]);
        assert_eq!(empty.unusable.len(), 1);
        fs::write(folder.path().join("b.pem"), "").unwrap();
        assert_eq!(names(&before.read_again(None, 0).certificates), ["a.test"]);
        drop(folder);
        let gone = before.read_again(None, 0);
        assert_eq!(names(&gone.certificates), ["a.test"]);
        assert!(gone.unusable[0].kept);
    }
}
