//! `lbctl doctor` and the firewalls of Linux, in a network of the test's own. ufw, which keeps its
//! rules in files of the machine, is not among them.

use std::process::Command;

use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::{Process, Setup, lbctl};
use serde_json::Value;

/// A table that lets in what others do as well, and drops the rest.
const NFT: &str = "\
    nft add table inet filter\n\
    nft add chain inet filter input '{ type filter hook input priority 0 ; policy drop ; }'\n\
    nft add rule inet filter input ct state established,related accept\n\
    nft add rule inet filter input iif lo accept\n\
    nft add rule inet filter input meta l4proto icmp accept\n\
    nft add rule inet filter input tcp dport '{ 22, 8000-8100 }' accept\n";

/// What the doctor says of the firewall where these commands were run before.
#[track_caller]
fn found(rules: &str) -> Vec<Value> {
    let nowhere = "127.0.0.1:1".parse().expect("it is an address");
    let config = app_at(NO_CHECK, [("a", nowhere)]).replace("127.0.0.1:0", "*:80");
    let setup = Setup::new(config);
    setup.write();
    let script = format!("set -eu\nip link set lo up\n{rules}\nexec \"$@\"");
    let mut doctor = lbctl::command(&setup.socket(), ["doctor", "--json", "--config"]);
    doctor.arg(setup.config_file());
    let mut machine = Command::new("timeout");
    machine
        .args(["1m", "unshare", "--map-root-user", "--net", "sh", "-c"])
        .args([&script, "sh"])
        .arg(doctor.get_program())
        .args(doctor.get_args());
    for (name, value) in doctor.get_envs() {
        match value {
            Some(value) => machine.env(name, value),
            None => machine.env_remove(name),
        };
    }
    // Nobody serves: that is a problem, too.
    let document = Process::run(machine).exits(1).json();
    let findings = document["findings"].as_array().expect("there is a list");
    let firewall = findings.iter().filter(|f| f["check"] == "firewall");
    firewall.cloned().collect()
}

/// The one problem, whose advice must help.
#[track_caller]
fn shuts_and_opens(rules: &str, command: &str) {
    let shut = found(rules);
    assert_eq!(shut.len(), 1, "{shut:#?}");
    assert_eq!(shut[0]["severity"], "problem", "{shut:#?}");
    assert_eq!(shut[0]["command"], format!("sudo {command}"), "{shut:#?}");
    let open = found(&format!("{rules}\n{command}"));
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0]["severity"], "fine", "{open:#?}");
}

#[test]
#[ignore = "needs nft, iptables, ip and unshare"]
fn a_machine_without_rules_lets_clients_in() {
    let open = found("");
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0]["severity"], "fine", "{open:#?}");
}

#[test]
#[ignore = "needs nft, iptables, ip and unshare"]
fn what_nft_drops_is_told_and_the_advice_opens_it() {
    let command = "nft insert rule inet filter input tcp dport 80 accept";
    shuts_and_opens(NFT, command);
    let chains = format!(
        "{NFT}nft add chain inet filter web\n\
         nft add rule inet filter web tcp dport 443 accept\n\
         nft add rule inet filter input tcp dport vmap '{{ 80 : jump web }}'\n"
    );
    shuts_and_opens(&chains, command);
    let rejects = "nft add table ip own\n\
        nft add chain ip own input '{ type filter hook input priority 0 ; }'\n\
        nft add rule ip own input tcp dport != '{ 22, 443 }' reject with tcp reset\n";
    shuts_and_opens(rejects, "nft insert rule ip own input tcp dport 80 accept");
}

#[test]
#[ignore = "needs nft, iptables, ip and unshare"]
fn what_nft_lets_in_is_open() {
    for rule in [
        "tcp dport '{ 80, 443 }' accept",
        "tcp dport 79-81 ct state new counter accept",
        "meta l4proto tcp th dport 80 accept",
        "tcp dport vmap '{ 80 : accept, 22 : drop }'",
        "fib daddr type local tcp dport 80 accept",
        "iifname != lo tcp dport 80 accept",
    ] {
        let open = found(&format!("{NFT}nft add rule inet filter input {rule}\n"));
        // By another interface than this machine's own everybody comes.
        assert_eq!(open[0]["severity"], "fine", "{rule}: {open:#?}");
    }
    let some = "nft add rule inet filter input ip saddr 10.0.0.0/8 tcp dport 80 accept\n";
    let some = found(&format!("{NFT}{some}"));
    assert_eq!(some.len(), 1, "{some:#?}");
    assert_eq!(some[0]["severity"], "warning", "{some:#?}");
}

#[test]
#[ignore = "needs nft, iptables, ip and unshare"]
fn what_iptables_drops_is_told_and_the_advice_opens_it() {
    let command = "iptables -I INPUT -p tcp --dport 80 -j ACCEPT";
    let policy = "iptables -P INPUT DROP\n\
        iptables -A INPUT -i lo -j ACCEPT\n\
        iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
        iptables -A INPUT -p tcp -m multiport --dports 22,443 -m comment --comment 'not the web' -j ACCEPT\n";
    shuts_and_opens(policy, command);
    let chain = "iptables -N web\n\
        iptables -A INPUT -j web\n\
        iptables -A web -p tcp --dport 443 -j ACCEPT\n\
        iptables -A web -p tcp -j REJECT --reject-with tcp-reset\n";
    shuts_and_opens(chain, command);
}
