//! What a thousand certificates cost: the start, reading them again, and a handshake.
//!
//! It needs nothing, but a machine to itself: what it asserts is far from what it measures.

use std::fs;
use std::time::{Duration, Instant};

use lb_proto::request::ReloadCerts;
use lb_tests::daemon::NO_CHECK;
use lb_tests::tls::Client;
use lb_tests::{Authority, Lbd, Origin, Setup};

const MANY: usize = 1000;
const HANDSHAKES: usize = 300;

/// What was measured of a daemon with so many certificates.
struct Measured {
    start: Duration,
    again: Duration,
    handshake: Duration,
}

fn measure(authority: &Authority, origin: &Origin, certificates: usize) -> Measured {
    let setup = Setup::new("");
    let certs = setup.folder().join("certs");
    fs::create_dir(&certs).expect("the folder is ours");
    for n in 0..certificates {
        let issued = authority.issue(&[&format!("n{n}.test"), &format!("*.n{n}.test")]);
        issued.write(&certs, &format!("{n:04}.pem"));
    }
    let server = origin.addr();
    let bind = format!("{{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}");
    let config = format!(
        "[frontend.web]\nbind = {bind}\ndefault_backend = \"app\"\n\n\
         [backend.app]\n{NO_CHECK}\nservers = [{{ name = \"a\", address = \"{server}\" }}]\n"
    );
    let began = Instant::now();
    let lbd = setup.config(config).start();
    let start = began.elapsed();
    let began = Instant::now();
    lbd.client().call(&ReloadCerts {}).expect("it reads them");
    let again = began.elapsed();
    Measured {
        start,
        again,
        handshake: handshake(authority, &lbd),
    }
}

/// The median of a whole handshake with a request.
fn handshake(authority: &Authority, lbd: &Lbd) -> Duration {
    let client = Client::new(authority, "www.n0.test").without_resumption();
    let mut times: Vec<Duration> = (0..HANDSHAKES)
        .map(|_| {
            let began = Instant::now();
            client.shake(lbd.addr()).expect("it is shown one");
            began.elapsed()
        })
        .collect();
    times.sort();
    times[HANDSHAKES / 2]
}

#[test]
#[ignore = "needs a machine to itself"]
fn a_thousand_certificates_are_loaded_in_no_time_and_slow_no_handshake_down() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let one = measure(&authority, &origin, 1);
    let many = measure(&authority, &origin, MANY);
    for (
        count,
        Measured {
            start,
            again,
            handshake,
        },
    ) in [(1, &one), (MANY, &many)]
    {
        println!(
            "{count:>5} certificates: start {start:?}, again {again:?}, handshake {handshake:?}"
        );
    }
    assert!(many.start < Duration::from_secs(5), "{:?}", many.start);
    assert!(many.again < Duration::from_secs(5), "{:?}", many.again);
    assert!(many.handshake < 2 * one.handshake);
}
