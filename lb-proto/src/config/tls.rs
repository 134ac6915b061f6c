//! TLS as it is configured.

use std::path::PathBuf;

/// TLS on a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindTls {
    /// PEM files, and folders of them; the first certificate is the default. Never empty.
    pub certs: Vec<Located>,
    /// Protocols by preference (RFC 7301); empty: none is negotiated.
    pub alpn: Vec<String>,
    pub min_version: TlsVersion,
    /// Whether clients that ask for a name that no certificate covers, or for none, are refused.
    pub strict_sni: bool,
    /// Who clients' certificates are issued by.
    pub client_ca: Option<Located>,
    pub client_auth: ClientAuth,
}

/// TLS towards a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Whether the server has to show a good certificate.
    pub verify: bool,
    /// Who issues servers' certificates; `None`: whoever the system trusts.
    pub ca: Option<Located>,
    /// What is asked for, and what the certificate has to be for; `None`: the host of the address.
    pub sni: Option<String>,
    /// What to show servers that ask for a certificate.
    pub cert: Option<Located>,
    /// Protocols by preference (RFC 7301); empty: none is negotiated.
    pub alpn: Vec<String>,
    pub(super) place: Place,
}

/// Where something is written, which does not tell it from another that is the same.
#[derive(Debug, Clone, Copy, Eq)]
pub(super) struct Place(pub(super) usize);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A path, and where in the configuration it is written.
#[derive(Debug, Clone, Eq)]
pub struct Located {
    pub path: PathBuf,
    pub(super) at: usize,
}

/// Two that lead to the same place are the same, wherever they are written.
impl PartialEq for Located {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    /// They may; one that is shown must be good.
    Optional,
    Required,
}
