//! Certificate files on disk.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;

use super::{Bundle, Ocsp, OcspUnfit, PemError};

/// Larger files are no certificates.
const LARGEST: u64 = 1024 * 1024;

/// A file that was read.
#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    pub bundle: Bundle,
    /// A response of the authority's, from the `.ocsp` file beside it.
    pub ocsp: Option<Ocsp>,
    /// There is such a file, but why it is of no use.
    pub ocsp_unfit: Option<OcspUnfit>,
    /// The permission bits with which everybody may read the key, if everybody may.
    pub open_to_all: Option<u32>,
}

/// Why a file gives no certificate.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} cannot be used: {source}", path.display())]
    Unusable { path: PathBuf, source: PemError },
}

impl FileError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { source, .. } => match source.kind() {
                ErrorKind::NotFound => "write a path that is there",
                ErrorKind::PermissionDenied => {
                    "let lbd's user read it: chown it to that user, mode 0600"
                }
                _ => "look at the file and its folder",
            },
            Self::Unusable { source, .. } => source.remedy(),
        }
    }
}

impl File {
    /// # Errors
    /// Where it cannot be read, or holds nothing to serve.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let unreadable = |source| FileError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let bundle = Bundle::read(&contents(path).map_err(unreadable)?);
        let bundle = bundle.map_err(|source| FileError::Unusable {
            path: path.to_owned(),
            source,
        })?;
        let response = match response_beside(path) {
            Ok(response) => Ocsp::read(response, &bundle.chain[0]).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OcspUnfit::Unreadable(error.to_string())),
        };
        let (ocsp, ocsp_unfit) = match response {
            Ok(ocsp) => (ocsp, None),
            Err(unfit) => (None, Some(unfit)),
        };
        let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o7777;
        Ok(Self {
            path: path.to_owned(),
            ocsp,
            ocsp_unfit,
            bundle,
            open_to_all: Some(mode).filter(|mode| mode & 0o004 != 0),
        })
    }
}

impl File {
    /// Whether it is the same file, and handshakes with it are those with `other`.
    pub fn is_as(&self, other: &Self) -> bool {
        self.path == other.path
            && self.bundle.chain == other.bundle.chain
            && self.ocsp == other.ocsp
    }
}

/// What `site.ocsp` holds or, where there is none, `site.pem.ocsp`, as HAProxy names it.
fn response_beside(path: &Path) -> io::Result<Vec<u8>> {
    let mut added = path.as_os_str().to_owned();
    added.push(".ocsp");
    match contents(&path.with_extension("ocsp")) {
        Err(error) if error.kind() == ErrorKind::NotFound => contents(Path::new(&added)),
        found => found,
    }
}

/// A whole file, unless it is no file or far too large.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if metadata.len() > LARGEST {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    fs::read(path)
}

/// What a path of `certs` stands for.
#[derive(Debug, Default)]
pub struct Listing {
    /// Itself, or the `.pem` files of a folder by name.
    pub files: Vec<PathBuf>,
    /// Files of the folder that look like certificates but are not read.
    pub ignored: Vec<PathBuf>,
}

/// # Errors
/// Where the path leads nowhere, or a folder cannot be listed.
pub fn list(path: &Path) -> io::Result<Listing> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(Listing {
            files: vec![path.to_owned()],
            ..Listing::default()
        });
    }
    let mut listing = Listing::default();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        match path.extension().and_then(OsStr::to_str) {
            Some("pem") if !hidden => listing.files.push(path),
            Some("crt" | "cer" | "cert" | "key") if !hidden => listing.ignored.push(path),
            _ => {}
        }
    }
    listing.files.sort();
    listing.ignored.sort();
    Ok(listing)
}

/// The authorities of a file.
///
/// # Errors
/// Where it cannot be read, holds none, or one that nothing can be verified with.
pub fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = contents(path).map_err(|source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    super::authorities_in(&text).map_err(|source| FileError::Unusable {
        path: path.to_owned(),
        source,
    })
}
