//! What the tests stand on: the built programs, real origins, a raw wire, load, and waiting.
//!
//! Everything here is real: origins are HTTP servers on sockets, the daemon and `lbctl` are the
//! programs that users run. Ports are free ones, and nothing is synchronised by sleeping: tests wait
//! for conditions ([`eventually()`]) or hold requests on gates ([`origin::Origin::hold`]).

pub mod access_log;
pub mod authority;
pub mod collector;
pub mod config;
pub mod daemon;
pub mod dns;
pub mod eventually;
pub mod full_disk;
pub mod held;
pub mod http2;
pub mod http2_origin;
pub mod lbctl;
pub mod load;
pub mod metrics;
pub mod nginx;
pub mod ocsp;
pub mod origin;
pub mod pattern;
pub mod port;
pub mod process;
pub mod programs;
pub mod proxy_header;
pub mod raw_origin;
pub mod terminal;
pub mod tls;
pub mod tls_front;
pub mod wire;

pub use authority::{Authority, Issued};
pub use collector::Collector;
pub use daemon::{Lbd, Setup};
pub use dns::Dns;
pub use eventually::{eventually, is};
pub use full_disk::FullDisk;
pub use http2::Http2;
pub use http2_origin::Http2Origin;
pub use load::Load;
pub use origin::Origin;
pub use process::Process;
pub use raw_origin::RawOrigin;
pub use tls_front::TlsFront;
pub use wire::Wire;
