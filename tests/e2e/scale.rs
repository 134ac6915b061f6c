//! A thousand backends of ten servers. How fast is `cargo perf`'s to say; here it works at all.

use std::time::Duration;

use lb_proto::state::Health;
use lb_proto::status::Status;
use lb_tests::eventually::{is, within};
use lb_tests::wire::get;
use lb_tests::{Lbd, Origin};
use rustix::process::Signal;

/// Ten thousand probes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);

fn config(origins: &[Origin], interval: &str) -> String {
    let backends: String = (0..1000)
        .map(|n| {
            let servers: String = origins
                .iter()
                .map(|o| {
                    format!(
                        "  {{ name = \"{}\", address = \"{}\" }},\n",
                        o.name(),
                        o.addr()
                    )
                })
                .collect();
            format!(
                "[backend.b{n}]\nhealth = {{ type = \"http\", path = \"/healthz\", \
                 interval = \"{interval}\", timeout = \"240s\" }}\nservers = [\n{servers}]\n"
            )
        })
        .collect();
    format!("[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"b999\"\n{backends}")
}

/// Asks until there is an answer: of ten thousand servers a busy machine has much to say.
#[track_caller]
fn status(lbd: &Lbd) -> Status {
    within(PATIENCE, "status is told", || lbd.try_status())
}

#[test]
fn ten_thousand_servers_start_are_probed_and_reload() {
    let names = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];
    let origins = Origin::start_all(names);
    let mut lbd = Lbd::start(config(&origins, "20s"));
    let at = status(&lbd).frontends[0].binds[0].clone();
    let at = at.parse().expect("a bind is an address");
    assert_eq!(get(at, "/").status, 200);
    within(PATIENCE, "every server has been probed and is up", || {
        let status = status(&lbd);
        let servers = status.backends.iter().flat_map(|b| &b.servers);
        let waiting = servers.filter(|s| s.health != Health::Up).count();
        is(waiting, 0)
    });

    lbd.rewrite(config(&origins[..9], "21s"));
    lbd.signal(Signal::HUP);
    let status = within(PATIENCE, "it has reloaded", || {
        let status = status(&lbd);
        is(status.daemon.config.generation, 2).map(|()| status)
    });
    let servers: Vec<_> = status.backends.iter().flat_map(|b| &b.servers).collect();
    assert_eq!(servers.len(), 9000);
    let kept = servers.iter().filter(|s| s.health == Health::Up).count();
    assert_eq!(kept, 9000, "health was lost");
    for _ in 0..20 {
        assert_eq!(get(at, "/").status, 200);
    }
}
