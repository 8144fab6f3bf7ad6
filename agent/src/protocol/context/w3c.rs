//! W3C Trace Context, level 2: `traceparent` and `tracestate`.
use super::headers::{Header, Headers, trim};
use super::{Format, Sampling, TraceContext, digits};

/// Bytes of `tracestate` that are kept; the specification asks for at least 512, and a span carries it whole or not at all.
const LONGEST_STATE: usize = 512;
/// Members of a `tracestate` (section 3.3.1.1).
const MOST_MEMBERS: usize = 32;
/// Longest key or value of a `tracestate` member (section 3.3.1.3).
const LONGEST_MEMBER_PART: usize = 256;
/// Length of a `traceparent` of version 00, and the least of any later version.
const TRACEPARENT: usize = 55;

/// Reads all `traceparent` and all `tracestate` headers of one request.
///
/// `None` unless there is exactly one `traceparent` and it is valid. Of the flags only those that the version defines are kept; an
/// invalid `tracestate` is dropped whole.
pub(super) fn read(headers: &Headers) -> Option<TraceContext> {
    let value = headers.one(Header::TraceParent)?;
    let (fixed, rest) = value.split_at_checked(TRACEPARENT)?;
    if fixed.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let [version @ .., b'-', _, _] = fixed else { return None };
    let (version, ids) = version.split_at_checked(2)?;
    let (trace, parent) = ids.strip_prefix(b"-")?.split_at_checked(32)?;
    let (version, flags) = (digits::hex(version, 2)?, digits::hex(fixed.get(TRACEPARENT - 2..)?, 2)?);
    let known_flags = match (version, rest.first()) {
        (0, None) => 0b11,
        (1..=0xfe, None | Some(b'-')) => 0b01,
        _ => return None,
    };
    let flags = flags & known_flags;
    let parent = digits::span(parent.strip_prefix(b"-")?)?;
    let context = TraceContext::new(Format::TraceContext, digits::trace(trace)?, Some(parent), Sampling::of(flags & 1 > 0))?;
    Some(TraceContext { random: flags & 2 > 0, state: state(headers), ..context })
}

/// The members of all `tracestate` headers, joined; `None` if there are none, or one is invalid.
fn state(headers: &Headers) -> Option<Box<str>> {
    let values = || headers.all(Header::TraceState);
    if values().map(<[u8]>::len).sum::<usize>() > LONGEST_STATE {
        return None;
    }
    let mut members: Vec<(&[u8], &[u8])> = Vec::new();
    for member in values().flat_map(|value| value.split(|b| *b == b',')).map(trim).filter(|member| !member.is_empty()) {
        let (key, value) = member.split_at_checked(member.iter().position(|b| *b == b'=')?)?;
        let value = value.strip_prefix(b"=")?;
        if !is_key(key) || !is_value(value) {
            return None;
        }
        if members.iter().all(|(known, _)| *known != key) {
            members.push((key, value));
        }
        if members.len() > MOST_MEMBERS {
            return None;
        }
    }
    let joined = members.iter().map(|(key, value)| [*key, value].join(&b'=')).collect::<Vec<_>>().join(&b',');
    String::from_utf8(joined).ok().filter(|state| !state.is_empty()).map(String::into_boxed_str)
}

fn is_key(key: &[u8]) -> bool {
    let valid = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(b);
    key.len() <= LONGEST_MEMBER_PART && key.iter().all(valid) && key.first().is_some_and(u8::is_ascii_alphanumeric)
}

fn is_value(value: &[u8]) -> bool {
    let valid = |b: &u8| matches!(b, 0x20..=0x7e) && *b != b'=';
    (1..=LONGEST_MEMBER_PART).contains(&value.len()) && value.iter().all(valid)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{carried, context};
    use super::*;

    const IDS: &str = "12345678901234567890123456789012-1234567890123456";

    fn expected(flags: u8, state: Option<&str>) -> TraceContext {
        let sampling = Sampling::of(flags & 1 > 0);
        let ids = (0x1234_5678_9012_3456_7890_1234_5678_9012, Some(0x1234_5678_9012_3456));
        let context = TraceContext::new(Format::TraceContext, ids.0, ids.1, sampling).expect("not zero");
        TraceContext { random: flags & 2 > 0, state: state.map(Into::into), ..context }
    }

    #[test]
    fn traceparent_is_read_as_the_specification_says() {
        let ids = IDS;
        for (value, expected) in [
            (format!("00-{ids}-01"), Some(1)),
            (format!("00-{ids}-00"), Some(0)),
            (format!("00-{ids}-02"), Some(2)),
            (format!("00-{ids}-03"), Some(3)),
            (format!("00-{ids}-ff"), Some(3)),
            (format!("cc-{ids}-01"), Some(1)),
            (format!("cc-{ids}-03"), Some(1)),
            (format!("cc-{ids}-01-what-the-future-will-be-like"), Some(1)),
            (format!("cc-{ids}-01.what-the-future-will-be-like"), None),
            (format!("00-{ids}-01-what-the-future-will-be-like"), None),
            (format!("00-{ids}-01."), None),
            (format!("ff-{ids}-01"), None),
            (format!(".0-{ids}-01"), None),
            (format!("000-{ids}-01"), None),
            (format!("0-{ids}-01"), None),
            (format!("00-{ids}-1"), None),
            (format!("00-{ids}-001"), None),
            (format!("00-{ids}-.0"), None),
            (format!("00-{ids}"), None),
            (format!("\t 00-{ids}-01 \t"), Some(1)),
            (String::new(), None),
            ("00-00000000000000000000000000000000-1234567890123456-01".into(), None),
            ("00-12345678901234567890123456789012-0000000000000000-01".into(), None),
            ("00-1234567890123456789012345678901A-1234567890123456-01".into(), None),
            ("00-12345678901234567890123456789012-123456789012345A-01".into(), None),
            ("00-.2345678901234567890123456789012-1234567890123456-01".into(), None),
            ("00-1234567890123456789012345678901-12345678901234567-01".into(), None),
        ] {
            assert_eq!(context(&[("traceparent", &value)]), expected.map(|flags| super::tests::expected(flags, None)), "{value}");
        }
    }

    #[test]
    fn exactly_one_traceparent_is_a_context() {
        let valid = format!("00-{IDS}-01");
        assert_eq!(carried(&[("tracestate", "foo=1")]), None);
        assert_eq!(carried(&[("traceparent", &valid), ("traceparent", &valid)]), None);
    }

    #[test]
    fn tracestate_is_kept_whole_or_dropped_whole() {
        let long_key = format!("{}=1", "z".repeat(256));
        let long_value = format!("a={}", "v".repeat(256));
        let many: Vec<String> = (0..33).map(|i| format!("k{i}=1")).collect();
        for (values, expected) in [
            (vec!["foo=1,bar=2"], Some("foo=1,bar=2")),
            (vec!["foo=1", "bar=2"], Some("foo=1,bar=2")),
            (vec![" foo=1 \t,\t bar=2, "], Some("foo=1,bar=2")),
            (vec!["foo=1,", "", ",bar=2"], Some("foo=1,bar=2")),
            (vec!["foo=1,foo=2"], Some("foo=1")),
            (vec!["foo@=1,bar=2"], Some("foo@=1,bar=2")),
            (vec!["foo@@bar=1"], Some("foo@@bar=1")),
            (vec!["0a-_*/=x y!"], Some("0a-_*/=x y!")),
            (vec![&long_key], Some(long_key.as_str())),
            (vec![&long_value], Some(long_value.as_str())),
            (vec![&many[..32].join(",")], Some(many[..32].join(",").as_str())),
            (vec![&many.join(",")], None),
            (vec![&format!("z{long_key}")], None),
            (vec![&format!("{long_value}v")], None),
            (vec![&long_key, &long_value], None),
            (vec!["@foo=1"], None),
            (vec!["FOO=1"], None),
            (vec!["foo =1"], None),
            (vec!["foo.bar=1"], None),
            (vec!["foo=bar=baz"], None),
            (vec!["foo=,bar=3"], None),
            (vec!["foo,bar=3"], None),
            (vec!["foo=\u{e9}"], None),
            (vec![""], None),
            (vec![], None),
        ] {
            let parent = format!("00-{IDS}-01");
            let headers: Vec<(&str, &str)> =
                [("traceparent", parent.as_str())].into_iter().chain(values.iter().map(|value| ("tracestate", *value))).collect();
            assert_eq!(context(&headers), Some(super::tests::expected(1, expected)), "{values:?}");
        }
    }
}
