//! Certificate files: a chain and its key in one PEM (RFC 7468), as HAProxy's `crt` takes them and
//! `lbctl cert assemble` writes them. Read and judged here for everybody: the daemon, `validate`
//! and `cert`.

mod file;
mod leaf;
mod ocsp;
mod system;
mod text;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::pem::{self, SectionKind, from_buf};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub use self::file::{File, FileError, Listing, authorities, list};
pub use self::leaf::{Leaf, Validity, covers, fingerprint, in_short, is_root};
pub use self::ocsp::{Ocsp, OcspUnfit, Period, moment};
pub use self::system::{NoAuthorities, trusted_by_system};
pub use self::text::to_pem;

/// A certificate chain with the key of its first certificate: what a handshake needs.
pub struct Bundle {
    /// The leaf first, each certificate issued by the next; without a root.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Arc<dyn SigningKey>,
    /// The key as it stood in the file.
    pub key_der: PrivateKeyDer<'static>,
    pub leaf: Leaf,
}

/// Why a text gives no certificate to serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("it is no PEM: {0}")]
    Syntax(String),
    #[error("it holds no certificate")]
    NoCertificate,
    #[error("it holds no private key")]
    NoKey,
    #[error("its private key is encrypted")]
    EncryptedKey,
    #[error("it holds {0} private keys")]
    ManyKeys(usize),
    #[error("its private key is of no kind that can be used: {0}")]
    UnusableKey(String),
    #[error("its private key belongs to none of its certificates")]
    OtherKey,
    #[error("a certificate in it cannot be read: {0}")]
    BadCertificate(String),
    #[error("the certificate for {0} in it is not part of the chain")]
    Stray(String),
    #[error(
        "the certificate for {0} in it has the name of the issuer, but signed nothing of the chain"
    )]
    Namesake(String),
}

impl PemError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "write certificates and key as PEM, from -----BEGIN to -----END",
            Self::NoCertificate => "put the certificate chain (fullchain.pem) into the file",
            Self::NoKey => "append the private key (privkey.pem) to the chain",
            Self::EncryptedKey => "decrypt it first: openssl pkey -in KEY -out PLAIN",
            Self::ManyKeys(_) => "keep the key of the certificate and remove the others",
            Self::UnusableKey(_) => {
                "use an RSA key of 2048 bits or more, ECDSA P-256, P-384 or P-521, or Ed25519"
            }
            Self::OtherKey => "put the key in that the certificate was issued for",
            Self::BadCertificate(_) => "ask your certificate authority for the file again",
            Self::Stray(_) => {
                "leave only the certificate, its intermediates and its key in the file"
            }
            Self::Namesake(_) => {
                "put in the chain that came with the certificate (fullchain.pem): authorities renew theirs under one name"
            }
        }
    }
}

impl Bundle {
    /// Reads a chain and its key, in whatever order they stand.
    ///
    /// # Errors
    /// Where it is no PEM, certificates or key are missing, do not belong together, or cannot be
    /// used.
    pub fn read(text: &[u8]) -> Result<Self, PemError> {
        Self::of(Sections::read(text)?)
    }

    /// A chain and a key that come from two files, as Certbot writes them.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn assemble(fullchain: &[u8], privkey: &[u8]) -> Result<Self, PemError> {
        let mut sections = Sections::read(fullchain)?;
        let key = Sections::read(privkey)?;
        sections.keys.extend(key.keys);
        sections.encrypted |= key.encrypted;
        Self::of(sections)
    }

    fn of(sections: Sections) -> Result<Self, PemError> {
        let Sections {
            mut keys,
            certificates,
            encrypted,
        } = sections;
        if certificates.is_empty() {
            return Err(PemError::NoCertificate);
        }
        let key_der = match (keys.pop(), keys.len()) {
            (Some(key), 0) => key,
            (Some(_), others) => return Err(PemError::ManyKeys(others + 1)),
            (None, _) if encrypted => return Err(PemError::EncryptedKey),
            (None, _) => return Err(PemError::NoKey),
        };
        let key = any_supported_type(&key_der).map_err(|e| PemError::UnusableKey(e.to_string()))?;
        let public = key.public_key().ok_or(PemError::OtherKey)?;
        let (leaf, chain) = leaf::order(certificates, &public)?;
        Ok(Self {
            chain,
            key,
            key_der,
            leaf,
        })
    }

    /// Whether the file has nothing between its certificate and an issuer that clients would have
    /// to know.
    pub fn is_alone(&self) -> bool {
        self.chain.len() == 1 && !leaf::is_root(&self.chain[0])
    }

    /// The first of the intermediates that clients refuse at `now`, in seconds since 1970, and with it
    /// all that it issued: who it is, and how it stands.
    pub fn refused_issuer(&self, now: i64) -> Option<(String, Validity)> {
        let issuers = self.chain[1..].iter();
        issuers
            .filter_map(|der| leaf::standing(der, now))
            .find(|(_, validity)| !matches!(validity, Validity::Days(_)))
    }
}

/// The authorities of a text, in its order.
fn authorities_in(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found = Sections::read(text)?.certificates;
    if found.is_empty() {
        return Err(PemError::NoCertificate);
    }
    for one in &found {
        let added = RootCertStore::empty().add(one.clone());
        added.map_err(|e| PemError::BadCertificate(e.to_string()))?;
    }
    Ok(found)
}

/// Keys are secrets: nothing of one is shown.
impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}

/// What a PEM text holds.
#[derive(Default)]
struct Sections {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
    encrypted: bool,
}

impl Sections {
    fn read(text: &[u8]) -> Result<Self, PemError> {
        let mut found = Self {
            encrypted: text::is_encrypted(text),
            ..Self::default()
        };
        let text = text::without_marks(text);
        let mut rest = &*text;
        while let Some((kind, der)) = from_buf(&mut rest).map_err(|e| syntax(e, found.encrypted))? {
            match kind {
                SectionKind::Certificate => found.certificates.push(der.into()),
                SectionKind::PrivateKey => found.keys.push(PrivateKeyDer::Pkcs8(der.into())),
                SectionKind::EcPrivateKey => found.keys.push(PrivateKeyDer::Sec1(der.into())),
                SectionKind::RsaPrivateKey if found.encrypted => {}
                SectionKind::RsaPrivateKey => found.keys.push(PrivateKeyDer::Pkcs1(der.into())),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn syntax(error: pem::Error, encrypted: bool) -> PemError {
    let line = |line: &[u8]| String::from_utf8_lossy(line).trim().to_owned();
    match error {
        // The headers of an encrypted key (RFC 1421) are no base64.
        pem::Error::Base64Decode(_) if encrypted => PemError::EncryptedKey,
        pem::Error::MissingSectionEnd { end_marker } => {
            PemError::Syntax(format!("-----END {}----- is missing", line(&end_marker)))
        }
        pem::Error::IllegalSectionStart { line: start } => {
            PemError::Syntax(format!("a section begins with {:?}", line(&start)))
        }
        other => PemError::Syntax(other.to_string()),
    }
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
