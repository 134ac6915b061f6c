//! What is set by hand, and what is told of it.

use crate::transcript::Transcript;
use crate::two_servers;

#[test]
fn events() {
    let (origins, lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("drain app/web01 --reason test");
    said.lbctl("ready app/web01");
    said.lbctl("weight app/web02 3");
    said.lbctl("reload");
    said.lbctl("events --no-follow --audit");
    said.lbctl("events --no-follow --since 2099-01-01T00:00:00Z");
    said.lbctl("events --since tomorrow");
    said.matches("events");
}

#[test]
fn status_of_what_was_set() {
    let (origins, lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("maint app/web02 --reason disk");
    said.lbctl("weight app/web01 3 --reason canary");
    said.lbctl("status app");
    said.lbctl("status app/web01");
    said.lbctl("status app/web02");
    said.lbctl("status app --sort name");
    said.lbctl("status --state maint,ejected");
    said.lbctl("status --state down");
    said.lbctl("status --state broken");
    said.matches("status_of_what_was_set");
}

#[test]
fn weight() {
    let (origins, lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("weight app/web01 3 --reason test");
    said.lbctl("weight app/web01 4 --json");
    said.lbctl("weight app/web02 0");
    said.lbctl("weight app/web02 configured");
    said.lbctl("weight app/web01 300");
    said.lbctl("weight app/web1 3");
    said.matches("weight");
}
