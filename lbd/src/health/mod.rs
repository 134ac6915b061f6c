//! Health checks: asks every checked server how it is and writes the answer to its record.
//!
//! Never picks servers and never touches a request; what a failed check means for traffic follows
//! from [`lb_proto::state::State::of`].

mod probe_http;
mod probe_http2;
mod probe_tcp;
mod scheduler;
mod verdict;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lb_proto::config::{Check, CheckKind, Protocol, ProxyVersion};
use lb_proto::status::CheckResult;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

pub(crate) use scheduler::run;

use crate::tls::Originator;

/// What one probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    result: CheckResult,
    /// The HTTP status, where one was received.
    status: Option<u16>,
    /// One sentence about it.
    detail: String,
}

impl Seen {
    fn new(result: CheckResult, detail: impl Into<String>) -> Self {
        Self {
            result,
            status: None,
            detail: detail.into(),
        }
    }
}

/// A probe that never left this machine, for want of a descriptor or a port: it says nothing about
/// the server.
#[derive(Debug, thiserror::Error)]
#[error("cannot probe {address}")]
struct NotProbed {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// Whom to probe, and how it is spoken to.
#[derive(Debug)]
struct Target<'a> {
    address: SocketAddr,
    /// The Host where the check names none.
    fallback_host: &'a str,
    send_proxy: Option<ProxyVersion>,
    tls: Option<&'a Originator>,
    protocol: Protocol,
}

/// Probes a server once, connect and answer within the check's timeout.
async fn probe(target: &Target<'_>, check: &Check) -> Result<Seen, NotProbed> {
    let deadline = Instant::now() + check.timeout;
    let stream = match timeout_at(deadline, probe_tcp::connect(target)).await {
        Ok(connected) => connected?,
        Err(_) => {
            return Ok(Seen::new(
                CheckResult::L4TOUT,
                late("no connection", check.timeout),
            ));
        }
    };
    let stream = match stream {
        Ok(stream) => stream,
        Err(refused) => return Ok(refused),
    };
    let Some(tls) = target.tls else {
        return Ok(ask(stream, target, check, CheckResult::L4OK, deadline).await);
    };
    Ok(match timeout_at(deadline, tls.check(stream)).await {
        Ok(Ok(stream)) => ask(stream, target, check, CheckResult::L6OK, deadline).await,
        Ok(Err(why)) => Seen::new(CheckResult::L6RSP, format!("no TLS: {why}")),
        Err(_) => {
            let what = late("the TLS handshake did not end", check.timeout);
            Seen::new(CheckResult::L6TOUT, what)
        }
    })
}

/// Asks on a connection what the check asks; `reached` is what a connection alone shows.
async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    target: &Target<'_>,
    check: &Check,
    reached: CheckResult,
    deadline: Instant,
) -> Seen {
    match &check.kind {
        CheckKind::Tcp => {
            // Says so under TLS that nothing follows.
            let _ = timeout_at(deadline, stream.shutdown()).await;
            Seen::new(reached, "connected")
        }
        CheckKind::Http {
            method, path, host, ..
        } => {
            let request = probe_http::Request {
                method,
                path,
                host: host.as_deref().unwrap_or(target.fallback_host),
            };
            let answer = async {
                match target.protocol {
                    Protocol::Http1 => probe_http::ask(stream, &request, &check.kind).await,
                    Protocol::Http2 => {
                        let secure = target.tls.is_some();
                        probe_http2::ask(stream, &request, &check.kind, secure).await
                    }
                }
            };
            timeout_at(deadline, answer).await.unwrap_or_else(|_| {
                let what = format!("{method} {path} got no answer");
                Seen::new(CheckResult::L7TOUT, late(&what, check.timeout))
            })
        }
    }
}

fn late(what: &str, timeout: Duration) -> String {
    format!("{what} within {timeout:?}")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn http(expect: std::ops::RangeInclusive<u16>) -> Check {
        Check {
            kind: CheckKind::Http {
                method: "GET".to_owned(),
                path: "/healthz".to_owned(),
                host: None,
                expect: vec![expect],
            },
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(60),
            rise: 2,
            fall: 3,
        }
    }

    fn tcp() -> Check {
        Check {
            kind: CheckKind::Tcp,
            ..http(200..=200)
        }
    }

    /// A server that answers each connection with `answer`, then stays silent or closes.
    async fn origin(answer: &'static [u8], closes: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer).await;
                if !closes {
                    kept.push(stream);
                }
            }
        });
        address
    }

    async fn seen(address: SocketAddr, check: &Check) -> Seen {
        seen_by(Protocol::Http1, address, check).await
    }

    async fn seen_by(protocol: Protocol, address: SocketAddr, check: &Check) -> Seen {
        let target = Target {
            address,
            fallback_host: "app",
            send_proxy: None,
            tls: None,
            protocol,
        };
        probe(&target, check).await.unwrap()
    }

    async fn result(answer: &'static [u8], closes: bool) -> (CheckResult, Option<u16>, String) {
        let address = origin(answer, closes).await;
        let seen = seen(address, &http(200..=200)).await;
        (seen.result, seen.status, seen.detail)
    }

    #[tokio::test]
    async fn an_expected_status_is_ok_and_another_is_not() {
        let ok = result(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", false).await;
        assert_eq!(ok.0, CheckResult::L7OK);
        assert_eq!(ok.1, Some(200));
        let missing = result(b"HTTP/1.0 404 Nope\r\n\r\n", true).await;
        assert_eq!(missing.0, CheckResult::L7STS);
        assert_eq!(missing.1, Some(404));
        assert_eq!(missing.2, "GET /healthz answered 404, expected 200");
    }

    #[tokio::test]
    async fn what_is_no_http_is_a_bad_response() {
        let garbage = result(b"220 smtp.example.com ESMTP\r\n", false).await;
        assert_eq!(garbage.0, CheckResult::L7RSP, "{}", garbage.2);
        let nothing = result(b"", true).await;
        assert_eq!(nothing.0, CheckResult::L7RSP, "{}", nothing.2);
        let endless: &[u8] = Box::leak(
            [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'y'; 100_000]]
                .concat()
                .into_boxed_slice(),
        );
        let endless = result(endless, false).await;
        assert_eq!(endless.0, CheckResult::L7RSP, "{}", endless.2);
    }

    #[tokio::test]
    async fn a_server_is_said_not_to_speak_http2_where_it_does_not() {
        const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
        const OK: &[u8] = &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
        const BAD: &[u8] = &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0xff];
        let by_http1 = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec();
        for (answer, speaks) in [
            (by_http1, false),
            // No request can have come before the settings.
            (OK.to_vec(), false),
            ([SETTINGS, BAD].concat(), true),
        ] {
            let address = origin(answer.leak(), false).await;
            let seen = seen_by(Protocol::Http2, address, &http(200..=200)).await;
            assert_eq!(seen.result, CheckResult::L7RSP, "{}", seen.detail);
            let said = seen.detail.contains("it does not speak HTTP/2");
            assert_eq!(said, !speaks, "{}", seen.detail);
        }
    }

    #[tokio::test]
    async fn silence_is_a_timeout_of_layer_7() {
        let soon = Check {
            timeout: Duration::from_millis(300),
            ..http(200..=200)
        };
        let silent = seen(origin(b"", false).await, &soon).await;
        assert_eq!(silent.result, CheckResult::L7TOUT);
        assert_eq!(silent.detail, "GET /healthz got no answer within 300ms");
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_whatever_the_check() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(seen(address, &tcp()).await.result, CheckResult::L4OK);
        drop(listener);
        for check in [tcp(), http(200..=200)] {
            let seen = seen(address, &check).await;
            assert_eq!(
                seen,
                Seen::new(CheckResult::L4CON, "connection refused"),
                "{check:?}"
            );
        }
    }
}
