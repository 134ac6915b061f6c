//! A way to the socket of another machine: OpenSSH, which ends when we do.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use lb_proto::client::Client;
use lb_proto::error::{ErrorCode, ErrorReply};

use super::url::Url;

/// Instead of `ssh`, with arguments: `ssh -F FILE`.
const SSH: &str = "LBCTL_SSH";

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// To get in. Somebody who is asked for a password may take longer.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_WITH_QUESTIONS: Duration = Duration::from_secs(300);

/// ssh must not hear of Ctrl-C, which ends a wait and not the way to what is waited for; and it must end
/// when we do, however we end: our end of its standard input tells.
const WHILE_WE_LIVE: &str = r#"trap "" INT
exec 3<&0
"$@" </dev/null &
ssh=$!
{ read -r _ <&3; kill $ssh; } 2>/dev/null &
wait $ssh"#;

#[derive(Debug)]
pub(super) struct Tunnel {
    label: String,
    /// On this machine.
    pub(super) socket: PathBuf,
    /// On the other.
    remote: PathBuf,
    /// The words of a command line that lead here.
    pub(super) via: String,
    ssh: Child,
    _alive: Option<ChildStdin>,
    said: Receiver<String>,
    patience: Duration,
}

impl Tunnel {
    /// Begins to open a way from a socket at `local`, which nobody else can reach, to `usual` on the
    /// other machine, unless the address names another. `asks`: somebody is there to be asked.
    ///
    /// # Errors
    /// Where ssh cannot be started.
    pub(super) fn begin(
        url: &Url,
        label: &str,
        local: PathBuf,
        usual: &Path,
        asks: bool,
    ) -> Result<Self, ErrorReply> {
        let remote = url.socket.clone().unwrap_or_else(|| usual.to_owned());
        let mut forward = OsString::from(&local);
        forward.push(":");
        forward.push(&remote);
        let custom = std::env::var(SSH).unwrap_or_default();
        let mut words = custom.split_whitespace();
        let mut command = Command::new("sh");
        command
            .args(["-c", WHILE_WE_LIVE, "sh"])
            .arg(words.next().unwrap_or("ssh"))
            .args(words)
            .args(["-N", "-T", "-o", "ExitOnForwardFailure=yes"])
            .args(["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5"])
            // One that outlives us, or that somebody else shares, is not ours to end.
            .args(["-o", "ControlMaster=no", "-o", "ControlPath=none"])
            .args(["-o", "StreamLocalBindMask=0177"]);
        if !asks {
            command.args(["-o", "BatchMode=yes"]);
        }
        command.arg("-L").arg(forward).arg(&url.destination);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut ssh = command.spawn().map_err(|error| {
            ErrorReply::new(ErrorCode::Failed, format!("cannot start ssh: {error}"))
        })?;
        Ok(Self {
            label: label.to_owned(),
            socket: local,
            via: format!("--host {}{}", url.destination, remote.display()),
            remote,
            _alive: ssh.stdin.take(),
            said: listen(&mut ssh),
            ssh,
            patience: match asks {
                true => PATIENCE_WITH_QUESTIONS,
                false => PATIENCE,
            },
        })
    }

    /// Waits until there is a daemon at its other end.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn opened(&mut self) -> Result<(), ErrorReply> {
        let deadline = Instant::now() + self.patience;
        loop {
            match Client::connect(&self.socket) {
                Ok(_) => return Ok(()),
                // ssh has not made the socket yet, or does not listen yet at the one that it has made.
                Err(error) if error.code == ErrorCode::NoDaemon => {}
                Err(error) if error.code == ErrorCode::TimedOut => {
                    return Err(self.hangs(error.hint));
                }
                // ssh takes the connection, and hangs up when nobody is at its other end.
                Err(_) if hangs_up(&self.socket) => return Err(self.nobody_there()),
                Err(error) => return Err(self.not_ours(error)),
            }
            if !matches!(self.ssh.try_wait(), Ok(None)) {
                return Err(self.not_reached("ssh could not get there"));
            }
            if Instant::now() > deadline {
                return Err(self.not_reached("ssh takes too long"));
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    fn nobody_there(&self) -> ErrorReply {
        let (label, remote) = (&self.label, self.remote.display());
        let message = format!("no daemon that we may talk to at {remote} on {label}");
        ErrorReply::new(ErrorCode::NoDaemon, message).hint(
            "is lbd running there, and may the user log in there use its socket? \
             ssh://HOST/PATH names another socket",
        )
    }

    /// Who listens here is ssh, and what it is called here nobody knows.
    fn hangs(&self, hint: Option<String>) -> ErrorReply {
        let (label, remote) = (&self.label, self.remote.display());
        let message = format!("lbd does not answer at {remote} on {label}: it hangs or is stopped");
        ErrorReply {
            hint,
            ..ErrorReply::new(ErrorCode::TimedOut, message)
        }
    }

    /// Somebody is there, and of another version or no lbd at all.
    fn not_ours(&self, error: ErrorReply) -> ErrorReply {
        let (local, remote) = (self.socket.display(), self.remote.display());
        let message = error
            .message
            .replace(&local.to_string(), &remote.to_string());
        ErrorReply {
            message: format!("{}: {message}", self.label),
            ..error
        }
    }

    fn not_reached(&self, what: &str) -> ErrorReply {
        const LAST_WORDS: Duration = Duration::from_secs(1);
        let said = self.said.recv_timeout(LAST_WORDS).unwrap_or_default();
        let why = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        let message = format!("cannot reach {}: {what}{why}", self.label);
        ErrorReply::new(ErrorCode::Failed, message)
            .hint("nothing was changed anywhere; see that `ssh HOST` works from here")
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // Its shell ends ssh when it hears no more of us.
        self._alive.take();
        let _ = self.ssh.wait();
    }
}

/// Whether who takes us in says nothing and goes.
fn hangs_up(socket: &Path) -> bool {
    const WORD: Duration = Duration::from_secs(5);
    let first = |mut stream: UnixStream| {
        stream.set_read_timeout(Some(WORD))?;
        stream.read(&mut [0])
    };
    let first = UnixStream::connect(socket).and_then(first);
    !matches!(first, Ok(1))
}

/// What it said on its way, once it has ended.
fn listen(ssh: &mut Child) -> Receiver<String> {
    const MOST: u64 = 64 * 1024;
    let (tell, told) = mpsc::channel();
    if let Some(talk) = ssh.stderr.take() {
        thread::spawn(move || {
            let mut said = Vec::new();
            let _ = talk.take(MOST).read_to_end(&mut said);
            let _ = tell.send(String::from_utf8_lossy(&said).into_owned());
        });
    }
    told
}
