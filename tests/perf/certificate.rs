//! The certificates that all proxies show, with the same keys.

use std::path::{Path, PathBuf};

use lb_tests::Issued;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::RootCertStore;

/// Whom the load asks for.
pub(crate) const NAME: &str = "test";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// P-256.
    Ecdsa,
    /// 2048 bits.
    Rsa,
}

impl Key {
    fn file(self) -> &'static str {
        match self {
            Self::Ecdsa => "ecdsa.pem",
            Self::Rsa => "rsa.pem",
        }
    }

    /// Where a proxy with this folder finds its certificate and the key.
    pub(crate) fn path(self, folder: &Path) -> PathBuf {
        folder.join(self.file())
    }
}

/// One of either kind, self-signed.
#[derive(Debug)]
pub(crate) struct Certificates {
    ecdsa: Issued,
    rsa: Issued,
}

impl Certificates {
    pub(crate) fn make() -> Result<Self, String> {
        let make = |algorithm| -> Result<Issued, rcgen::Error> {
            let key = KeyPair::generate_for(algorithm)?;
            let leaf = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
            Ok(Issued {
                leaf: leaf.pem(),
                fullchain: leaf.pem(),
                key: key.serialize_pem(),
            })
        };
        let made = |e| format!("a certificate cannot be made: {e}");
        Ok(Self {
            ecdsa: make(&PKCS_ECDSA_P256_SHA256).map_err(made)?,
            rsa: make(&PKCS_RSA_SHA256).map_err(made)?,
        })
    }

    /// Writes the one with this kind of key to where [`Key::path`] says.
    pub(crate) fn write(&self, key: Key, folder: &Path) {
        let issued = match key {
            Key::Ecdsa => &self.ecdsa,
            Key::Rsa => &self.rsa,
        };
        issued.write(folder, key.file());
    }

    /// For clients that trust them.
    pub(crate) fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for root in [&self.ecdsa, &self.rsa].into_iter().flat_map(Issued::chain) {
            roots.add(root)?;
        }
        Ok(roots)
    }
}
