//! `mode`: whether a frontend or a backend carries requests or bare connections.

use super::table::Table;
use crate::config::Mode;
use crate::config::problem::Fault;

/// `of_http` are keys that mean something to requests alone.
pub(super) fn read(table: Table<'_>, what: &str, of_http: &[&str]) -> Mode {
    let given = table.get("mode");
    let mode = given.and_then(|mode| {
        let modes = [("http", Mode::Http), ("tcp", Mode::Tcp)];
        mode.choice(&modes, |_| false)
    });
    let mode = mode.unwrap_or(Mode::Http);
    if mode == Mode::Tcp {
        for value in of_http.iter().filter_map(|key| table.get(key)) {
            value.wrong_key(Fault::new(
                format!("`{}` is for HTTP, and this {what} has mode tcp", value.key),
                "remove it, or set `mode = \"http\"`: in mode tcp lbd passes bytes on and reads none",
            ));
        }
    }
    mode
}
