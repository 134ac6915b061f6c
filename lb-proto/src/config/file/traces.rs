//! `[traces]`: the spans that lbd tells of.

use super::table::{Shape, Value};
use super::tls::located;
use crate::config::problem::Fault;
use crate::config::tls::{Place, ServerTls};
use crate::config::{Share, Traces, Url, address};

/// Of the requests that begin a trace here: enough to see how it goes, and too few to be felt.
const SAMPLE: Share = Share(0.01);

const TRACES: Shape = Shape {
    what: "[traces]",
    example: "a section: [traces]",
    keys: &["otlp", "ca", "sample", "service_name"],
    later: &[],
};

const HOW: &str = "write where a collector takes OTLP by HTTP, as in \"http://127.0.0.1:4318\"";

pub(super) fn read(value: Value<'_>) -> Option<Traces> {
    let table = value.table(&TRACES)?;
    let sample = table.get("sample").map(|value| share(&value));
    let service_name = table.get("service_name").map(|value| value.words());
    let ca = table.get("ca");
    let located = ca.map(|ca| located(&ca));
    let given = table.require("otlp", "`otlp = \"http://127.0.0.1:4318\"`");
    let otlp = given.and_then(|given| given.parse(url));
    if let (Some(ca), Some(Url { secure: false, .. })) = (ca, &otlp) {
        ca.wrong_key(Fault::new(
            "`ca` says who is trusted, and nobody is asked to prove anything by http",
            "write an https URL in `otlp`, or remove it",
        ));
    }
    let tls = |at| ServerTls {
        verify: true,
        ca: located.flatten(),
        sni: None,
        cert: None,
        alpn: vec!["http/1.1".to_owned()],
        place: Place(at),
    };
    let otlp = otlp?;
    Some(Traces {
        tls: otlp
            .secure
            .then(|| tls(given.map_or(value.at, |given| given.at))),
        otlp,
        sample: sample.unwrap_or(Some(SAMPLE))?,
        service_name: service_name.map_or(Some("lbd"), |name| name)?.to_owned(),
    })
}

fn share(value: &Value<'_>) -> Option<Share> {
    let Some(digits) = value.as_digits() else {
        value.mistyped("a number", "write it in digits, without quotes, as in 0.01");
        return None;
    };
    let share = digits.parse().unwrap_or(f64::NAN);
    if !(0.0..=1.0).contains(&share) {
        value.wrong(Fault::new(
            format!("`{digits}` is no share of all requests"),
            "write a number from 0 (none) to 1 (all), as in 0.01",
        ));
        return None;
    }
    Some(Share(share))
}

/// A base URL (OTLP specification, endpoint URLs for OTLP/HTTP).
fn url(text: &str) -> Result<Url, Fault> {
    let bad = |what: &str| Fault::new(format!("`{text}` {what}"), HOW);
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| bad("is not a URL of http or https"))?;
    let (secure, port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return Err(bad("is not a URL of http or https")),
    };
    if rest.contains(['?', '#', '@']) {
        return Err(bad("has more than a host, a port and a path"));
    }
    let visible = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    if !rest.bytes().all(visible) {
        return Err(bad("has characters that no URL has"));
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.trim_end_matches('/');
    if path.ends_with("/v1/traces") {
        return Err(Fault::new(
            "`otlp` is the base of the URL: `/v1/traces` is added to it",
            "remove `/v1/traces`",
        ));
    }
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    let whole = match has_port {
        true => authority.to_owned(),
        false => format!("{authority}:{port}"),
    };
    let address = address::server(&whole).map_err(|fault| Fault::new(fault.message, HOW))?;
    Ok(Url {
        secure,
        address,
        authority: authority.to_owned(),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_base() {
        let shown = |text: &str| url(text).map(|url| (url.to_string(), url.address.to_string()));
        for (text, base, address) in [
            (
                "http://127.0.0.1:4318",
                "http://127.0.0.1:4318",
                "127.0.0.1:4318",
            ),
            (
                "HTTPS://otel.example",
                "https://otel.example",
                "otel.example:443",
            ),
            (
                "http://otel.example/",
                "http://otel.example",
                "otel.example:80",
            ),
            ("http://[::1]/a/b/", "http://[::1]/a/b", "[::1]:80"),
            ("http://[::1]:4318/a", "http://[::1]:4318/a", "[::1]:4318"),
        ] {
            assert_eq!(shown(text), Ok((base.to_owned(), address.to_owned())));
        }
        for text in [
            "",
            "127.0.0.1:4318",
            "grpc://a:4317",
            "http://",
            "http://a:0",
            "http://a:x",
            "http://a:1/?b",
            "http://a:1/#b",
            "http://me:secret@a:1",
            "http://a:1/v1/traces",
            "http://a:1/b c",
            "http://a:1/\r\nx: y",
            "http://0.0.0.0:1",
        ] {
            assert!(url(text).is_err(), "{text:?}");
        }
    }
}
