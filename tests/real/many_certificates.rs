//! What a thousand certificates cost: the start, reading them again, and a handshake.
//!
//! Of CPU time of the daemon's, so that whatever else runs on the machine makes it no more.

use std::fs;
use std::time::Duration;

use lb_proto::request::ReloadCerts;
use lb_tests::daemon::NO_CHECK;
use lb_tests::tls::Client;
use lb_tests::{Authority, Lbd, Origin, Setup};

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
        let lbd = setup.config(config).start();
        let start = cpu_time(&lbd);
        lbd.client()
            .call(&ReloadCerts::default())
            .expect("it reads them");
        let again = cpu_time(&lbd) - start;
        Self { lbd, start, again }
    }
}

/// What a daemon has had of the CPUs, to a hundredth of a second (proc_pid_stat(5)).
fn cpu_time(lbd: &Lbd) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", lbd.pid())).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("it has a name");
    let fields = rest.split_whitespace().skip(14 - 3).take(2);
    let ticks: u64 = fields.map(|n| n.parse::<u64>().expect("a number")).sum();
    Duration::from_secs(ticks) / 100
}

/// What whole handshakes cost each daemon.
fn handshakes(client: &Client, daemons: [&Daemon; 2]) -> [Duration; 2] {
    daemons.map(|daemon| {
        let address = daemon.lbd.addr();
        let before = cpu_time(&daemon.lbd);
        for _ in 0..HANDSHAKES {
            client.shake(address).expect("it is shown one");
        }
        cpu_time(&daemon.lbd) - before
    })
}

#[test]
#[ignore = "takes a while"]
fn a_thousand_certificates_are_loaded_in_no_time_and_slow_no_handshake_down() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [one, many] = [1, MANY].map(|count| Daemon::start(&authority, &origin, count));
    let client = Client::new(&authority, "www.n0.test").without_resumption();
    let [with_one, with_many] = handshakes(&client, [&one, &many]);
    for (count, daemon, handshake) in [(1, &one, with_one), (MANY, &many, with_many)] {
        let Daemon { start, again, .. } = daemon;
        println!(
            "{count:>5} certificates: start {start:?}, again {again:?}, {HANDSHAKES} handshakes {handshake:?}"
        );
    }
    assert!(many.start < Duration::from_secs(5), "{:?}", many.start);
    assert!(many.again < Duration::from_secs(5), "{:?}", many.again);
    assert!(with_many < 2 * with_one);
}
