//! What Prometheus makes of `/metrics`, and of the rules and the dashboard that are shipped.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lb_tests::daemon::{QUICK_CHECK, app};
use lb_tests::programs::workspace;
use lb_tests::wire::get;
use lb_tests::{Authority, Lbd, Origin, Process, Setup, eventually, is, tls};
use rustix::process::Signal;
use serde_json::Value;

use crate::program::Program;

fn shipped(name: &str) -> PathBuf {
    workspace().join("lbd/dist").join(name)
}

/// One that has a sample of everything: in the clear and under TLS, on both sides.
fn everything(folder: &Path, origin: &Origin) -> Lbd {
    let file = folder.join("a \"strange\" \\ name.pem");
    let authority = Authority::new();
    let pem = authority.issue(&["lb1.example"]).together();
    std::fs::write(&file, pem).expect("the folder is ours");
    let app = app(QUICK_CHECK, [origin]);
    let more = format!(
        "[frontend.secure]\ndefault_backend = \"app\"\nmax_connections = 100\n\
         bind = [{{ address = \"127.0.0.1:0\", tls = {{ certs = [{file:?}] }} }}]\n\
         [backend.far]\nhealth = false\nservers = [{{ name = \"f\", address = \"{}\", \
         max_connections = 5, tls = {{ verify = false }} }}]\n",
        origin.addr()
    );
    let lbd = Lbd::start(format!("[admin]\nbind = \"127.0.0.1:0\"\n{app}{more}"));
    lbd.wait_until_healthy("app/a");
    assert_eq!(get(lbd.addr(), "/").status, 200);
    let client = tls::Client::new(&authority, "lb1.example");
    client.shake(lbd.addr_of("secure")).expect("TLS is spoken");
    lbd
}

/// The families and samples that a scrape has, by their names.
fn names(lbd: &Lbd) -> BTreeSet<String> {
    let text = get(lbd.admin(), "/metrics").text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    samples.map(name).collect()
}

/// The metrics that an expression names.
fn named(expr: &str) -> impl Iterator<Item = &str> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("lbd_") || word.starts_with("process_"))
}

/// Every expression of a document: `expr`, wherever it stands.
fn expressions(document: &Value) -> Vec<&str> {
    match document {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(expr) if key == "expr" => vec![expr.as_str()],
                Value::String(query) if key == "query" => vec![query.as_str()],
                value => expressions(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

fn promtool(args: &[&str]) -> Command {
    let mut command = Command::new("promtool");
    command.args(args);
    command
}

#[test]
#[ignore = "needs promtool"]
fn promtool_finds_nothing_wrong() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let origin = Origin::start("a");
    let lbd = everything(folder.path(), &origin);
    let metrics = get(lbd.admin(), "/metrics").body;
    let mut promtool = promtool(&["check", "metrics", "--extended"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there");
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin.write_all(&metrics).expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("lbd_certificate_not_after_timestamp_seconds"),
        "{told}"
    );
}

#[test]
#[ignore = "needs promtool"]
fn the_rules_alert_when_they_should_and_not_before() {
    let rules = shipped("prometheus/lbd.rules.yml");
    let rules = rules.to_str().expect("our paths are text");
    Process::run(promtool(&["check", "rules", rules])).exits(0);
    let tests = shipped("prometheus/lbd.rules.test.yml");
    let tests = tests.to_str().expect("our paths are text");
    Process::run(promtool(&["test", "rules", tests])).exits(0);
}

/// A Prometheus that scrapes this lbd, with the rules that are shipped.
struct Prometheus {
    program: Program,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(lbd: &Lbd) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("prometheus.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{:?}]\n\
             scrape_configs:\n\
             - {{ job_name: lbd, static_configs: [ {{ targets: [\"{}\"] }} ] }}\n",
            shipped("prometheus/lbd.rules.yml"),
            lbd.admin()
        );
        std::fs::write(&file, config).expect("the folder is ours");
        let program = Program::start(|port| {
            let mut command = Command::new("prometheus");
            command
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.path().join("data").display()
                ))
                .arg(format!("--web.listen-address={}", port.addr()));
            command
        });
        Self {
            program,
            _folder: folder,
        }
    }

    /// What its HTTP API answers.
    fn api(&self, path: &str) -> Result<Value, String> {
        let response = get(self.program.port.addr(), &format!("/api/v1/{path}"));
        // It says that it is not ready yet in plain words.
        let answer: Value = serde_json::from_slice(&response.body)
            .map_err(|_| format!("{}: {}", response.status, response.text()))?;
        match (response.status, answer["status"].as_str()) {
            (200, Some("success")) => Ok(answer["data"].clone()),
            _ => Err(format!("{}: {answer}", response.status)),
        }
    }

    /// What an expression comes to now: one number, or `None` where it has no sample.
    fn query(&self, expr: &str) -> Result<Option<f64>, String> {
        let escaped: String = expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.api(&format!("query?query={escaped}"))?;
        let samples = data["result"].as_array().cloned().unwrap_or_default();
        let value = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        Ok(samples.first().and_then(value))
    }

    /// Waits until an expression comes to this.
    #[track_caller]
    fn wait_for(&self, expr: &str, wanted: f64) {
        eventually(&format!("{expr} is {wanted}"), || {
            is(self.query(expr)?, Some(wanted))
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It writes what it has; the folder goes anyhow.
        self.program.process.signal(Signal::KILL);
    }
}

#[test]
#[ignore = "needs prometheus"]
fn prometheus_has_the_right_numbers_after_known_traffic() {
    let mut origin = Origin::start("a");
    let route = "[[frontend.web.routes]]\npath = \"/forbidden\"\nrespond = { status = 403 }\n";
    let app = app(QUICK_CHECK, [&origin]);
    let config = format!("[admin]\nbind = \"127.0.0.1:0\"\n{app}{route}");
    let setup = Setup::new(config).global("threads = 2");
    let lbd = setup.start();
    lbd.wait_until_healthy("app/a");
    let prometheus = Prometheus::start(&lbd);
    prometheus.wait_for("up{job=\"lbd\"}", 1.0);
    for (target, times) in [
        ("/", 30),
        ("/status?code=404", 11),
        ("/status?code=503", 5),
        ("/forbidden", 7),
    ] {
        for _ in 0..times {
            get(lbd.addr(), target);
        }
    }
    for (expr, wanted) in [
        ("lbd_frontend_requests_total{frontend=\"web\"}", 53.0),
        ("sum(lbd_frontend_responses_total)", 53.0),
        ("lbd_frontend_responses_total{code=\"2xx\"}", 30.0),
        ("lbd_frontend_responses_total{code=\"4xx\"}", 18.0),
        ("lbd_frontend_responses_total{code=\"5xx\"}", 5.0),
        ("lbd_frontend_connections_accepted_total", 53.0),
        ("lbd_server_requests_total{server=\"a\",code=\"4xx\"}", 11.0),
        ("lbd_server_sessions_started_total", 46.0),
        ("lbd_server_response_seconds_count", 46.0),
        ("lbd_frontend_response_seconds_count", 46.0),
        ("lbd_server_response_seconds_bucket{le=\"+Inf\"}", 46.0),
        (
            "lbd_server_connections_opened_total + lbd_server_connection_reuses_total",
            46.0,
        ),
        ("lbd_server_up{backend=\"app\",server=\"a\"}", 1.0),
        ("lbd_server_sessions", 0.0),
        ("count(lbd_thread_cpu_seconds_total)", 3.0),
        ("lbd_config_generation", 1.0),
        // It asked for OpenMetrics, where the family of a counter has no `_total`.
        (
            "count({__name__=~\"lbd_.*_total_total\"}) or vector(0)",
            0.0,
        ),
        ("process_open_fds > bool 5", 1.0),
    ] {
        prometheus.wait_for(expr, wanted);
    }

    origin.kill();
    prometheus.wait_for("lbd_server_up{server=\"a\"}", 0.0);
    prometheus.wait_for("lbd_server_state{server=\"a\",state=\"down\"}", 1.0);
    for alert in ["LbdServerDown", "LbdBackendWithoutServers"] {
        let waits = format!("count(ALERTS{{alertname=\"{alert}\"}})");
        prometheus.wait_for(&waits, 1.0);
    }
    let rules = prometheus.api("rules").expect("it has rules");
    let groups = rules["groups"].as_array().expect("there is a group");
    let rules = groups
        .iter()
        .flat_map(|g| g["rules"].as_array().expect("it has rules"));
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
}

/// Each metric that the rules and the dashboard name is one that lbd has, and each expression of the
/// dashboard is one that Prometheus can read.
#[test]
#[ignore = "needs prometheus and promtool"]
fn rules_and_dashboard_name_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let origin = Origin::start("a");
    let lbd = everything(folder.path(), &origin);
    let there = names(&lbd);
    let prometheus = Prometheus::start(&lbd);
    prometheus.wait_for("up{job=\"lbd\"}", 1.0);

    let text = std::fs::read_to_string(shipped("grafana/lbd.json")).expect("it is shipped");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    let exprs = expressions(&dashboard);
    assert!(exprs.len() > 40, "{exprs:?}");
    for expr in &exprs {
        let absent: Vec<&str> = named(expr).filter(|name| !there.contains(*name)).collect();
        assert!(absent.is_empty(), "{absent:?} in {expr}");
        if expr.starts_with("label_values(") || *expr == "prometheus" {
            continue;
        }
        assert!(named(expr).next().is_some(), "{expr}");
        let expr = expr
            .replace("$__rate_interval", "1m")
            .replace("\"$job\"", "\"lbd\"")
            .replace("$instance", ".*")
            .replace("$frontend", ".*")
            .replace("$backend", ".*");
        assert!(!expr.contains('$'), "{expr}");
        prometheus
            .query(&expr)
            .unwrap_or_else(|e| panic!("{expr}: {e}"));
    }

    let rules = prometheus.api("rules").expect("it has rules");
    let queries = expressions(&rules);
    assert!(queries.len() >= 15, "{queries:?}");
    for query in queries {
        let absent: Vec<&str> = named(query).filter(|name| !there.contains(*name)).collect();
        assert!(absent.is_empty(), "{absent:?} in {query}");
    }
}
