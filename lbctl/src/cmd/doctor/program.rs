//! Other programs that are asked, none of them for longer than a moment.

use std::io::{self, ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use lb_proto::harmless::harmless;

/// None of them has more to do than to read rules from the kernel.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than any firewall of a load balancer says.
const MOST: u64 = 16 << 20;

/// Of what it complains, in characters.
const LONGEST_LINE: usize = 200;

/// Where the programs of administrators are, which are not on everybody's PATH.
const ELSEWHERE: [&str; 2] = ["/usr/sbin", "/sbin"];

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ran {
    Said(String),
    /// There is no such program.
    Absent,
    /// Why it said nothing of use.
    Failed(String),
}

pub(super) fn run(program: &str, args: &[&str]) -> Ran {
    run_within(program, args, PATIENCE)
}

fn run_within(program: &str, args: &[&str], patience: Duration) -> Ran {
    let others = ELSEWHERE.map(|folder| format!("{folder}/{program}"));
    let ways = std::iter::once(program).chain(others.iter().map(String::as_str));
    for way in ways {
        let spawned = Command::new(way)
            .args(args)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match spawned {
            Ok(child) => return hear(child, program, patience),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Ran::Failed(format!("cannot run {program}: {error}")),
        }
    }
    Ran::Absent
}

fn hear(mut child: Child, program: &str, patience: Duration) -> Ran {
    let deadline = Instant::now() + patience;
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let left = || deadline.saturating_duration_since(Instant::now());
    let said = out.recv_timeout(left()).ok();
    let complained = err.recv_timeout(left()).ok();
    let (Some(said), Some(complained)) = (said, complained) else {
        // It may have ended by itself a moment ago.
        let _ = child.kill();
        let _ = child.wait();
        return Ran::Failed(format!("{program} did not end within {patience:?}"));
    };
    match ended(&mut child, deadline) {
        Ok(status) if status.success() => Ran::Said(said),
        Ok(status) => {
            let first = complained
                .lines()
                .chain(said.lines())
                .find(|l| !l.is_empty());
            let why = first.map_or_else(|| status.to_string(), in_short);
            Ran::Failed(format!("{program}: {why}"))
        }
        Err(error) => Ran::Failed(format!("{program}: {error}")),
    }
}

/// So much of a line as people read.
fn in_short(line: &str) -> String {
    harmless(line.trim()).chars().take(LONGEST_LINE).collect()
}

/// It has nothing more to say; still it may not end.
fn ended(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    const LOOK: Duration = Duration::from_millis(5);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            return child.wait();
        }
        thread::sleep(LOOK);
    }
}

/// All that comes until the end, on a thread of its own that nobody has to wait for.
fn collect(from: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            // What came until an error is what there is.
            let _ = from.take(MOST).read_to_end(&mut bytes);
        }
        // Nobody listens any more when patience ran out.
        let _ = tell.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_heard_and_why_it_says_nothing() {
        assert_eq!(run("echo", &["rules"]), Ran::Said("rules\n".to_owned()));
        let failed = run("sh", &["-c", "echo 'Operation not permitted' >&2; exit 1"]);
        assert_eq!(
            failed,
            Ran::Failed("sh: Operation not permitted".to_owned())
        );
        assert_eq!(run("no-such-program-anywhere", &[]), Ran::Absent);
        let endless = "printf '\\033[2J'; head -c 100000 /dev/zero | tr '\\0' x; exit 1";
        let Ran::Failed(why) = run("sh", &["-c", endless]) else {
            panic!("it failed");
        };
        assert!(why.starts_with("sh: \u{241b}[2Jxxx"), "{why}");
        assert!(why.len() < 300, "{}", why.len());
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let ran = run_within("sleep", &["1000"], Duration::from_millis(50));
        let Ran::Failed(why) = ran else {
            panic!("{ran:?}");
        };
        assert!(why.contains("did not end within"), "{why}");
    }
}
