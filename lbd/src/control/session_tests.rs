//! The socket as a client meets it.

use std::path::{Path, PathBuf};

use lb_proto::state::{Admin, State};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

use super::*;
use crate::control::{Auditor, Folder, Keeper, Reloader, SocketFile};
use crate::dns::Names;
use crate::limits::OpenFiles;
use crate::state::Shared;

const CONFIG: &str = r#"
[frontend.web]
bind = ["127.0.0.1:0"]
default_backend = "app"
[backend.app]
health = false
servers = [
  { name = "web01", address = "127.0.0.1:1" },
  { name = "web02", address = "127.0.0.1:2", weight = 3 },
]
"#;

struct Daemon {
    shared: Arc<Shared>,
    text: String,
    config: PathBuf,
    socket: PathBuf,
    _file: SocketFile,
    _folder: TempDir,
}

fn daemon() -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let (config, socket) = (folder.path().join("lbd.toml"), folder.path().join("sock"));
    let state = format!("\n[global]\nstate_dir = {:?}\n", folder.path());
    let text = CONFIG.to_owned() + &state;
    std::fs::write(&config, &text).unwrap();
    let shared = Shared::of(&text);
    let (listener, file) = ControlSocket::open(&socket, 0o600, None).unwrap();
    let state = Folder::open(&folder.path().join("state")).unwrap();
    let (keeper, _) = Keeper::open(state).unwrap();
    let audit = Auditor::start(shared.clone(), folder.path()).unwrap();
    let control = Arc::new(Control {
        shared: shared.clone(),
        reloader: Reloader::new(
            shared.clone(),
            config.clone(),
            OpenFiles::of(1024),
            Names::new(),
        ),
        keeper,
        audit,
    });
    tokio::spawn(control.clone().keep());
    tokio::spawn(control.serve(listener));
    Daemon {
        shared,
        text,
        config,
        socket,
        _file: file,
        _folder: folder,
    }
}

struct Client(BufReader<UnixStream>);

impl Client {
    /// Connects; the greeting is still to be read.
    async fn connect(socket: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(socket).await.unwrap()))
    }

    async fn greeted(socket: &Path) -> Self {
        let mut client = Self::connect(socket).await;
        assert_eq!(
            client.hear().await,
            json!({"lbd": lb_proto::VERSION, "protocol": lb_proto::PROTOCOL})
        );
        client
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = timeout(Duration::from_secs(60), self.0.read_line(&mut line));
        read.await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, line: &str) -> Value {
        self.say(line.as_bytes()).await;
        self.say(b"\n").await;
        self.hear().await
    }
}

#[tokio::test]
async fn calls_are_answered_in_order_under_their_ids() {
    let daemon = daemon();
    let mut client = Client::greeted(&daemon.socket).await;
    client
        .say(b"{\"id\":7,\"call\":\"hello\"}\r\n\n{\"id\":8,\"call\":\"status\"}\n")
        .await;
    let hello = client.hear().await;
    assert_eq!(hello["id"], 7);
    assert_eq!(hello["ok"]["pid"], std::process::id());
    let status = client.hear().await;
    assert_eq!(status["id"], 8);
    assert_eq!(status["ok"]["schema"], 1);
    assert_eq!(status["ok"]["frontends"][0]["name"], "web");
    assert_eq!(status["ok"]["backends"][0]["servers"][1]["weight"], 3);
}

#[tokio::test]
async fn garbage_gets_an_error_and_the_connection_goes_on() {
    let daemon = daemon();
    let mut client = Client::greeted(&daemon.socket).await;
    for (line, id, code) in [
        ("\u{0}garbage", Value::Null, "bad_request"),
        (r#"{"id":4}"#, json!(4), "bad_request"),
        (r#"{"id":5,"call":"explode"}"#, json!(5), "unknown_call"),
        (
            r#"{"id":6,"call":"set_state","args":{"server":"web01","admin":"drain"}}"#,
            json!(6),
            "bad_request",
        ),
    ] {
        let answer = client.ask(line).await;
        assert_eq!(answer["id"], id, "{line}");
        assert_eq!(answer["error"]["code"], code, "{line}");
    }
    client.say(&vec![b'x'; 2 << 20]).await;
    assert_eq!(client.ask("").await["error"]["code"], "line_too_long");
    assert_eq!(client.ask(r#"{"id":9,"call":"hello"}"#).await["id"], 9);
}

#[tokio::test]
async fn a_name_that_nothing_has_finds_the_one_that_was_meant() {
    let daemon = daemon();
    let mut client = Client::greeted(&daemon.socket).await;
    let server = client
        .ask(r#"{"id":1,"call":"set_state","args":{"server":"app/web1","admin":"drain"}}"#)
        .await;
    assert_eq!(server["error"]["code"], "no_such_server");
    assert_eq!(server["error"]["hint"], "did you mean app/web01?");
    let backend = client
        .ask(r#"{"id":2,"call":"status","args":{"of":"apt"}}"#)
        .await;
    assert_eq!(backend["error"]["code"], "no_such_backend");
    assert_eq!(backend["error"]["hint"], "did you mean app?");
}

#[tokio::test]
async fn status_can_be_of_one_backend_or_server() {
    let daemon = daemon();
    let mut client = Client::greeted(&daemon.socket).await;
    let one = client
        .ask(r#"{"id":1,"call":"status","args":{"of":"app/web02"}}"#)
        .await;
    let servers = one["ok"]["backends"][0]["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0]["name"], "web02");
    let all = client
        .ask(r#"{"id":2,"call":"status","args":{"of":"app"}}"#)
        .await;
    let servers = all["ok"]["backends"][0]["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 2);
}

#[tokio::test]
async fn a_watcher_hears_of_changes_and_can_still_call() {
    let daemon = daemon();
    let mut watcher = Client::greeted(&daemon.socket).await;
    let reply = watcher.ask(r#"{"id":42,"call":"watch"}"#).await;
    assert_eq!(reply, json!({"id": 42, "ok": {"watching": true}}));

    let mut client = Client::greeted(&daemon.socket).await;
    let drained = client
        .ask(r#"{"id":1,"call":"set_state","args":{"server":"app/web01","admin":"drain"}}"#)
        .await;
    assert_eq!(drained["ok"]["was"], "ready");
    assert_eq!(drained["ok"]["server"]["state"], "drain");
    assert_eq!(daemon.shared.server("app/web01").state(), State::Drain);

    let event = watcher.hear().await;
    assert_eq!(event["id"], 42);
    assert_eq!(event["event"]["type"], "server");
    assert_eq!(event["event"]["server"], "app/web01");
    assert_eq!(event["event"]["state"], "drain");
    let record = watcher.hear().await;
    assert_eq!(record["event"]["type"], "audit");
    assert_eq!(record["event"]["on"], "app/web01");
    assert_eq!(watcher.ask(r#"{"id":43,"call":"hello"}"#).await["id"], 43);
}

#[tokio::test]
async fn a_watcher_that_lags_hears_how_many_it_missed() {
    let daemon = daemon();
    let mut watcher = Client::greeted(&daemon.socket).await;
    watcher.ask(r#"{"id":1,"call":"watch"}"#).await;
    let server = daemon.shared.server("app/web01");
    // Without a pause, so that the session cannot read in between.
    for _ in 0..5000 {
        daemon.shared.set_admin(&server, Admin::Drain, "by a test");
        daemon.shared.set_admin(&server, Admin::Ready, "by a test");
    }
    let missed = watcher.hear().await;
    assert_eq!(missed["event"]["type"], "missed");
    assert!(missed["event"]["events"].as_u64().unwrap() > 1000);
    assert_eq!(watcher.hear().await["event"]["type"], "server");
}

#[tokio::test]
async fn idle_clients_keep_nobody_out() {
    let daemon = daemon();
    let mut clients = Vec::new();
    for _ in 0..MAX_CLIENTS {
        clients.push(Client::greeted(&daemon.socket).await);
    }
    clients[0].ask(r#"{"id":1,"call":"watch"}"#).await;
    let mut late = Client::greeted(&daemon.socket).await;
    assert_eq!(late.ask(r#"{"id":2,"call":"hello"}"#).await["id"], 2);
    let told = clients[1].hear().await;
    assert_eq!(told["id"], Value::Null);
    assert_eq!(told["error"]["hint"], "connect again");
    // Who waits for events has not left.
    assert_eq!(clients[0].ask(r#"{"id":3,"call":"hello"}"#).await["id"], 3);
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let daemon = daemon();
    let mut clients = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let mut client = Client::greeted(&daemon.socket).await;
        client.ask(r#"{"id":1,"call":"watch"}"#).await;
        clients.push(client);
    }
    let mut late = Client::greeted(&daemon.socket).await;
    let refusal = late.ask(r#"{"id":1,"call":"hello"}"#).await;
    assert_eq!(refusal["id"], Value::Null);
    assert_eq!(refusal["error"]["code"], "failed");
    drop(clients);
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let mut again = Client::greeted(&daemon.socket).await;
        if again.ask(r#"{"id":2,"call":"hello"}"#).await["id"] == 2 {
            return;
        }
        assert!(std::time::Instant::now() < patience, "places stay taken");
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_harms_nobody() {
    let daemon = daemon();
    let mut deaf = Client::connect(&daemon.socket).await;
    let flood = "{\"id\":1,\"call\":\"status\"}\n".repeat(10_000);
    // Ends when neither side takes any more.
    let filled = timeout(Duration::from_millis(300), deaf.say(flood.as_bytes())).await;
    assert!(filled.is_err());
    let mut other = Client::greeted(&daemon.socket).await;
    assert_eq!(other.ask(r#"{"id":2,"call":"hello"}"#).await["id"], 2);
}

#[tokio::test]
async fn a_reload_swaps_all_or_nothing() {
    let daemon = daemon();
    let mut client = Client::greeted(&daemon.socket).await;
    let reload = r#"{"id":1,"call":"reload"}"#;
    let drain = r#"{"id":1,"call":"set_state","args":{"server":"app/web01","admin":"drain"}}"#;
    client.ask(drain).await;

    std::fs::write(&daemon.config, daemon.text.replace("web02", "web03")).unwrap();
    let done = client.ask(reload).await;
    let ok = &done["ok"];
    assert_eq!(
        (&ok["generation"], &ok["changed"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(ok["warnings"], json!([]));
    assert_eq!(ok["changes"].as_array().map(Vec::len), Some(2));
    assert_eq!(daemon.shared.server("app/web01").admin(), Admin::Drain);
    daemon.shared.server("app/web03");
    let again = client.ask(reload).await;
    assert_eq!(again["ok"]["changed"], false);
    assert_eq!(again["ok"]["generation"], 2);

    std::fs::write(&daemon.config, daemon.text.replace("\"app\"", "\"nobody\"")).unwrap();
    let bad = client.ask(reload).await;
    assert_eq!(bad["error"]["code"], "invalid_config");
    assert_eq!(bad["error"]["problems"][0]["line"], 4);

    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    std::fs::write(&daemon.config, daemon.text.replace("127.0.0.1:0", &address)).unwrap();
    let taken = client.ask(reload).await;
    let message = taken["error"]["message"].as_str().unwrap();
    let wanted = format!("cannot listen on {address}: address already in use; held by");
    assert!(message.starts_with(&wanted), "{message}");
    assert_eq!(daemon.shared.snapshot().loaded.generation, 2);

    daemon.shared.stop();
    assert_eq!(client.ask(reload).await["error"]["code"], "stopping");
}
