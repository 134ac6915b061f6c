//! Texts as people and disks leave them.

use std::sync::LazyLock;

use ::pem::{Pem, encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rcgen::{CertificateParams, KeyPair};

use super::*;

struct Whole {
    text: String,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let key = KeyPair::generate().unwrap();
    let names = ["example.com", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
    let leaf = CertificateParams::new(names).unwrap();
    let leaf = leaf.self_signed(&key).unwrap();
    Whole {
        text: leaf.pem() + &key.serialize_pem(),
        certificate: leaf.der().to_vec(),
        key: key.serialize_der(),
    }
});

#[test]
fn what_an_editor_adds_does_no_harm() {
    let text = &WHOLE.text;
    let expected = Bundle::read(text.as_bytes()).unwrap().leaf;
    let junk = "a line that nobody needs\n".repeat(5_000);
    let (leaf, key) = text.split_at(text.find("-----BEGIN PRIVATE").unwrap());
    for edited in [
        format!("\u{feff}{text}"),
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
        text.trim_end().to_owned(),
        text.replace('\n', "\n\n"),
        text.replace('\n', " \n"),
        format!("{key}{leaf}"),
        format!("{key}\u{feff}{leaf}"),
        format!("{junk}{text}{junk}"),
        format!("Bag Attributes\n    friendlyName: x\n{text}"),
    ] {
        let shown = edited.chars().take(60).collect::<String>();
        let read = Bundle::read(edited.as_bytes());
        assert_eq!(
            read.unwrap_or_else(|e| panic!("{shown:?}: {e}")).leaf,
            expected
        );
    }
}

/// One byte, or a piece, is another.
#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index, usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), vec(any::<u8>(), 1..40)).prop_map(|(at, b)| Damage::Insert(at, b)),
        (any::<Index>(), 1_usize..200).prop_map(|(at, count)| Damage::Cut(at, count)),
    ];
    vec(one, 1..4)
}

fn damaged(bytes: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for one in damage {
        if bytes.is_empty() {
            break;
        }
        match one {
            Damage::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Cut(at, count) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + count);
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(damage in damage(), noise in vec(any::<u8>(), 0..200)) {
        let text = damaged(WHOLE.text.as_bytes(), &damage);
        // That it returns is all that is asked.
        let _ = Bundle::read(&text);
        let _ = Bundle::assemble(&noise, &text);
        let _ = Bundle::assemble(&text, &noise);
    }

    #[test]
    fn no_certificate_and_no_key_make_it_panic(first in damage(), second in damage()) {
        let certificate = Pem::new("CERTIFICATE", damaged(&WHOLE.certificate, &first));
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
            let key = encode(&Pem::new(label, damaged(&WHOLE.key, &second)));
            let _ = Bundle::read((encode(&certificate) + &key).as_bytes());
        }
        let whole = encode(&Pem::new("PRIVATE KEY", &*WHOLE.key));
        let _ = Bundle::read((encode(&certificate) + &whole).as_bytes());
    }
}
