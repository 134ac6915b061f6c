//! A floating address over two lbd: each is a machine of its own, a network namespace with keepalived as it is
//! shipped, but for the names.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use lb_tests::programs::{self, workspace};
use lb_tests::{Authority, Process, Setup, eventually};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// Where clients ask.
const FLOATING: &str = "192.0.2.10:80";

/// No takeover takes longer, also on a machine that is busy with other things. Measured on a quiet one it is
/// below a second.
const MOST: Duration = Duration::from_secs(20);

/// How long a client waits for an answer before it asks anew.
const PATIENCE: Duration = Duration::from_millis(250);

#[track_caller]
fn ip(args: &str) {
    let mut command = Command::new("ip");
    command.args(args.split_ascii_whitespace());
    Process::run(command).exits(0);
}

/// The network: a switch, with a cable to each machine and to the client.
struct Network {
    /// What its namespaces' names begin with.
    prefix: String,
}

impl Network {
    fn new() -> Self {
        let network = Self {
            prefix: format!("lbd{}", std::process::id()),
        };
        network.add("switch");
        let switch = network.name("switch");
        ip(&format!("-n {switch} link add bridge type bridge"));
        ip(&format!("-n {switch} link set bridge up"));
        for (host, address) in [("lb1", 1), ("lb2", 2), ("client", 9)] {
            network.add(host);
            let name = network.name(host);
            ip(&format!(
                "-n {switch} link add {host} type veth peer name eth0 netns {name}"
            ));
            ip(&format!("-n {switch} link set {host} master bridge up"));
            ip(&format!("-n {name} addr add 192.0.2.{address}/24 dev eth0"));
            ip(&format!("-n {name} link set eth0 up"));
        }
        network
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn add(&self, host: &str) {
        let name = self.name(host);
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
    }

    /// Pulls a machine's cable, or puts it back.
    fn cable(&self, host: &str, state: &str) {
        ip(&format!(
            "-n {} link set {host} {state}",
            self.name("switch")
        ));
    }

    /// A program on one of the machines; killed with all that it started.
    fn command(&self, host: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host)]);
        command
            .args(["setpriv", "--pdeathsig", "KILL"])
            .arg(program);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in ["lb1", "lb2", "client", "switch"] {
            let mut command = Command::new("ip");
            command.args(["netns", "delete", &self.name(host)]);
            Process::run(command);
        }
    }
}

/// One of the two machines: lbd, and keepalived beside it.
struct Machine {
    lbd: Process,
    keepalived: Process,
}

impl Machine {
    /// `status`: what this one answers, by which clients tell the two apart.
    fn start(network: &Network, folder: &Path, host: &str, status: u16) -> Self {
        let own = folder.join(host);
        fs::create_dir(&own).expect("the folder is ours");
        let mut machine = Self {
            lbd: start_lbd(network, &own, host, status, ""),
            keepalived: start_keepalived(network, folder, &own, host),
        };
        machine.is_fit(1);
        machine
    }

    /// Waits until keepalived has found for the nth time that lbd is there.
    #[track_caller]
    fn is_fit(&mut self, nth: usize) {
        eventually("keepalived finds lbd", || {
            assert!(self.keepalived.is_running(), "{}", self.said());
            let said = self.said();
            let times = said.matches("Entering BACKUP STATE").count();
            (times >= nth).then_some(()).ok_or(said)
        });
    }

    fn said(&self) -> String {
        self.keepalived.stdout.so_far() + &self.keepalived.stderr.so_far()
    }
}

/// `global`: lines of that section.
fn start_lbd(network: &Network, own: &Path, host: &str, status: u16, global: &str) -> Process {
    let config = own.join("lbd.toml");
    let text = format!(
        "[global]\nsocket = {:?}\nstate_dir = {:?}\nthreads = 2\n{global}\n\
         [admin]\nbind = \"127.0.0.1:8404\"\n\
         [frontend.web]\nbind = \"*:80\"\n\
         [[frontend.web.routes]]\nrespond = {{ status = {status} }}\n",
        own.join("lbd.sock"),
        own.join("state"),
    );
    fs::write(&config, text).expect("the folder is ours");
    let mut command = network.command(host, programs::lbd());
    command
        .arg("--config")
        .arg(config)
        .env_remove("NOTIFY_SOCKET");
    Process::spawn(command)
}

/// With the file that is shipped, but for what it says is to be changed, and paths.
fn start_keepalived(network: &Network, folder: &Path, own: &Path, host: &str) -> Process {
    let shipped = workspace().join("lbd/dist/keepalived.conf");
    let shipped = fs::read_to_string(shipped).expect("it is shipped");
    let check = folder.join("lbd-alive");
    let text = shipped
        .replace("router_id lb1", &format!("router_id {host}"))
        .replace("/usr/libexec/lbd-alive", &check.display().to_string());
    assert!(text.contains(&check.display().to_string()), "{text}");
    let config = own.join("keepalived.conf");
    fs::write(&config, text).expect("the folder is ours");
    // In a process namespace, so that all of it ends with what is started here.
    let mut command = network.command(host, Path::new("unshare"));
    command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
    command.args([
        "keepalived",
        "--dont-fork",
        "--log-console",
        "--log-detail",
        "--vrrp",
    ]);
    command.arg("--use-file").arg(config);
    command.arg("--pid").arg(own.join("keepalived.pid"));
    command.arg("--vrrp_pid").arg(own.join("vrrp.pid"));
    Process::spawn(command)
}

/// What clients of the floating address see: an answer's status, and when it came.
#[derive(Debug, Clone, Copy)]
struct Answer {
    status: u16,
    at: Instant,
}

/// A client that asks again and again, each time on a connection of its own.
struct Client {
    answers: Arc<Mutex<Vec<Answer>>>,
    /// Connections that were refused: an lbd that takes no more still had the address.
    refused: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    fn start(network: &Network) -> Self {
        let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
        let refused: Arc<AtomicU64> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let place = Path::new("/run/netns").join(network.name("client"));
        let thread = {
            let (answers, refused, stop) = (answers.clone(), refused.clone(), stop.clone());
            thread::spawn(move || {
                let place = fs::File::open(place).expect("the namespace is there");
                move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may go there");
                while !stop.load(Ordering::Relaxed) {
                    match ask() {
                        Ok(status) => answers.lock().expect("nobody panics").push(Answer {
                            status,
                            at: Instant::now(),
                        }),
                        Err(error) => {
                            let was_refused = error.kind() == ErrorKind::ConnectionRefused;
                            refused.fetch_add(was_refused.into(), Ordering::Relaxed);
                            // That comes at once, and is not to be asked for as fast as can be.
                            thread::sleep(Duration::from_millis(5));
                        }
                    }
                }
            })
        };
        Self {
            answers,
            refused,
            stop,
            thread: Some(thread),
        }
    }

    /// Who answers first.
    #[track_caller]
    fn first(&self) -> u16 {
        eventually("the floating address answers", || {
            let answers = self.answers.lock().expect("nobody panics");
            answers.first().map(|a| a.status).ok_or("nobody does")
        })
    }

    /// Waits until another one answers than this, and gives who, and how long nobody did.
    #[track_caller]
    fn goes_over(&self, from: u16) -> (u16, Duration) {
        eventually("another one answers", || {
            let answers = self.answers.lock().expect("nobody panics");
            let last = answers.iter().rposition(|a| a.status == from);
            let last = last.ok_or("it never answered")?;
            let next = answers.get(last + 1).ok_or("it was the last")?;
            Ok::<_, &str>((next.status, next.at - answers[last].at))
        })
    }

    /// Waits for so many more answers, which all are this one's.
    #[track_caller]
    fn stays(&self, status: u16, more: usize) {
        let seen = || self.answers.lock().expect("nobody panics").clone();
        let before = seen().len();
        eventually("it goes on", || {
            let answers = seen();
            let others = answers[before..].iter().filter(|a| a.status != status);
            assert_eq!(others.count(), 0, "the address moved");
            let so_far = answers.len() - before;
            (so_far >= more).then_some(()).ok_or(so_far)
        });
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask() -> io::Result<u16> {
    let floating: SocketAddr = FLOATING.parse().expect("it is an address");
    let mut stream = TcpStream::connect_timeout(&floating, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..]).ok();
    let status = status.and_then(|status| status.parse().ok());
    status.ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Says what was measured: `cargo test --test real -- --ignored --nocapture keepalived`.
#[expect(clippy::print_stderr, reason = "figures for the README")]
#[track_caller]
fn measured(what: &str, lost: Duration) {
    eprintln!("{what}: nobody answered for {lost:?}");
    assert!(lost < MOST, "{what}: {lost:?}");
}

#[test]
#[ignore = "needs openssl"]
fn the_check_speaks_tls_where_it_is_told_to() {
    let setup = Setup::new("");
    let certs = setup.folder().join("certs");
    fs::create_dir(&certs).expect("the folder is ours");
    // It is about lbd's life, and no certificate's.
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
    let expired = Authority::new().issue_for(&["lb.test"], long_ago, long_ago);
    expired.write(&certs, "lb.test.pem");
    let config = format!(
        "[admin]\nbind = {{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}\n\
         [frontend.web]\nbind = \"127.0.0.1:0\"\n[[frontend.web.routes]]\nrespond = {{ status = 200 }}\n"
    );
    let mut lbd = setup.config(config).start();
    let port = lbd.admin().port().to_string();
    let check = |how: &[&str]| {
        let mut check = Command::new("bash");
        check.arg(workspace().join("lbd/dist/lbd-alive"));
        check.args(["127.0.0.1", &port]).args(how);
        Process::spawn(check)
    };
    check(&["tls"]).wait().exits(0);
    check(&[]).wait().exits(1);
    let during = check(&["tls"]);
    lbd.kill9();
    during.wait().exits(1);
    check(&["tls"]).wait().exits(1);
}

#[test]
#[ignore = "needs keepalived and root"]
fn clients_of_a_floating_address_go_on() {
    let folder = TempDir::with_prefix("floating-").expect("a folder can be made");
    let readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), readable).expect("the folder is ours");
    let check = workspace().join("lbd/dist/lbd-alive");
    fs::copy(check, folder.path().join("lbd-alive")).expect("it is shipped");

    let network = Network::new();
    let hosts = [("lb1", 200), ("lb2", 203)];
    let mut machines =
        hosts.map(|(host, status)| Machine::start(&network, folder.path(), host, status));
    let at = |status: u16| usize::from(status == hosts[1].1);
    let client = Client::start(&network);
    let mut active = client.first();

    machines[at(active)].lbd.kill();
    let (next, lost) = client.goes_over(active);
    measured("lbd is killed", lost);
    let again = |machines: &mut [Machine; 2], status: u16, nth: usize| {
        let (host, _) = hosts[at(status)];
        let own = folder.path().join(host);
        machines[at(status)].lbd =
            start_lbd(&network, &own, host, status, "shutdown_delay = \"1m\"");
        machines[at(status)].is_fit(nth);
    };
    again(&mut machines, active, 2);
    client.stays(next, 100);
    active = next;

    machines[at(active)].lbd.signal(Signal::TERM);
    let (next, lost) = client.goes_over(active);
    measured("lbd is told to stop", lost);
    again(&mut machines, active, 2);
    client.stays(next, 100);
    active = next;

    // Both were started again, now with a `shutdown_delay`.
    let refused = || client.refused.load(Ordering::Relaxed);
    let before = refused();
    machines[at(active)].lbd.signal(Signal::TERM);
    let (next, lost) = client.goes_over(active);
    measured("lbd is told to stop, with shutdown_delay", lost);
    client.stays(next, 100);
    assert_eq!(refused(), before, "somebody was refused");
    machines[at(active)].lbd.kill();
    again(&mut machines, active, 3);
    active = next;

    let (host, _) = hosts[at(active)];
    network.cable(host, "down");
    let (next, lost) = client.goes_over(active);
    measured("its machine is cut off", lost);
    network.cable(host, "up");
    client.stays(next, 100);
}
