//! `traceparent` (W3C Trace Context, 3.2): which trace a request belongs to. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::hex;

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The flag that says that the trace is recorded.
pub(super) const SAMPLED: u8 = 1;

/// Flags with a meaning that is known: what stands in the others is not passed on. The second says that
/// the trace's id is a random one.
const FLAGS: u8 = 3;

/// Of version 00. Later ones may go on after a dash.
const LENGTH: usize = 55;

/// Whence a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) flags: u8,
}

impl Parent {
    /// `None`: there is none that can be understood, or there are several.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (only, more) = (all.next()?, all.next());
        parse(only.as_bytes()).filter(|_| more.is_none())
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// For whoever comes next.
    pub(super) fn value(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex::write(&self.trace, &mut text[3..35]);
        hex::write(&self.span, &mut text[36..52]);
        hex::write(&[self.flags], &mut text[53..55]);
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

fn parse(text: &[u8]) -> Option<Parent> {
    let (text, rest) = text.split_at_checked(LENGTH)?;
    let [version] = read(&text[..2])?;
    let whole = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.first().is_none_or(|next| *next == b'-'),
    };
    let dashes = [2, 35, 52].iter().all(|at| text[*at] == b'-');
    if !whole || !dashes {
        return None;
    }
    let [flags] = read(&text[53..])?;
    let parent = Parent {
        trace: read(&text[3..35])?,
        span: read(&text[36..52])?,
        flags: flags & FLAGS,
    };
    (parent.trace != [0; 16] && parent.span != [0; 8]).then_some(parent)
}

/// Hexadecimal digits, lower case only.
fn read<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn of(values: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Parent::of(&headers)
    }

    #[test]
    fn what_is_read_is_written_again() {
        for flags in ["00", "01", "02", "03"] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            let parent = of(&[&text]).unwrap();
            assert_eq!(parent.value(), text.as_str());
            assert_eq!(parent.is_sampled(), flags.ends_with(['1', '3']));
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let known = of(&[&format!("00-{TRACE}-{SPAN}-01")]);
        for later in [
            format!("01-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01-what.else"),
            format!("fe-{TRACE}-{SPAN}-fd"),
        ] {
            assert_eq!(of(&[&later]), known, "{later}");
        }
    }

    #[test]
    fn what_is_none_begins_a_new_trace() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        let none = [
            String::new(),
            good[..54].to_owned(),
            format!("{good}-"),
            format!("{good}0"),
            good.to_uppercase(),
            good.replace('-', "_"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("01-{TRACE}-{SPAN}-01.x"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!(" {good}"),
        ];
        for text in &none {
            assert_eq!(of(&[text]), None, "{text:?}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[&good, &good]), None);
    }
}
