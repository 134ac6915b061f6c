//! What a thousand certificates cost: the start, reading them again, and a handshake.
//!
//! It needs nothing, but a machine to itself: what it asserts is far from what it measures.

use std::fs;
use std::time::{Duration, Instant};

use lb_proto::request::ReloadCerts;
use lb_tests::daemon::NO_CHECK;
use lb_tests::tls::Client;
use lb_tests::{Authority, Lbd, Origin, Setup, programs};

const MANY: usize = 1000;
const HANDSHAKES: usize = 300;

/// A daemon with so many certificates.
struct Daemon {
    lbd: Lbd,
    start: Duration,
    again: Duration,
}

impl Daemon {
    fn start(authority: &Authority, origin: &Origin, certificates: usize) -> Self {
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
        lbd.client()
            .call(&ReloadCerts::default())
            .expect("it reads them");
        Self {
            lbd,
            start,
            again: began.elapsed(),
        }
    }
}

/// The medians of whole handshakes with a request, in turns, so that what else the machine does is the
/// same for all.
fn handshakes(client: &Client, daemons: [&Daemon; 2]) -> [Duration; 2] {
    let addresses = daemons.map(|daemon| daemon.lbd.addr());
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..HANDSHAKES {
        for (address, times) in addresses.into_iter().zip(&mut times) {
            let began = Instant::now();
            client.shake(address).expect("it is shown one");
            times.push(began.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort();
        times[HANDSHAKES / 2]
    })
}

#[test]
#[ignore = "needs a machine to itself"]
fn a_thousand_certificates_are_loaded_in_no_time_and_slow_no_handshake_down() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    // Building them is not to be measured.
    programs::lbd();
    let [one, many] = [1, MANY].map(|count| Daemon::start(&authority, &origin, count));
    let client = Client::new(&authority, "www.n0.test").without_resumption();
    let [with_one, with_many] = handshakes(&client, [&one, &many]);
    for (count, daemon, handshake) in [(1, &one, with_one), (MANY, &many, with_many)] {
        let Daemon { start, again, .. } = daemon;
        println!(
            "{count:>5} certificates: start {start:?}, again {again:?}, handshake {handshake:?}"
        );
    }
    assert!(many.start < Duration::from_secs(5), "{:?}", many.start);
    assert!(many.again < Duration::from_secs(5), "{:?}", many.again);
    assert!(with_many < 2 * with_one);
}
