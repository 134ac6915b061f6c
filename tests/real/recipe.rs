//! README.md's recipe from nothing to certificates that renew themselves, run as it is written: on a
//! machine that has its own files, ports and names, and an ACME server among its loopback addresses.

use std::fs;
use std::process::Command;

use lb_tests::{Authority, programs};

use crate::program::path_with_ours;

/// The machine, made of mount, network and process namespaces. `T` is a folder of the test's, with
/// `pebble.json` and what that names; `README` are the recipe's blocks, `FIRST` of them before there
/// are clients.
const MACHINE: &str = r#"
set -eu
cp -a /etc "$T/etc" 2> /dev/null || true
mount --bind "$T/etc" /etc
mount -t tmpfs tmpfs /var
mount -t tmpfs tmpfs /run
ip link set lo up
rm -rf /etc/letsencrypt /etc/lbd
mkdir -p /etc/letsencrypt/renewal-hooks/deploy /etc/lbd /run/lbd /var/lib /var/log
echo '127.0.0.1 example.com shop.example.com' >> /etc/hosts
# The only user of this machine has two names.
echo 'lbd:x:0:0::/:/bin/false' >> /etc/passwd
echo 'lbd:x:0:' >> /etc/group
cat > /etc/letsencrypt/cli.ini <<'END'
server = https://127.0.0.1:14000/dir
non-interactive = true
agree-tos = true
register-unsafely-without-email = true
no-random-sleep-on-renew = true
END
mkdir "$T/bin"
printf '#!/bin/sh\nexec "$@"\n' > "$T/bin/sudo"
printf '#!/bin/sh\n' > "$T/bin/apt"
chmod +x "$T/bin/sudo" "$T/bin/apt"
export PATH="$T/bin:$PATH"

(
    cd "$T"
    pebble-challtestsrv -defaultIPv4 127.0.0.1 -defaultIPv6 '' -dns01 127.0.0.1:8053 \
        -http01 '' -https01 '' -tlsalpn01 '' -management 127.0.0.1:8055 &
    PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 \
        pebble -config pebble.json -dnsserver 127.0.0.1:8053 &
    echo hello > index.html
    python3 -m http.server 9001 --bind 127.0.0.1 &
    python3 -m http.server 8403 --bind 127.0.0.1 --directory /var/www/acme &
) > "$T/servers.log" 2>&1
printf '[frontend.web]\nbind = "*:80"\ndefault_backend = "app"\n[backend.app]\nservers = [{ name = "a", address = "127.0.0.1:9001" }]\n' > /etc/lbd/lbd.toml
lbd 2> "$T/lbd.log" &
until lbctl status > /dev/null 2>&1 && curl -sf --cacert "$T/root.pem" https://127.0.0.1:14000/dir > /dev/null; do
    sleep 0.1
done
export REQUESTS_CA_BUNDLE="$T/root.pem"
shown() {
    echo | openssl s_client -connect "$1:443" -servername "$1" -verify_hostname "$1" \
        -verify_return_error -CAfile "$T/issued.pem" 2> /dev/null | openssl x509 -noout -fingerprint -sha256
}

n=0
for block in "$T"/recipe/*; do
    n=$((n + 1))
    echo "--- $block"
    bash -eu "$block"
    if [ "$n" = "$RENEWED" ]; then
        echo "after $(shown example.com)"
    fi
    if [ "$n" = "$SERVED" ]; then
        curl -sf --cacert "$T/root.pem" https://127.0.0.1:15000/roots/0 > "$T/issued.pem"
        echo "before $(shown example.com)"
    fi
done
shown shop.example.com > /dev/null
curl -s -o /dev/null -w 'plain %{http_code} %{redirect_url}\n' http://example.com/x
curl -s --cacert "$T/issued.pem" -w 'secure %{http_code}\n' https://shop.example.com/
"#;

/// The README's blocks for this recipe.
fn recipe() -> Vec<String> {
    let readme = fs::read_to_string(programs::workspace().join("README.md"));
    let readme = readme.expect("there is a README.md");
    let blocks = readme.split("```sh certbot\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

#[test]
#[ignore = "needs certbot, pebble, openssl, curl, python3, ip and unshare"]
fn the_readmes_recipe_does_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    };
    let authority = Authority::new();
    let own = authority.issue(&["127.0.0.1"]);
    file("root.pem", &authority.root());
    file("own.pem", &own.fullchain);
    file("own.key", &own.key);
    file(
        "pebble.json",
        r#"{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
            "certificate": "own.pem", "privateKey": "own.key", "httpPort": 80, "tlsPort": 443,
            "certificateValidityPeriod": 7776000}}"#,
    );
    let blocks = recipe();
    fs::create_dir(folder.path().join("recipe")).expect("the folder is ours");
    for (n, block) in blocks.iter().enumerate() {
        file(&format!("recipe/{n:02}.sh"), block);
    }
    let number = |what: &str| {
        let found = blocks.iter().position(|block| block.contains(what));
        (found.unwrap_or_else(|| panic!("no block says {what:?}")) + 1).to_string()
    };
    let mut machine = Command::new("timeout");
    machine
        .args([
            "10m",
            "unshare",
            "--map-root-user",
            "--mount",
            "--net",
            "--pid",
            "--fork",
        ])
        .args(["--kill-child=KILL", "bash", "-c", MACHINE])
        .env("T", folder.path())
        .env("SERVED", number("https_redirect = true"))
        .env("RENEWED", number("--force-renewal"))
        .env("PATH", path_with_ours())
        .env_remove("LBCTL_SOCKET");
    let output = machine.output().expect("namespaces can be made");
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    let log = fs::read_to_string(folder.path().join("lbd.log")).unwrap_or_default();
    let whole = format!("{}\n{}\nlbd said:\n{log}", said[0], said[1]);
    assert!(output.status.success(), "{whole}");
    let line = |what: &str| {
        let found = said[0].lines().find_map(|line| line.strip_prefix(what));
        found
            .unwrap_or_else(|| panic!("{what:?} is not in {whole}"))
            .to_owned()
    };
    assert_ne!(line("before "), line("after "));
    assert!(line("before ").contains("Fingerprint="));
    assert_eq!(line("plain "), "308 https://example.com/x");
    assert_eq!(line("secure "), "200");
    for what in [
        "has no bind with TLS",
        "0.0.0.0:443 (web) shows it, read back for 1 name",
    ] {
        assert!(whole.contains(what), "{what:?} is not in {whole}");
    }
}
