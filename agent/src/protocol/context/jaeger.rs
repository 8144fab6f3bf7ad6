//! Jaeger: `uber-trace-id`, with colons that some clients write URL-encoded.
use super::headers::{Header, Headers};
use super::{Format, Sampling, TraceContext, digits};

/// Longest value: 32 + 16 + 16 + 2 digits and three colons of three characters each.
const LONGEST: usize = 75;

/// Reads `TRACE:SPAN:PARENT:FLAGS` in hexadecimal digits without padding; the parent is of no use and may be anything.
pub(super) fn read(headers: &Headers) -> Option<TraceContext> {
    let value = headers.one(Header::Jaeger).filter(|value| value.len() <= LONGEST)?;
    let mut parts = [&b""[..]; 4];
    let mut rest = Some(value);
    for part in &mut parts {
        (*part, rest) = split_at_colon(rest?);
    }
    let ([trace, span, _, flags], None) = (parts, rest) else { return None };
    let sampling = match digits::hex(flags, 2)? & 0b11 {
        0b01 => Sampling::Accepted,
        0b11 => Sampling::Debug,
        _ => Sampling::Denied,
    };
    TraceContext::new(Format::Jaeger, digits::hex(trace, 32)?, Some(digits::hex(span, 16)? as u64), sampling)
}

/// What stands before the first colon, and what behind it.
fn split_at_colon(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(place) = text.iter().position(|b| matches!(b, b':' | b'%')) else { return (text, None) };
    let (before, behind) = text.split_at(place);
    match behind {
        [b':', rest @ ..] | [b'%', b'3', b'A' | b'a', rest @ ..] => (before, Some(rest)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::short;
    use super::*;

    #[test]
    fn the_header_is_read_as_jaegers_clients_write_it() {
        let (small, whole) = (0x4d_0000_0000_0000_0016, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        let (span, other) = (Some(0x17c29), Some(0x00f0_67aa_0ba9_02b7));
        for (value, expected) in [
            ("4d0000000000000016:17c29:0:5", Some((small, span, Sampling::Accepted))),
            ("236f2e:17c29:0:1", Some((0x0023_6f2e, span, Sampling::Accepted))),
            ("000000000000004d0000000000000016%3A0000000000017c29%3A0%3A1", Some((small, span, Sampling::Accepted))),
            ("4d0000000000000016%3a17c29%3a0%3a1", Some((small, span, Sampling::Accepted))),
            ("4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:3", Some((whole, other, Sampling::Debug))),
            ("4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:0", Some((whole, other, Sampling::Denied))),
            ("4BF92F3577B34DA6A3CE929D0E0E4736:00F067AA0BA902B7::01", Some((whole, other, Sampling::Accepted))),
            ("aa:bb:cc", None),
            ("aa:bb:cc:dd:ee", None),
            ("aa%3Bbb%3Bcc%3B1", None),
            ("x236f2e:17c29:0:1", None),
            ("4bf92f3577b34da6a3ce929d0e0e473600:17c29:0:1", None),
            ("236f2e:00f067aa0ba902b700:0:1", None),
            ("0:17c29:0:1", None),
            ("236f2e:0:0:1", None),
            ("236f2e:17c29:0:", None),
            ("236f2e:17c29:0:10220", None),
            ("", None),
        ] {
            assert_eq!(short(&[("uber-trace-id", value)]), expected, "{value}");
        }
    }
}
