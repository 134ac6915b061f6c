//! lbd between programs that others wrote: servers, applications and clients.
//!
//! `cargo test --workspace -- --ignored` runs them; `.ci/run` installs what they need.

mod app_servers;
mod axe;
mod browser;
mod browser_others;
mod certbot;
mod counters;
mod curl;
mod databases;
mod firewall;
mod full_disk;
mod grpc;
mod http2;
mod http2_to_nginx;
mod keepalived;
mod log_readers;
mod many_certificates;
mod ocsp;
mod openssl;
mod origin;
mod pebble;
mod proxy_protocol;
mod program;
mod prometheus;
mod recipe;
mod shells;
mod ssh;
mod testssl;
mod tmux;
mod wrk;
