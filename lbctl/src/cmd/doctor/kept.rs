//! What operators set, and whether it outlives a restart of the daemon.

use lb_proto::pem;
use lb_proto::status::KeptStatus;

use super::finding::Finding;
use super::scene::Scene;

const CHECK: &str = "kept";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    match scene.status() {
        Some(status) => judge(&status.daemon.kept),
        None => {
            let why = "only a running lbd knows";
            vec![Finding::not_looked_at(
                CHECK,
                "whether drains outlive a restart",
                why,
            )]
        }
    }
}

fn judge(kept: &KeptStatus) -> Vec<Finding> {
    let KeptStatus {
        path,
        error,
        config_error,
        audit_error,
        set_aside,
        unknown,
    } = kept;
    let mut findings = Vec::new();
    if let Some(why) = error {
        let what = "what operators set is forgotten at a restart: it cannot be written";
        findings.push(
            Finding::problem(CHECK, what)
                .place(path.clone())
                .why(why.clone())
                .remedy("let lbd's user write to state_dir of [global], on a disk with room")
                .command(format!("df -h {path}; ls -ld {path}")),
        );
    }
    if let Some(why) = config_error {
        let what = "a restart may begin with another configuration, or none leads back to this one";
        findings.push(Finding::problem(CHECK, what).why(why.clone()).remedy(
            "make room, or let lbd's user write below state_dir; lbd tries it again by itself",
        ));
    }
    if let Some(why) = audit_error {
        let what = "changes are in lbd's log alone: the audit file cannot be written";
        findings.push(
            Finding::problem(CHECK, what)
                .why(why.clone())
                .remedy("make room, or let lbd's user write it; the next change is tried anew"),
        );
    }
    if let Some(why) = set_aside {
        let what = "what operators had set was of no use at the start, and does not hold";
        findings.push(
            Finding::warning(CHECK, what)
                .place(path.clone())
                .why(why.clone())
                .remedy("set it again, where it still should be"),
        );
    }
    if !unknown.is_empty() {
        let servers: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        let servers = pem::in_short(&servers);
        let what =
            format!("something is set on servers that the configuration does not have: {servers}");
        findings.push(
            Finding::warning(CHECK, what)
                .place(path.clone())
                .remedy("it counts again when they come back; a name may have been changed"),
        );
    }
    if findings.is_empty() {
        let what = format!("what operators set is kept in {path}");
        findings.push(Finding::fine(CHECK, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn what_does_not_outlive_a_restart_is_told() {
        let well = KeptStatus {
            path: "/var/lib/lbd/state.json".to_owned(),
            ..KeptStatus::default()
        };
        let severity = |kept: &KeptStatus| judge(kept)[0].severity;
        assert_eq!(severity(&well), Severity::Fine);
        let full = KeptStatus {
            error: Some("no space left on device".to_owned()),
            ..well.clone()
        };
        assert_eq!(severity(&full), Severity::Problem);
        assert_eq!(judge(&full)[0].why, ["no space left on device"]);
        let not_kept = KeptStatus {
            config_error: Some("cannot write 000002.toml".to_owned()),
            audit_error: Some("cannot write audit.jsonl".to_owned()),
            ..well.clone()
        };
        let whys: Vec<_> = judge(&not_kept).into_iter().map(|f| f.why).collect();
        assert_eq!(
            whys,
            [["cannot write 000002.toml"], ["cannot write audit.jsonl"]]
        );
        let broken = KeptStatus {
            set_aside: Some("it is no JSON".to_owned()),
            ..well.clone()
        };
        assert_eq!(severity(&broken), Severity::Warning);
        let gone = KeptStatus {
            unknown: vec!["app/gone".parse().unwrap()],
            ..well
        };
        assert!(judge(&gone)[0].what.ends_with("does not have: app/gone"));
    }
}
