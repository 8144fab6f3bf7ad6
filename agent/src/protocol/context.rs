//! Trace context that a request carries: facts about who made it.
//!
//! Header values become a [`TraceContext`], or nothing when they break their format's grammar: a wrong parent is worse than none.

/// Bytes of `tracestate` that are kept; the specification asks for at least 512, and a span carries it whole or not at all.
const LONGEST_STATE: usize = 512;
/// Members of a `tracestate` (W3C Trace Context section 3.3.1.1).
const MOST_MEMBERS: usize = 32;
/// Longest key or value of a `tracestate` member (section 3.3.1.3).
const LONGEST_MEMBER_PART: usize = 256;
/// Length of a `traceparent` of version 00, and the least of any later version.
const TRACEPARENT: usize = 55;

/// A context found in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Name of the format, as it stands in `wirespan.link` after `header:`.
    pub format: &'static str,
    /// Trace.
    pub trace_id: [u8; 16],
    /// The span that made the request.
    pub parent: [u8; 8],
    /// W3C trace flags.
    pub flags: u8,
    /// W3C `tracestate`, if it was valid.
    pub state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads W3C Trace Context (level 2) from the values of all `traceparent` and all `tracestate` headers of one request, in order.
    ///
    /// `None` unless there is exactly one `traceparent` and it is valid. Of the flags only those that the version defines are kept;
    /// an invalid `tracestate` is dropped whole.
    #[must_use]
    pub fn w3c(traceparent: &[&[u8]], tracestate: &[&[u8]]) -> Option<Self> {
        let [value] = traceparent else { return None };
        let value = trim(value);
        let (fixed, rest) = value.split_at_checked(TRACEPARENT)?;
        let [a, b, b'-', ids @ .., b'-', c, d] = fixed else { return None };
        let version = octet(*a, *b)?;
        let flags = octet(*c, *d)?;
        let (trace_id, parent) = ids.split_at_checked(32)?;
        let parent = hex::<8>(parent.strip_prefix(b"-")?)?;
        let trace_id = hex::<16>(trace_id)?;
        let known_flags = match (version, rest.first()) {
            (0, None) => 0b11,
            (1..=0xfe, None | Some(b'-')) => 0b01,
            _ => return None,
        };
        if trace_id == [0; 16] || parent == [0; 8] {
            return None;
        }
        Some(Self { format: "tracecontext", trace_id, parent, flags: flags & known_flags, state: state(tracestate) })
    }
}

/// The members of all `tracestate` headers, joined; `None` if there are none, or one is invalid.
fn state(values: &[&[u8]]) -> Option<Box<str>> {
    if values.iter().map(|value| value.len()).sum::<usize>() > LONGEST_STATE {
        return None;
    }
    let mut members: Vec<(&[u8], &[u8])> = Vec::new();
    for member in values.iter().flat_map(|value| value.split(|b| *b == b',')).map(trim).filter(|member| !member.is_empty()) {
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

/// Without the optional white space of RFC 9110 section 5.6.3.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `2 * N` lowercase hexadecimal digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = octet(*high, *low)?;
    }
    Some(out)
}

fn octet(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: [u8; 16] = [0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12];
    const PARENT: [u8; 8] = [0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56];
    const VALID: &[u8] = b"00-12345678901234567890123456789012-1234567890123456-01";

    fn flags(traceparent: &str) -> Option<u8> {
        let context = TraceContext::w3c(&[traceparent.as_bytes()], &[])?;
        let whole = TraceContext { format: "tracecontext", trace_id: TRACE, parent: PARENT, flags: context.flags, state: None };
        assert_eq!(context, whole, "{traceparent}");
        Some(context.flags)
    }

    #[test]
    fn traceparent_is_read_as_the_specification_says() {
        let ids = "12345678901234567890123456789012-1234567890123456";
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
            assert_eq!(flags(&value), expected, "{value}");
        }
    }

    #[test]
    fn exactly_one_traceparent_is_a_context() {
        assert_eq!(TraceContext::w3c(&[], &[b"foo=1"]), None);
        assert_eq!(TraceContext::w3c(&[VALID, VALID], &[]), None);
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
            let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            let expected =
                TraceContext { format: "tracecontext", trace_id: TRACE, parent: PARENT, flags: 1, state: expected.map(Into::into) };
            assert_eq!(TraceContext::w3c(&[VALID], &bytes), Some(expected), "{values:?}");
        }
    }
}
