//! W3C Baggage: what an application hands on with its trace. Nothing of it is read before somebody asks for a key by name.
use super::headers::{Header, Headers, trim};

/// Bytes of a baggage, and its members (W3C Baggage, "Limits").
const MOST_BYTES: usize = 8192;
const MOST_MEMBERS: usize = 64;

/// All `baggage` headers as one list; empty if there is too much of it.
pub(super) fn joined(headers: &Headers) -> Box<[u8]> {
    let mut list = Vec::new();
    for value in headers.all(Header::Baggage).filter(|value| value.contains(&b'=')) {
        if !list.is_empty() {
            list.push(b',');
        }
        list.extend_from_slice(value);
    }
    if list.len() <= MOST_BYTES { list.into() } else { Box::default() }
}

/// The value of the first member with that key, without its properties, percent-decoded; what is not UTF-8 then is replaced.
pub(super) fn value(list: &[u8], key: &str) -> Option<String> {
    let members = list.split(|b| *b == b',').take(MOST_MEMBERS);
    let value = members.into_iter().find_map(|member| {
        let pair = member.split(|b| *b == b';').next()?;
        let (name, value) = pair.split_at_checked(pair.iter().position(|b| *b == b'=')?)?;
        (trim(name) == key.as_bytes()).then_some(trim(value.strip_prefix(b"=")?))
    })?;
    Some(String::from_utf8_lossy(&decoded(value)).into_owned())
}

/// Percent-decodes (RFC 3986 section 2.1). A percent sign without its two digits becomes a byte that is not UTF-8.
fn decoded(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = tail.split_first_chunk::<2>().and_then(|(digits, tail)| Some((super::digits::hex(digits, 2)?, tail)));
        bytes.push(digits.map_or(0xff, |(number, _)| number as u8));
        rest = digits.map_or(tail, |(_, tail)| tail);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::testing::carried;

    #[test]
    fn a_value_is_read_by_its_key_from_all_headers() {
        let headers = [
            ("baggage", "user = alice%20b+c ;secret=1, tenant=t%C3%A91;p=2"),
            ("traceparent", "x"),
            ("Baggage", "bad=%FFx%4,tenant=2,empty="),
        ];
        let found = carried(&headers).expect("baggage");
        let value = |key: &str| found.baggage(key);
        assert_eq!(value("user").as_deref(), Some("alice b+c"));
        assert_eq!(value("tenant").as_deref(), Some("té1"));
        assert_eq!(value("bad").as_deref(), Some("\u{fffd}x\u{fffd}4"));
        assert_eq!(value("empty").as_deref(), Some(""));
        assert_eq!([value("secret"), value("User"), value("")], [None, None, None]);
    }

    #[test]
    fn too_much_baggage_is_none() {
        let long = format!("key={}", "v".repeat(super::MOST_BYTES));
        assert_eq!(carried(&[("baggage", &long)]), None);
        let many = (0..=super::MOST_MEMBERS).map(|n| format!("k{n}={n}")).collect::<Vec<_>>().join(",");
        let found = carried(&[("baggage", &many)]).expect("baggage");
        assert_eq!((found.baggage("k63").as_deref(), found.baggage("k64")), (Some("63"), None));
    }
}
