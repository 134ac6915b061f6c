//! The command line of `lbctl cert`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Put certificates where lbd reads them, and show those that are there
#[derive(Debug, Args)]
pub(crate) struct Cert {
    #[command(subcommand)]
    pub(crate) verb: CertVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertVerb {
    Assemble(Assemble),
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
