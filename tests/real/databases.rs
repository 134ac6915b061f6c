//! PostgreSQL and Redis through mode tcp, asked by their own clients.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use lb_proto::state::State;
use lb_tests::port::Port;
use lb_tests::{Lbd, Process, eventually, is};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::program::Program;

/// A frontend and a backend `db` in mode tcp.
fn tcp(lines: &str, servers: &[(&str, SocketAddr)]) -> String {
    let mut config = format!(
        "[frontend.web]\nmode = \"tcp\"\nbind = \"127.0.0.1:0\"\ndefault_backend = \"db\"\n\n\
         [backend.db]\nmode = \"tcp\"\n{lines}\nservers = [\n"
    );
    for (name, address) in servers {
        let _ = writeln!(config, "{{ name = \"{name}\", address = \"{address}\" }},");
    }
    config + "]\n"
}

#[track_caller]
fn no_session_is_left(lbd: &Lbd) {
    eventually("every count is zero", || {
        let status = lbd.status();
        let servers = status.backends[0].servers.iter().map(|s| s.sessions);
        is(
            (status.frontends[0].connections, servers.sum::<u64>()),
            (0, 0),
        )
    });
}

/// Where Debian keeps what only a server's administrator runs.
fn postgres_program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let folders = versions.map(|version| version.expect("it can be listed").path());
    let newest = folders.max().expect("a version is there");
    newest.join("bin").join(name)
}

/// A command that is not run as root: PostgreSQL refuses that.
fn unprivileged(program: &Path) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
        .arg(program);
    command
}

/// The owner of PostgreSQL's own files.
fn postgres_user() -> u32 {
    let output = {
        let mut command = Command::new("id");
        command.args(["-u", "postgres"]);
        Process::run(command).exits(0)
    };
    output.stdout.trim().parse().expect("a number")
}

/// A cluster of its own.
struct Postgres {
    program: Program,
    _folder: TempDir,
}

impl Postgres {
    fn start() -> Self {
        let folder = TempDir::new().expect("there is room");
        if geteuid().is_root() {
            chown(folder.path(), Some(postgres_user()), None).expect("root may");
        }
        let data = folder.path().join("data");
        let mut init = unprivileged(&postgres_program("initdb"));
        init.args(["--auth=trust", "--username=postgres", "--no-sync", "-D"])
            .arg(&data)
            .current_dir("/");
        Process::run(init).exits(0);
        let program = Program::start(|port| {
            let mut command = unprivileged(&postgres_program("postgres"));
            command
                .arg("-D")
                .arg(&data)
                .arg("-k")
                .arg(folder.path())
                .args(["-h", "127.0.0.1", "-c", "fsync=off"])
                .args(["-p", &port.addr().port().to_string()])
                .current_dir("/");
            command
        });
        Self {
            program,
            _folder: folder,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.program.port.addr()
    }
}

/// Its client; the statements are arguments, each `-c` a transaction of its own on one connection.
fn psql(addr: SocketAddr, statements: &[&str]) -> Command {
    let mut command = Command::new("psql");
    command
        .env("PGCONNECT_TIMEOUT", "30")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--set=ON_ERROR_STOP=1", "--username=postgres"])
        .args(["--host", &addr.ip().to_string()])
        .args(["--port", &addr.port().to_string()]);
    for statement in statements {
        command.args(["--command", statement]);
    }
    command
}

/// What one statement answers.
#[track_caller]
fn ask(addr: SocketAddr, statement: &str) -> String {
    let output = Process::run(psql(addr, &[statement])).exits(0);
    output.stdout.trim_end().to_owned()
}

/// Waits until a client of it is in `pg_sleep`.
fn wait_until_it_sleeps(postgres: &Postgres) {
    eventually("a client sleeps", || {
        let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        is(ask(postgres.addr(), sleeping), "1".to_owned())
    });
}

#[test]
#[ignore = "needs postgresql"]
fn postgresql_answers_stores_returns_and_cancels() {
    let postgres = Postgres::start();
    let lbd = Lbd::start(tcp("", &[("a", postgres.addr())]));
    let addr = lbd.addr();
    let sums = "select count(*), sum(hashtext(v)::bigint) from t";
    let made = Process::run(psql(
        addr,
        &[
            "create table t as select n, repeat(md5(n::text), 10) v from generate_series(1, 20000) n",
            sums,
        ],
    ))
    .exits(0);

    // Some 6 MiB down, and up again.
    let file = lbd.folder().join("table");
    let (out, back) = (
        format!("\\copy t to '{}'", file.display()),
        format!("\\copy t from '{}'", file.display()),
    );
    Process::run(psql(addr, &[&out, "truncate t", &back])).exits(0);
    assert!(fs::metadata(&file).is_ok_and(|file| file.len() > 6_000_000));
    assert_eq!(ask(addr, sums), made.stdout.trim_end());

    let all: Vec<_> = (0..10)
        .map(|n| Process::spawn(psql(addr, &[&format!("select {n} from pg_sleep(0.1)")])))
        .collect();
    for (n, one) in all.into_iter().enumerate() {
        assert_eq!(one.wait().exits(0).stdout, format!("{n}\n"));
    }

    // A cancel is a second connection that names the first.
    let sleeper = Process::spawn(psql(addr, &["select pg_sleep(600)"]));
    wait_until_it_sleeps(&postgres);
    sleeper.signal(Signal::INT);
    sleeper
        .wait()
        .says("canceling statement due to user request");
    no_session_is_left(&lbd);
    assert_eq!(lbd.server("db/a").errors.connect, 0);
}

#[test]
#[ignore = "needs postgresql"]
fn ten_clients_of_pgbench_commit_everything_in_every_protocol() {
    let postgres = Postgres::start();
    let lbd = Lbd::start(tcp("", &[("a", postgres.addr())]));
    let pgbench = |args: &[&str]| {
        let mut command = Command::new(postgres_program("pgbench"));
        command
            .env("PGHOST", lbd.addr().ip().to_string())
            .env("PGPORT", lbd.addr().port().to_string())
            .args(["--username=postgres", "--no-vacuum"])
            .args(args)
            .arg("postgres");
        Process::run(command).exits(0)
    };
    pgbench(&["--initialize", "--quiet"]);
    for protocol in ["simple", "extended", "prepared"] {
        let clients = ["--client=10", "--jobs=2", "--transactions=50"];
        pgbench(&[&clients[..], &["--protocol", protocol]].concat())
            .says("transactions actually processed: 500/500")
            .says("number of failed transactions: 0 ");
    }
    let sums = "select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts) \
                from pgbench_history";
    assert_eq!(ask(lbd.addr(), sums), "1500|t");

    // psql reads with a cursor: a thousand rows, an answer, a thousand rows more.
    let all = "select n from generate_series(1, 100000) n";
    let output = Process::run(psql(lbd.addr(), &["\\set FETCH_COUNT 1000", all])).exits(0);
    let numbers = (1..=100_000).map(|n| format!("{n}\n"));
    assert!(output.stdout == numbers.collect::<String>());
    no_session_is_left(&lbd);
}

#[test]
#[ignore = "needs postgresql"]
fn a_drain_waits_for_postgresqls_client_and_a_dead_server_is_passed_over() {
    let postgres = Postgres::start();
    let gone = Port::new();
    let lbd = Lbd::start(tcp(
        "health = { interval = \"100ms\", rise = 1, fall = 1 }",
        &[("gone", gone.addr()), ("a", postgres.addr())],
    ));
    for n in 0..4 {
        assert_eq!(ask(lbd.addr(), &format!("select {n}")), n.to_string());
    }
    let client = Process::spawn(psql(lbd.addr(), &["select pg_sleep(600)"]));
    wait_until_it_sleeps(&postgres);
    let mut drain = lbd.lbctl_in_background(["drain", "db/a", "--timeout", "5m"]);
    eventually("it drains", || is(lbd.server("db/a").state, State::Drain));
    Process::run(psql(lbd.addr(), &["select 1"])).exits(2);
    assert!(drain.is_running(), "the command ended before the session");
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'";
    assert_eq!(ask(postgres.addr(), end), "t");
    client.wait().says("terminating connection");
    drain.wait().exits(0);
    no_session_is_left(&lbd);
}

/// A server of its own, without files.
fn redis() -> Program {
    Program::start(|port| {
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.addr().port().to_string()]);
        command
    })
}

fn redis_client(program: &str, addr: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(["-h", &addr.ip().to_string()])
        .args(["-p", &addr.port().to_string()])
        .args(args);
    command
}

#[track_caller]
fn redis_says(addr: SocketAddr, args: &[&str]) -> String {
    let output = Process::run(redis_client("redis-cli", addr, args)).exits(0);
    output.stdout.trim_end().to_owned()
}

#[test]
#[ignore = "needs redis"]
fn redis_takes_pipelines_and_publishes_through_lbd() {
    let redis = redis();
    let lbd = Lbd::start(tcp("", &[("a", redis.port.addr())]));
    let addr = lbd.addr();
    let load = [
        "-q",
        "-n",
        "20000",
        "-c",
        "20",
        "-P",
        "16",
        "-t",
        "set,lrange_100",
    ];
    Process::run(redis_client("redis-benchmark", addr, &load))
        .exits(0)
        .says("SET: ")
        .says("LRANGE_100");
    let large = "x".repeat(100_000);
    assert_eq!(redis_says(addr, &["set", "large", &large]), "OK");
    assert_eq!(redis_says(addr, &["get", "large"]), large);

    let listener = Process::spawn(redis_client("redis-cli", addr, &["subscribe", "news"]));
    eventually("it listens", || {
        is(redis_says(addr, &["publish", "news", "first"]), "1".into())
    });
    eventually("the word has come", || {
        match listener.stdout.so_far().contains("first") {
            true => Ok(()),
            false => Err(listener.stdout.so_far()),
        }
    });
    drop(listener);
    no_session_is_left(&lbd);
}

#[test]
#[ignore = "needs redis"]
fn a_redis_that_is_killed_loses_its_clients_and_the_other_takes_over() {
    let (mut first, second) = (redis(), redis());
    let lbd = Lbd::start(tcp(
        "health = { interval = \"100ms\", rise = 1, fall = 1 }",
        &[("a", first.port.addr()), ("b", second.port.addr())],
    ));
    let addr = lbd.addr();
    let mut blocked = Process::spawn(redis_client("redis-cli", addr, &["blpop", "none", "0"]));
    eventually("it waits", || is(lbd.server("db/a").sessions, 1));
    first.process.kill();
    eventually("its client is told", || is(blocked.is_running(), false));
    lbd.wait_for_state("db/a", State::Down);
    assert_eq!(redis_says(addr, &["set", "k", "v"]), "OK");
    assert!(lbd.server("db/b").sessions_total > 0);
    no_session_is_left(&lbd);
}
