//! Many certificates, and many renewals: every client is shown a right one, and no connection minds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use lb_proto::request::ReloadCerts;
use lb_tests::tls::Client;
use lb_tests::wire::request;
use lb_tests::{Authority, Issued, Origin, Process, RawOrigin, Wire, lbctl};

use crate::reload_certs::shown;
use crate::tls::{config, start};

#[test]
fn of_a_thousand_each_is_shown_for_its_name() {
    const MANY: usize = 1000;
    let authority = Authority::new();
    let origin = Origin::start("a");
    let name = |n: usize| format!("n{n}.test");
    let all: Vec<(String, Issued)> = (0..MANY)
        .map(|n| (format!("{n:04}.pem"), authority.issue(&[&name(n)])))
        .collect();
    let files: Vec<(&str, &Issued)> = all.iter().map(|(file, one)| (&**file, one)).collect();
    let lbd = start(&config("", origin.addr()), &files);
    for n in [0, 1, 499, MANY - 1] {
        assert_eq!(shown(&authority, &lbd, &name(n)), all[n].1.fingerprint());
    }
    let new = authority.issue(&[&name(700)]);
    new.write(&lbd.folder().join("certs"), "0700.pem");
    let read = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert_eq!(read.shown.len(), MANY);
    assert_eq!(shown(&authority, &lbd, &name(700)), new.fingerprint());
    assert_eq!(
        shown(&authority, &lbd, &name(701)),
        all[701].1.fingerprint()
    );
    assert_eq!(lbd.status().certificates.len(), MANY);
    lbd.lbctl(["status"])
        .exits(0)
        .says("… 990 more with more days left: lbctl cert list");
}

#[test]
fn two_hundred_renewals_under_load_fail_no_handshake_and_touch_no_connection() {
    const RENEWALS: usize = 200;
    const CLIENTS: usize = 2;
    let authority = Authority::new();
    let origin = Origin::start("a");
    let chat = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 101 Go on\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        for _ in 0..=RENEWALS {
            let message = peer.bytes(4);
            peer.send(message);
        }
    });
    let issued = [(); 2].map(|()| authority.issue(&["a.test"]));
    let chat_at = chat.addr();
    let config = config("", origin.addr()).replace(
        "[backend.app]",
        "[[frontend.web.routes]]\npath = \"/chat\"\nbackend = \"chat\"\n\n[backend.app]",
    ) + &format!(
        "\n[backend.chat]\nhealth = false\nservers = [{{ name = \"c\", address = \"{chat_at}\" }}]\n"
    );
    let lbd = start(&config, &[("a.test.pem", &issued[0])]);
    let client = Client::new(&authority, "a.test");
    let lineages = [0, 1].map(|n| {
        let lineage = lbd.folder().join(format!("live/{n}"));
        issued[n].write_lineage(&lineage)
    });
    let certs = lbd.folder().join("certs");
    let mut open = Wire::connect(client.before(lbd.addr()));
    let mut socket = Wire::connect(client.before(lbd.addr()));
    socket
        .send("GET /chat HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(socket.head().expect("it is upgraded").status, 101);
    let (done, handshakes) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let end = Ended(&done);
        for n in 0..CLIENTS {
            // Some resume, where that is offered, and some never do.
            let client = match n {
                0 => client.clone(),
                _ => client.clone().without_resumption(),
            };
            let (done, handshakes, issued, lbd) = (&done, &handshakes, &issued, &lbd);
            scope.spawn(move || {
                let addr = lbd.addr();
                while !done.load(Ordering::Relaxed) {
                    let shaken = client.shake(addr).expect("no handshake fails");
                    let right = |leaf| issued.iter().any(|one| one.chain()[0] == leaf);
                    assert!(shaken.leaf.is_none_or(right));
                    handshakes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for n in 1..=RENEWALS {
            if n % 10 == 0 {
                let mut hook = lbctl::command(&lbd.socket(), ["cert", "install"]);
                hook.args(["--name", "a.test", "--lineage"]);
                hook.arg(&lineages[n % 2]);
                Process::run(hook).exits(0).says("read back for 1 name");
            } else {
                issued[n % 2].write_anew(&certs, "a.test.pem");
                let read = lbd.client().call(&ReloadCerts::default());
                assert!(read.expect("it reads them").changed);
            }
            assert_eq!(
                shown(&authority, &lbd, "a.test"),
                issued[n % 2].fingerprint()
            );
            assert_eq!(open.send(request("GET", "/")).response().status, 200);
            assert_eq!(socket.send("ping").bytes(4), Ok(b"ping".to_vec()));
        }
        drop(end);
    });
    assert_eq!(socket.send("last").bytes(4), Ok(b"last".to_vec()));
    assert!(handshakes.into_inner() > RENEWALS);
    assert_eq!(lbd.status().daemon.config.generation, 1);
}

/// Ends the load also where the test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
