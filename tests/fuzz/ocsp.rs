//! OCSP responses: whatever stands in the file is understood or is not, and what is understood goes to
//! clients as it came, whole, up to its end.

#![no_main]

use std::sync::LazyLock;

use lb_proto::pem::Ocsp;
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

static LEAF: LazyLock<CertificateDer<'static>> = LazyLock::new(|| {
    let samples = include_bytes!("../../lb-proto/src/pem/ocsp/samples.pem");
    CertificateDer::from_pem_slice(samples).unwrap()
});

fuzz_target!(|input: &[u8]| {
    let Ok(said) = Ocsp::read(input.to_vec(), &LEAF) else {
        return;
    };
    assert_eq!(said.response, input);
    assert!(!said.period.holds(said.period.next_update.saturating_add(1)));
    let cut = input[..input.len() - 1].to_vec();
    assert!(Ocsp::read(cut, &LEAF).is_err());
    let followed = [input, &[0]].concat();
    assert!(Ocsp::read(followed, &LEAF).is_err());
});
