//! What an authority gave: a chain and its key, in two files.

use std::io::ErrorKind;
use std::iter;
use std::path::{Path, PathBuf};

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::pem::{Bundle, PemError, Validity};
use lb_proto::regular::{self, Links};

use super::failed;
use crate::args;
use crate::ui::expiry::days;

/// Larger files are neither chains nor keys.
const LARGEST: u64 = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Source {
    fullchain: PathBuf,
    privkey: PathBuf,
}

impl Source {
    /// The two files of a folder of Certbot's.
    pub(super) fn of_lineage(folder: &Path) -> Self {
        Self {
            fullchain: folder.join("fullchain.pem"),
            privkey: folder.join("privkey.pem"),
        }
    }

    pub(super) fn of(args: &args::cert::Source) -> Result<Self, ErrorReply> {
        match (&args.lineage, &args.fullchain, &args.privkey) {
            (Some(folder), _, _) => Ok(Self::of_lineage(folder)),
            (None, Some(fullchain), Some(privkey)) => Ok(Self {
                fullchain: fullchain.clone(),
                privkey: privkey.clone(),
            }),
            _ => Err(ErrorReply::new(
                ErrorCode::Usage,
                "no chain and key are named",
            )),
        }
    }

    pub(super) fn fullchain(&self) -> &Path {
        &self.fullchain
    }

    /// Reads both, and takes nothing that could not be served at `now`, in seconds since 1970.
    pub(super) fn read(&self, now: i64) -> Result<Bundle, ErrorReply> {
        let fullchain = read(&self.fullchain)?;
        let privkey = read(&self.privkey)?;
        let bundle = Bundle::assemble(&fullchain, &privkey)
            .map_err(|error| self.unusable(error, &fullchain))?;
        self.in_time(&bundle, now)?;
        Ok(bundle)
    }

    /// Says which of the two files is at fault.
    fn unusable(&self, error: PemError, fullchain: &[u8]) -> ErrorReply {
        let (chain, key) = (self.fullchain.display(), self.privkey.display());
        let message = match error {
            PemError::OtherKey => {
                format!("the key in {key} belongs to no certificate in {chain}")
            }
            PemError::Syntax(_) if Bundle::read(fullchain).err() != Some(error.clone()) => {
                format!("{key} cannot be used: {error}")
            }
            PemError::Syntax(_)
            | PemError::NoCertificate
            | PemError::BadCertificate(_)
            | PemError::Stray(_)
            | PemError::Namesake(_) => format!("{chain} cannot be used: {error}"),
            PemError::ManyKeys(keys) => format!("{key} and {chain} hold {keys} private keys"),
            PemError::NoKey | PemError::EncryptedKey | PemError::UnusableKey(_) => {
                format!("{key} cannot be used: {error}")
            }
        };
        let hint = match error {
            PemError::OtherKey => "take both from one folder: --lineage /etc/letsencrypt/live/NAME",
            PemError::NoKey => "name the private key (privkey.pem) with --privkey",
            PemError::NoCertificate => "name the chain (fullchain.pem) with --fullchain",
            _ => error.remedy(),
        };
        failed(message, hint)
    }

    fn in_time(&self, bundle: &Bundle, now: i64) -> Result<(), ErrorReply> {
        let chain = self.fullchain.display();
        let own = (String::new(), bundle.leaf.validity(now));
        let issuer = bundle.refused_issuer(now);
        let issuer = issuer.map(|(who, validity)| (format!(" of its issuer, {who},"), validity));
        for (whose, validity) in iter::once(own).chain(issuer) {
            match validity {
                Validity::Days(_) => {}
                Validity::Expired(ago) => {
                    return Err(failed(
                        format!(
                            "the certificate{whose} in {chain} expired {} ago",
                            days(ago)
                        ),
                        "renew it first: certbot renew",
                    ));
                }
                Validity::NotYet => {
                    return Err(failed(
                        format!("the certificate{whose} in {chain} is not valid yet"),
                        "look at this machine's clock: timedatectl",
                    ));
                }
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ErrorReply> {
    regular::read(path, LARGEST, Links::Followed).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::NotFound => {
                "Certbot's files are in /etc/letsencrypt/live/NAME; certbot certificates lists them"
            }
            ErrorKind::PermissionDenied => "keys are for root to read: run it with sudo",
            ErrorKind::Other => "name a file: a pipe may never end; write what comes out of it to one first, mode 0600",
            _ => "look at the file and its folder",
        };
        failed(format!("cannot read {}: {error}", path.display()), hint)
    })
}
