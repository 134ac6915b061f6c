//! Which certificate a client is shown: by the name it asks for (RFC 6066, 3).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use lb_proto::pem::{File, Period};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::Shown;
use crate::state::unix_now;

/// The certificates of a bind.
#[derive(Debug)]
pub(super) struct Certs {
    /// By lower-case name; `*.` and a parent for those that stand for one label. A name may have
    /// several, with keys of different kinds.
    by_name: HashMap<String, Vec<Arc<Credential>>>,
    /// For clients that ask for no name that is known.
    default: Vec<Arc<Credential>>,
}

/// What a handshake with a file's certificate needs.
#[derive(Debug)]
struct Credential {
    bare: Arc<CertifiedKey>,
    /// The same with an OCSP response, and when that holds.
    stapled: Option<(Arc<CertifiedKey>, Period)>,
}

impl Credential {
    fn new(file: &File) -> Self {
        let bare = CertifiedKey::new(file.bundle.chain.clone(), file.bundle.key.clone());
        let stapled = file.ocsp.as_ref().map(|ocsp| {
            let mut key = bare.clone();
            key.ocsp = Some(ocsp.response.clone());
            (Arc::new(key), ocsp.period)
        });
        Self {
            bare: Arc::new(bare),
            stapled,
        }
    }

    /// `now`, in seconds since 1970, is asked where it matters.
    fn at(&self, now: impl FnOnce() -> i64) -> &Arc<CertifiedKey> {
        match &self.stapled {
            Some((key, period)) if period.holds(now()) => key,
            _ => &self.bare,
        }
    }

    fn signs(&self, scheme: SignatureScheme) -> bool {
        self.bare.key.choose_scheme(&[scheme]).is_some()
    }
}

impl Certs {
    /// `strict`: who asks for no known name is shown nothing, and so refused. Of several files for
    /// a name and a kind of key the first is shown. Tells what each is shown for, too.
    pub(super) fn new<'a>(
        files: impl Iterator<Item = &'a Arc<File>>,
        strict: bool,
    ) -> (Self, Vec<Shown>) {
        let mut by_name: HashMap<String, Vec<Arc<Credential>>> = HashMap::new();
        let mut all: Vec<(Shown, Arc<Credential>)> = Vec::new();
        for file in files {
            let key = Arc::new(Credential::new(file));
            let mut names = Vec::new();
            // Nobody asks for an address by name (RFC 6066, 3).
            let asked = file.bundle.leaf.names.iter();
            for name in asked.filter(|name| name.parse::<IpAddr>().is_err()) {
                let keys = by_name.entry(name.clone()).or_default();
                if !keys.iter().any(|before| kind(before) == kind(&key)) {
                    keys.push(key.clone());
                    names.push(name.clone());
                }
            }
            let shown = Shown {
                file: file.clone(),
                names,
                default: false,
            };
            all.push((shown, key));
        }
        let default = match (all.first(), strict) {
            (Some((first, key)), false) => siblings(first, key, &by_name),
            _ => Vec::new(),
        };
        let shown = all.into_iter().map(|(mut shown, key)| {
            shown.default = default.iter().any(|one| Arc::ptr_eq(one, &key));
            shown
        });
        let shown = shown.collect();
        (Self { by_name, default }, shown)
    }

    fn of(&self, name: Option<&str>) -> &[Arc<Credential>] {
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

/// The first certificate, and those with other kinds of keys for one of its names.
fn siblings(
    first: &Shown,
    key: &Arc<Credential>,
    by_name: &HashMap<String, Vec<Arc<Credential>>>,
) -> Vec<Arc<Credential>> {
    let alike = first.names.iter().filter_map(|name| by_name.get(name));
    let most = alike.max_by_key(|keys| keys.len());
    most.cloned().unwrap_or_else(|| vec![key.clone()])
}

/// What a key can sign: clients that take one of a kind take every other.
fn kind(key: &Credential) -> (SignatureAlgorithm, Option<SignatureScheme>) {
    const CURVES: [SignatureScheme; 3] = [
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ECDSA_NISTP521_SHA512,
    ];
    let curve = CURVES.into_iter().find(|scheme| key.signs(*scheme));
    (key.bare.key.algorithm(), curve)
}

impl ResolvesServerCert for Certs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.of(hello.server_name());
        let key = preferred(keys, hello.signature_schemes())?;
        Some(key.at(unix_now).clone())
    }
}

/// The one that signs in the first way that the client names and any of them knows. Where there is none,
/// the handshake says why it fails.
fn preferred<'a>(
    keys: &'a [Arc<Credential>],
    schemes: &[SignatureScheme],
) -> Option<&'a Arc<Credential>> {
    let (first, others) = keys.split_first()?;
    if others.is_empty() {
        return Some(first);
    }
    let signs = |scheme: &SignatureScheme| {
        let mut keys = keys.iter();
        keys.find(|key| key.signs(*scheme))
    };
    schemes.iter().find_map(signs).or(Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_proto::pem::{Bundle, Ocsp};
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
        PKCS_RSA_SHA256, SignatureAlgorithm,
    };

    fn file(names: &[&str]) -> Arc<File> {
        file_with(&PKCS_ECDSA_P256_SHA256, names)
    }

    fn file_with(kind: &'static SignatureAlgorithm, names: &[&str]) -> Arc<File> {
        let key = KeyPair::generate_for(kind).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap();
        let pem = leaf.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        Arc::new(File {
            path: "x.pem".into(),
            bundle: Bundle::read(pem.as_bytes()).unwrap(),
            ocsp: None,
            ocsp_unfit: None,
            open_to_all: None,
        })
    }

    /// Which of the files is shown to who asks for `name`.
    fn shown(files: &[Arc<File>], strict: bool, name: Option<&str>) -> Option<usize> {
        let (all, _) = Certs::new(files.iter(), strict);
        let chain = &all.of(name).first()?.bare.cert;
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
    fn a_response_is_shown_while_it_holds() {
        let (this_update, next_update) = (1_000_000, 2_000_000);
        let period = Period {
            this_update,
            next_update,
        };
        let mut file = Arc::into_inner(file(&["a.test"])).unwrap();
        let of = |file: &File, now| Credential::new(file).at(|| now).ocsp.clone();
        assert_eq!(of(&file, next_update), None);
        let response = b"good".to_vec();
        file.ocsp = Some(Ocsp {
            response: response.clone(),
            period,
            revoked: false,
        });
        assert_eq!(of(&file, 0), None);
        assert_eq!(of(&file, this_update), Some(response.clone()));
        assert_eq!(of(&file, next_update), Some(response));
        assert_eq!(of(&file, next_update + 1), None);
        assert_eq!(Credential::new(&file).at(|| 0).cert, file.bundle.chain);
    }

    #[test]
    fn strictly_only_known_names_are_shown_anything() {
        let files = [file(&["first.test"]), file(&["*.a.test"])];
        assert_eq!(shown(&files, true, Some("b.a.test")), Some(1));
        assert_eq!(shown(&files, true, Some("other.test")), None);
        assert_eq!(shown(&files, true, None), None);
    }

    #[test]
    fn of_keys_of_several_kinds_the_client_prefers_one() {
        use SignatureScheme as S;
        let files = [
            file_with(&PKCS_RSA_SHA256, &["a.test"]),
            file_with(&PKCS_ECDSA_P256_SHA256, &["a.test"]),
            file_with(&PKCS_ECDSA_P384_SHA384, &["a.test"]),
        ];
        let (all, _) = Certs::new(files.iter(), false);
        for (schemes, index) in [
            (&[S::ECDSA_NISTP256_SHA256, S::RSA_PSS_SHA256][..], 1),
            (&[S::RSA_PSS_SHA512, S::ECDSA_NISTP256_SHA256], 0),
            (&[S::ED25519, S::ECDSA_NISTP384_SHA384], 2),
            (&[S::ED25519], 0),
        ] {
            let key = preferred(all.of(Some("a.test")), schemes).unwrap();
            assert_eq!(key.bare.cert, files[index].bundle.chain, "{schemes:?}");
        }
    }

    #[test]
    fn keys_of_several_kinds_stay_together_and_of_one_kind_the_first_is_shown() {
        let files = [
            file(&["b.test", "a.test"]),
            file(&["a.test", "c.test"]),
            file_with(&PKCS_ECDSA_P384_SHA384, &["a.test"]),
            file_with(&PKCS_RSA_SHA256, &["a.test"]),
            file_with(&PKCS_RSA_SHA256, &["a.test"]),
        ];
        let (all, shown) = Certs::new(files.iter(), false);
        assert_eq!(all.of(Some("a.test")).len(), 3);
        assert_eq!(all.of(None).len(), 3);
        let told = shown.iter().map(|shown| (&*shown.names, shown.default));
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let (both, c, a) = (
            names(&["b.test", "a.test"]),
            names(&["c.test"]),
            names(&["a.test"]),
        );
        let wanted = [
            (&*both, true),
            (&*c, false),
            (&*a, true),
            (&*a, true),
            (&[], false),
        ];
        assert_eq!(told.collect::<Vec<_>>(), wanted);
    }
}
