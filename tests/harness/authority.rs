//! A certificate authority of a test's own: a root, an intermediate, and what they issue.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lb_proto::pem;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate as an authority hands it out, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    pub leaf: String,
    /// The leaf, then the intermediate, as Certbot's fullchain.pem.
    pub fullchain: String,
    /// As Certbot's privkey.pem.
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        Self::with_intermediate(issuer("Test Issuer"))
    }

    /// One whose intermediate has expired, two days ago.
    pub fn out_of_date() -> Self {
        let mut intermediate = issuer("Test Issuer");
        intermediate.not_after = (SystemTime::now() - 2 * DAY - DAY / 2).into();
        Self::with_intermediate(intermediate)
    }

    fn with_intermediate(intermediate: CertificateParams) -> Self {
        let root = CertifiedIssuer::self_signed(issuer("Test Root"), new_key());
        let root = root.expect("a root can be made");
        let intermediate = CertifiedIssuer::signed_by(intermediate, new_key(), &root);
        Self {
            intermediate: intermediate.expect("an intermediate can be made"),
            root,
        }
    }

    /// What clients are to trust, in PEM.
    pub fn root(&self) -> String {
        self.root.pem()
    }

    /// The same in DER.
    pub fn root_der(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// For 90 days, half a day of which is over.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let now = SystemTime::now();
        self.issue_for(names, now - DAY / 2, now + 90 * DAY - DAY / 2)
    }

    /// The same for an RSA key, which takes a while to find.
    pub fn issue_rsa(&self, names: &[&str]) -> Issued {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key can be made");
        let now = SystemTime::now();
        self.sign(key, names, now - DAY / 2, now + 90 * DAY - DAY / 2)
    }

    /// From one time to another.
    pub fn issue_for(&self, names: &[&str], from: SystemTime, to: SystemTime) -> Issued {
        self.sign(new_key(), names, from, to)
    }

    fn sign(&self, key: KeyPair, names: &[&str], from: SystemTime, to: SystemTime) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are good");
        params.not_before = from.into();
        params.not_after = to.into();
        let leaf = params.signed_by(&key, &self.intermediate);
        let leaf = leaf.expect("a leaf can be issued").pem();
        Issued {
            fullchain: format!("{leaf}{}", self.intermediate.pem()),
            leaf,
            key: key.serialize_pem(),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Issued {
    /// One that nobody issued, as `openssl req -x509` makes it: an authority of its own.
    pub fn by_itself(names: &[&str]) -> Self {
        let key = new_key();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are good");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let leaf = params.self_signed(&key);
        let leaf = leaf.expect("it can be made").pem();
        Self {
            fullchain: leaf.clone(),
            leaf,
            key: key.serialize_pem(),
        }
    }

    /// Writes it as Certbot does: a folder with fullchain.pem and privkey.pem.
    pub fn write_lineage(&self, folder: &Path) -> PathBuf {
        std::fs::create_dir_all(folder).expect("a folder can be made");
        for (name, text) in [
            ("fullchain.pem", &self.fullchain),
            ("privkey.pem", &self.key),
        ] {
            std::fs::write(folder.join(name), text).expect("a file can be written");
        }
        folder.to_owned()
    }

    /// Writes one file of both, as lbd reads it.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(self.together().as_bytes()));
        written.expect("the folder is ours");
        path
    }

    /// Replaces such a file in one step.
    pub fn write_anew(&self, folder: &Path, name: &str) {
        let new = self.write(folder, &format!(".{name}.new"));
        std::fs::rename(new, folder.join(name)).expect("the folder is ours");
    }

    /// The chain, the leaf first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_slice_iter(self.fullchain.as_bytes());
        chain.collect::<Result<_, _>>().expect("it is PEM")
    }

    /// SHA-256 over the leaf, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        pem::fingerprint(&self.chain()[0])
    }

    /// One file of both, as lbd reads it.
    pub fn together(&self) -> String {
        format!("{}{}", self.fullchain, self.key)
    }
}

fn issuer(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made")
}
