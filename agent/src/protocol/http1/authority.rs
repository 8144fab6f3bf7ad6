//! Names of hosts as requests carry them: an authority becomes host and port, a forwarding header the address of the first client.
use std::net::{IpAddr, SocketAddr};

/// Longest name of a host: that of the DNS (RFC 1035 section 2.3.4).
const LONGEST_HOST: usize = 255;

/// Host and port of an authority (RFC 3986 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::protocol) struct Authority<'a> {
    /// Name or address, without the brackets of an IPv6 address.
    pub(super) host: &'a str,
    /// Port, if it was given.
    pub(super) port: Option<u16>,
    /// Host and port as they were written.
    pub(super) text: &'a str,
    /// User information stood before it.
    pub(super) credentials: bool,
}

impl<'a> Authority<'a> {
    /// Reads an authority; `None` if it is empty or has characters or lengths that no host has.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let all = std::str::from_utf8(bytes).ok()?;
        let credentials = all.bytes().any(|byte| byte == b'@');
        let text = if credentials { all.rsplit_once('@').map_or(all, |(_, text)| text) } else { all };
        let (host, port) = match text.strip_prefix('[') {
            Some(inner) => {
                let (host, port) = inner.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => cut(text, b':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let valid = if text.starts_with('[') {
            host.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b':' | b'.' | b'%'))
        } else {
            host.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b'%'))
        };
        let port = match port {
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        (valid && !host.is_empty() && host.len() <= LONGEST_HOST).then_some(Self { host, port, text, credentials })
    }
}

/// What stands before and behind the first `separator`, an ASCII character.
pub(super) fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    let place = memchr::memchr(separator, text.as_bytes())?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// The address of the first client, from the values of `Forwarded` (RFC 7239) and `X-Forwarded-For`; `None` if it is no address.
pub(super) fn first_client(forwarded: Option<&[u8]>, x_forwarded_for: Option<&[u8]>) -> Option<IpAddr> {
    let first = |value: &'_ [u8]| std::str::from_utf8(value).ok().and_then(|value| value.split(',').next()).map(|v| v.trim().to_owned());
    if let Some(element) = forwarded.and_then(first) {
        let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let node = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case("for")).map(|(_, node)| node.trim().trim_matches('"')).next();
        if let Some(address) = node.and_then(address) {
            return Some(address);
        }
    }
    x_forwarded_for.and_then(first).and_then(|node| address(&node))
}

/// An address, maybe with a port or in brackets.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|node| node.strip_suffix(']')).unwrap_or(node);
    bare.parse().ok().or_else(|| node.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_maybe_a_port() {
        for (given, expected) in [
            ("example.com", Some(("example.com", None, "example.com", false))),
            ("example.com:8080", Some(("example.com", Some(8080), "example.com:8080", false))),
            ("example.com:", Some(("example.com", None, "example.com:", false))),
            ("198.18.0.1:80", Some(("198.18.0.1", Some(80), "198.18.0.1:80", false))),
            ("[2001:db8::1]:81", Some(("2001:db8::1", Some(81), "[2001:db8::1]:81", false))),
            ("[::1]", Some(("::1", None, "[::1]", false))),
            ("me:secret@host:1", Some(("host", Some(1), "host:1", true))),
            ("a@b@host", Some(("host", None, "host", true))),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a/b", None),
            ("host:99999", None),
            ("host:+8", None),
            ("::1", None),
            ("[::1]8", None),
            ("[::1", None),
            ("h\u{f6}st", None),
        ] {
            let expected = expected.map(|(host, port, text, credentials)| Authority { host, port, text, credentials });
            assert_eq!(Authority::read(given.as_bytes()), expected, "{given}");
        }
        assert_eq!(Authority::read(&[b'a'; LONGEST_HOST + 1]), None);
    }

    #[test]
    fn the_first_client_is_a_valid_address_or_unknown() {
        for (forwarded, x_forwarded_for, expected) in [
            (None, None, None),
            (None, Some("203.0.113.7, 198.51.100.1"), Some("203.0.113.7")),
            (None, Some(" 203.0.113.7:1234"), Some("203.0.113.7")),
            (None, Some("2001:db8::1"), Some("2001:db8::1")),
            (None, Some("unknown, 203.0.113.7"), None),
            (None, Some("<script>"), None),
            (Some("for=192.0.2.60;proto=http;by=203.0.113.43"), None, Some("192.0.2.60")),
            (Some("proto=http; For=\"[2001:db8:cafe::17]:4711\", for=192.0.2.1"), Some("203.0.113.7"), Some("2001:db8:cafe::17")),
            (Some("for=_hidden"), Some("203.0.113.7"), Some("203.0.113.7")),
        ] {
            let found = first_client(forwarded.map(str::as_bytes), x_forwarded_for.map(str::as_bytes));
            assert_eq!(found, expected.and_then(|address| address.parse().ok()), "{forwarded:?} {x_forwarded_for:?}");
        }
    }
}
