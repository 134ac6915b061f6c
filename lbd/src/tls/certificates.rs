//! Which certificate a client is shown: by the name it asks for (RFC 6066, 3).

use std::collections::HashMap;
use std::sync::Arc;

use lb_proto::pem::File;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of a bind.
#[derive(Debug)]
pub(super) struct Shown {
    /// By lower-case name; `*.` and a parent for those that stand for one label. A name may have
    /// several, with keys of different kinds.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that ask for no name that is known.
    default: Vec<Arc<CertifiedKey>>,
}

impl Shown {
    /// `strict`: who asks for no known name is shown nothing, and so refused.
    pub(super) fn new<'a>(files: impl Iterator<Item = &'a Arc<File>>, strict: bool) -> Self {
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        let mut default = Vec::new();
        for file in files {
            let mut key = CertifiedKey::new(file.bundle.chain.clone(), file.bundle.key.clone());
            key.ocsp.clone_from(&file.ocsp);
            let key = Arc::new(key);
            for name in &file.bundle.leaf.names {
                by_name.entry(name.clone()).or_default().push(key.clone());
            }
            if default.is_empty() && !strict {
                default.push(key);
            }
        }
        // The default certificate may have siblings, with other kinds of keys.
        if let Some(first) = default.first() {
            let mut alike = by_name.values().filter(|keys| Arc::ptr_eq(&keys[0], first));
            if let Some(keys) = alike.next() {
                default.clone_from(keys);
            }
        }
        Self { by_name, default }
    }

    fn of(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.by_name.get(&name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.by_name.get(&format!("*.{parent}"))
            })
        });
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.of(hello.server_name());
        let fits =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        keys.iter().find(fits).or(keys.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_proto::pem::Bundle;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

    fn file(names: &[&str]) -> Arc<File> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap();
        let pem = leaf.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        Arc::new(File {
            path: "x.pem".into(),
            bundle: Bundle::read(pem.as_bytes()).unwrap(),
            ocsp: None,
            open_to_all: None,
        })
    }

    /// Which of the files is shown to who asks for `name`.
    fn shown(files: &[Arc<File>], strict: bool, name: Option<&str>) -> Option<usize> {
        let all = Shown::new(files.iter(), strict);
        let chain = &all.of(name).first()?.cert;
        files.iter().position(|file| file.bundle.chain == *chain)
    }

    #[test]
    fn the_name_decides_and_the_first_is_the_default() {
        let files = [
            file(&["first.test"]),
            file(&["*.a.test", "a.test"]),
            file(&["b.a.test"]),
        ];
        for (name, index) in [
            ("first.test", 0),
            ("A.test", 1),
            ("c.A.test", 1),
            ("b.a.test", 2),
            ("d.c.a.test", 0),
            ("other.test", 0),
        ] {
            assert_eq!(shown(&files, false, Some(name)), Some(index), "{name}");
        }
        assert_eq!(shown(&files, false, None), Some(0));
    }

    #[test]
    fn strictly_only_known_names_are_shown_anything() {
        let files = [file(&["first.test"]), file(&["*.a.test"])];
        assert_eq!(shown(&files, true, Some("b.a.test")), Some(1));
        assert_eq!(shown(&files, true, Some("other.test")), None);
        assert_eq!(shown(&files, true, None), None);
    }

    #[test]
    fn keys_of_several_kinds_stay_together() {
        let files = [file(&["a.test"]), file(&["a.test"])];
        let all = Shown::new(files.iter(), false);
        assert_eq!(all.of(Some("a.test")).len(), 2);
        assert_eq!(all.of(None).len(), 2);
    }
}
