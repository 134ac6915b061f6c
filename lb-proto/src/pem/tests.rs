use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd,
};

use super::*;

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A root, an intermediate, and a leaf with its key, as PEM.
struct Chain {
    root: String,
    intermediate: String,
    leaf: String,
    key: String,
}

fn chain(names: &[&str]) -> Chain {
    let root = CertifiedIssuer::self_signed(authority("Root"), key()).unwrap();
    let intermediate = CertifiedIssuer::signed_by(authority("Middle"), key(), &root).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = key();
    let leaf = CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &intermediate).unwrap();
    Chain {
        root: root.pem(),
        intermediate: intermediate.pem(),
        leaf: leaf.pem(),
        key: key.serialize_pem(),
    }
}

#[test]
fn whatever_the_order_the_leaf_comes_first_and_the_root_is_left_out() {
    let c = chain(&["example.com", "*.example.com", "192.0.2.1"]);
    let parts = [&c.root, &c.key, &c.intermediate, &c.leaf];
    let expected = Bundle::read([&*c.leaf, &c.intermediate, &c.key].concat().as_bytes()).unwrap();
    assert_eq!(expected.chain.len(), 2);
    assert_eq!(
        expected.leaf.names,
        ["example.com", "*.example.com", "192.0.2.1"]
    );
    assert_eq!(expected.leaf.issuer, "Middle");
    for turn in 0..4 {
        let mut parts = parts;
        parts.rotate_left(turn);
        let text = parts.map(String::as_str).join("some words between\n");
        let bundle = Bundle::read(text.replace('\n', "\r\n").as_bytes()).unwrap();
        assert_eq!(bundle.chain, expected.chain);
        assert_eq!(bundle.leaf, expected.leaf);
    }
}

#[test]
fn what_is_written_is_read_again() {
    let c = chain(&["example.com"]);
    let fullchain = [&*c.leaf, &c.intermediate].concat();
    let bundle = Bundle::assemble(fullchain.as_bytes(), c.key.as_bytes()).unwrap();
    let text = to_pem(&bundle);
    assert_eq!(text.matches("-----BEGIN").count(), 3);
    let again = Bundle::read(text.as_bytes()).unwrap();
    assert_eq!((again.chain, again.leaf), (bundle.chain, bundle.leaf));
    assert_eq!(again.key_der, bundle.key_der);
}

#[test]
fn each_thing_that_can_be_wrong_is_told_apart() {
    let (c, other) = (chain(&["a.test"]), chain(&["b.test"]));
    let error = |parts: &[&str]| Bundle::read(parts.concat().as_bytes()).err();
    assert_eq!(error(&[""]), Some(PemError::NoCertificate));
    assert_eq!(error(&["no PEM at all"]), Some(PemError::NoCertificate));
    assert_eq!(error(&[&c.key]), Some(PemError::NoCertificate));
    assert_eq!(error(&[&c.leaf]), Some(PemError::NoKey));
    assert_eq!(error(&[&c.leaf, &other.key]), Some(PemError::OtherKey));
    assert_eq!(
        error(&[&c.leaf, &c.key, &c.key]),
        Some(PemError::ManyKeys(2))
    );
    assert_eq!(
        error(&[&c.leaf, &other.leaf, &c.key]),
        Some(PemError::Stray("rcgen self signed cert".to_owned()))
    );
    let section = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let encrypted = section("ENCRYPTED PRIVATE KEY");
    assert_eq!(error(&[&c.leaf, &encrypted]), Some(PemError::EncryptedKey));
    let cut = &c.leaf[..200];
    let told = "-----END CERTIFICATE----- is missing".to_owned();
    assert_eq!(error(&[cut]), Some(PemError::Syntax(told)));
    let traditional = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
         DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(error(&[&c.leaf, traditional]), Some(PemError::EncryptedKey));
    let garbage = section("CERTIFICATE");
    let garbage = error(&[&garbage, &c.key]);
    assert!(matches!(garbage, Some(PemError::BadCertificate(_))));
    let nonsense = error(&[&c.leaf, &section("PRIVATE KEY")]);
    assert!(matches!(nonsense, Some(PemError::UnusableKey(_))));
}

/// A leaf, its key, and the intermediate of `Middle` with whose key it was signed.
fn issued_by(middle: CertificateParams) -> [String; 3] {
    let root = CertifiedIssuer::self_signed(authority("Root"), key()).unwrap();
    let middle = CertifiedIssuer::signed_by(middle, key(), &root).unwrap();
    let key = key();
    let leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &middle).unwrap();
    [leaf.pem(), key.serialize_pem(), middle.pem()]
}

#[test]
fn an_issuer_is_who_signed_not_who_has_its_name() {
    let [leaf, key, middle] = issued_by(authority("Middle"));
    let [_, _, namesake] = issued_by(authority("Middle"));
    let read = |parts: &[&str]| Bundle::read(parts.concat().as_bytes());
    let error = Some(PemError::Namesake("Middle".to_owned()));
    assert_eq!(read(&[&leaf, &namesake, &key]).err(), error);
    assert_eq!(read(&[&leaf, &namesake, &middle, &key]).err(), error);
    assert_eq!(read(&[&leaf, &middle, &key]).unwrap().chain.len(), 2);
}

#[test]
fn an_intermediate_that_clients_refuse_is_told() {
    let mut middle = authority("Middle");
    middle.not_before = date_time_ymd(2020, 1, 1);
    middle.not_after = date_time_ymd(2020, 1, 11);
    let parts = issued_by(middle);
    let bundle = Bundle::read(parts.concat().as_bytes()).unwrap();
    let first = 1_577_836_800;
    let at = |days: i64| bundle.refused_issuer(first + days * 86_400);
    let told = |validity| Some(("Middle".to_owned(), validity));
    assert_eq!(at(-1), told(Validity::NotYet));
    assert_eq!(at(9), None);
    assert_eq!(at(12), told(Validity::Expired(2)));
}

#[test]
fn an_ed25519_key_can_be_used() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    let leaf = leaf.self_signed(&key).unwrap();
    let bundle = Bundle::read([leaf.pem(), key.serialize_pem()].concat().as_bytes()).unwrap();
    assert_eq!(bundle.chain.len(), 1, "a lone root is kept");
}

#[test]
fn a_star_is_one_label() {
    for (pattern, name, covered) in [
        ("a.test", "A.test", true),
        ("*.a.test", "b.a.test", true),
        ("*.a.test", "a.test", false),
        ("*.a.test", "c.b.a.test", false),
        ("*.a.test", "*.a.test", true),
        ("*.test", "*.a.test", false),
    ] {
        assert_eq!(covers(pattern, name), covered, "{pattern} {name}");
    }
}

#[test]
fn names_that_a_successor_lacks_are_told() {
    let leaf = |names: &[&str]| {
        let c = chain(names);
        let bundle = Bundle::read([c.leaf, c.key].concat().as_bytes());
        bundle.unwrap().leaf
    };
    let old = leaf(&["a.test", "www.a.test", "b.test"]);
    let new = leaf(&["*.a.test", "a.test"]);
    assert_eq!(new.lacks(&old), ["b.test"]);
    assert_eq!(old.lacks(&old), [""; 0]);
}

#[test]
fn validity_is_told_in_whole_days() {
    let c = chain(&["a.test"]);
    let mut leaf = Bundle::read([c.leaf, c.key].concat().as_bytes())
        .unwrap()
        .leaf;
    (leaf.not_before, leaf.not_after) = (1_000_000, 1_000_000 + 10 * 86_400);
    let at = |days: i64| leaf.validity(1_000_000 + days * 86_400 + 1);
    assert_eq!(at(-1), Validity::NotYet);
    assert_eq!(at(0), Validity::Days(9));
    assert_eq!(at(9), Validity::Days(0));
    assert_eq!(at(12), Validity::Expired(2));
}

#[test]
fn many_names_are_counted() {
    assert_eq!(in_short(&["a", "b", "c", "d", "e"]), "a, b, c, d, e");
    let six = ["a", "b", "c", "d", "e", "f"];
    assert_eq!(in_short(&six), "a, b, c, d, e and 1 more");
}
