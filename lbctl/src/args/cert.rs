//! The command line of `lbctl cert`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Where Certbot tells a deploy hook which lineage it renewed.
pub(crate) const RENEWED_LINEAGE: &str = "RENEWED_LINEAGE";

/// Put certificates where lbd reads them, and show those that are there
#[derive(Debug, Args)]
pub(crate) struct Cert {
    #[command(subcommand)]
    pub(crate) verb: CertVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertVerb {
    Assemble(Assemble),
    Install(Install),
    List(List),
}

/// Make one PEM file of a chain and its key
///
/// The certificate comes first, then the chain in order, without a root, then the key. Refused, and
/// nothing is changed, where the key is not that of the certificate, where the certificate has
/// expired or is not valid yet, or where it is not for every name that the file before it was for.
/// The file is replaced in one step, with mode 0600 and the owner of the file before it, or else of
/// its folder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl cert assemble --fullchain chain.crt --privkey key.pem --out site.pem
  sudo lbctl cert assemble --lineage /etc/letsencrypt/live/example.com \\
    --out /etc/lbd/certs/example.com.pem")]
pub(crate) struct Assemble {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The file to write
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) names: Names,
}

#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The certificate and its chain, as Certbot's fullchain.pem
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(requires = "privkey", required_unless_present = "lineage")]
    pub(crate) fullchain: Option<PathBuf>,
    /// The private key, as Certbot's privkey.pem
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(requires = "fullchain", required_unless_present = "lineage")]
    pub(crate) privkey: Option<PathBuf>,
    /// The folder of both: Certbot's live/NAME
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(conflicts_with_all = ["fullchain", "privkey"])]
    pub(crate) lineage: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Replace a file although the new certificate is not for all of its names, or although its
    /// names cannot be read
    #[arg(long)]
    pub(crate) allow_fewer_names: bool,
}

/// Install a renewed certificate: Certbot's deploy hook
///
/// Assembles the chain and the key of a lineage, as `cert assemble` does, into NAME.pem in the
/// folder that lbd reads certificates from. The running daemon shows it in new handshakes at once,
/// without a reload and without touching a connection; then a handshake with each bind that shows
/// it must be shown this certificate. If anything fails the file before is put back and the exit code
/// is 1, so that Certbot reports it. Without a running daemon lbd serves it from its next start.
///
/// Certbot tells a hook the lineage in RENEWED_LINEAGE. Called with that and without any argument,
/// lbctl does the same: a link to it in /etc/letsencrypt/renewal-hooks/deploy is a hook.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo certbot renew --deploy-hook \"lbctl cert install\"
  sudo ln -s /usr/bin/lbctl /etc/letsencrypt/renewal-hooks/deploy/
  sudo lbctl cert install --lineage /etc/letsencrypt/live/example.com
  sudo lbctl cert install --lineage /etc/letsencrypt/live/example.com --certs /etc/lbd/certs")]
pub(crate) struct Install {
    /// The folder of fullchain.pem and privkey.pem: Certbot's live/NAME
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(env = RENEWED_LINEAGE, hide_env_values = true)]
    pub(crate) lineage: Option<OsString>,
    /// What to call the file, without .pem; the lineage's own name unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The folder to install into; the one that the configuration's binds read unless given
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) certs: Option<PathBuf>,
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help = CONFIG)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// Show certificate files: names, expiry, fingerprint, and where they are served
///
/// Of a folder, the files that lbd reads: those whose name ends in .pem. Where a daemon runs, it is
/// asked which binds show them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo lbctl cert list
  sudo lbctl cert list --certs /etc/lbd/certs
  sudo lbctl cert list --json | jq -r '.certificates[] | select(.days_left < 7) | .file'")]
pub(crate) struct List {
    /// A PEM file, or a folder of them; may be given several times. Those that the configuration's
    /// binds read unless given
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) certs: Vec<PathBuf>,
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help = CONFIG)]
    pub(crate) config: Option<PathBuf>,
}

const CONFIG: &str = "The configuration that says where certificates are read; the running daemon's unless given, or /etc/lbd/lbd.toml without one";
