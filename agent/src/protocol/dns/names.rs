//! Names of record types and response codes, from the registry of DNS parameters (RFC 6895).
use std::borrow::Cow;

/// Type of an IPv4 address.
pub(super) const A: u16 = 1;
/// Type of an IPv6 address.
pub(super) const AAAA: u16 = 28;

/// What the name of every span begins with.
const PREFIX: &str = "DNS ";

/// The name of a span that asks for records of this type; of unusual types, only that it asks.
pub(super) fn span(kind: u16) -> &'static str {
    match kind {
        A => "DNS A",
        2 => "DNS NS",
        5 => "DNS CNAME",
        6 => "DNS SOA",
        12 => "DNS PTR",
        13 => "DNS HINFO",
        15 => "DNS MX",
        16 => "DNS TXT",
        AAAA => "DNS AAAA",
        29 => "DNS LOC",
        33 => "DNS SRV",
        35 => "DNS NAPTR",
        39 => "DNS DNAME",
        43 => "DNS DS",
        44 => "DNS SSHFP",
        46 => "DNS RRSIG",
        47 => "DNS NSEC",
        48 => "DNS DNSKEY",
        50 => "DNS NSEC3",
        51 => "DNS NSEC3PARAM",
        52 => "DNS TLSA",
        59 => "DNS CDS",
        60 => "DNS CDNSKEY",
        61 => "DNS OPENPGPKEY",
        64 => "DNS SVCB",
        65 => "DNS HTTPS",
        99 => "DNS SPF",
        251 => "DNS IXFR",
        252 => "DNS AXFR",
        255 => "DNS ANY",
        256 => "DNS URI",
        257 => "DNS CAA",
        _ => "DNS",
    }
}

/// The name of a type (RFC 3597 section 5 for unusual ones).
pub(super) fn kind(kind: u16) -> Cow<'static, str> {
    span(kind).strip_prefix(PREFIX).map_or_else(|| Cow::Owned(format!("TYPE{kind}")), Cow::Borrowed)
}

/// The name of a response code, and what it is called as an error.
pub(super) fn code(code: u8) -> (&'static str, Option<&'static str>) {
    match code {
        0 => ("NOERROR", None),
        1 => ("FORMERR", Some("formerr")),
        2 => ("SERVFAIL", Some("servfail")),
        3 => ("NXDOMAIN", Some("nxdomain")),
        4 => ("NOTIMP", Some("notimp")),
        5 => ("REFUSED", Some("refused")),
        6 => ("YXDOMAIN", Some("yxdomain")),
        7 => ("YXRRSET", Some("yxrrset")),
        8 => ("NXRRSET", Some("nxrrset")),
        9 => ("NOTAUTH", Some("notauth")),
        10 => ("NOTZONE", Some("notzone")),
        _ => ("RESERVED", Some("_OTHER")),
    }
}
