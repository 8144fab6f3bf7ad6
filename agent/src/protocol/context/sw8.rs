//! Apache `SkyWalking`: `sw8`, version 3. Its ids are texts; those that its agents make become the ids that the OpenTelemetry
//! Collector's receiver makes of them, so that both meet in one trace. Any other text is hashed.
use super::headers::{Header, Headers};
use super::{Format, Sampling, TraceContext, digits};
use crate::protocol::base64;
use sha1_smol::Sha1;

/// Longest value, as `SkyWalking` itself accepts it.
const LONGEST: usize = 2048;
/// Longest text of a trace id that is a UUID: with its dashes.
const UUID: usize = 36;

/// Reads `SAMPLE-TRACE-SEGMENT-SPAN-SERVICE-INSTANCE-ENDPOINT-PEER`, all but the first and the span in base64.
pub(super) fn read(headers: &Headers) -> Option<TraceContext> {
    let mut fields = headers.one(Header::Sw8).filter(|value| value.len() <= LONGEST)?.split(|b| *b == b'-');
    let sampling = match fields.next()? {
        b"0" => Sampling::Denied,
        b"1" => Sampling::Accepted,
        _ => return None,
    };
    let (trace, segment) = (base64::decode(fields.next()?)?, base64::decode(fields.next()?)?);
    let span = u32::try_from(digits::decimal(fields.next()?)?).ok()?;
    for _ in ["service", "instance", "endpoint", "peer"] {
        base64::decode(fields.next()?)?;
    }
    if fields.next().is_some() || trace.is_empty() || segment.is_empty() {
        return None;
    }
    TraceContext::new(Format::Sw8, u128::from_be_bytes(trace_id(&trace)), Some(span_id(&segment, span)), sampling)
}

fn trace_id(text: &[u8]) -> [u8; 16] {
    let uuid = if text.len() <= UUID { uuid(text) } else { unique(text) };
    uuid.unwrap_or_else(|| hashed(text))
}

/// A span has no id of its own in `SkyWalking`, but a number in its segment.
fn span_id(segment: &[u8], span: u32) -> u64 {
    let mut unique = unique(segment).unwrap_or_else(|| hashed(segment));
    mix(&mut unique, span.to_le_bytes());
    let number = u128::from_be_bytes(unique);
    (number >> 64) as u64 ^ number as u64
}

/// A UUID, with or without its dashes.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let dashes = [8, 13, 18, 23];
    let plain: Vec<u8> = match text.len() {
        32 => text.to_vec(),
        UUID if dashes.iter().all(|place| text.get(*place) == Some(&b'-')) => text.iter().copied().filter(|b| *b != b'-').collect(),
        _ => return None,
    };
    (plain.len() == 32).then(|| digits::hex(&plain, 32))?.map(u128::to_be_bytes)
}

/// `UUID[.THREAD.NUMBER]`, as the Java agent and others write trace and segment ids.
fn unique(text: &[u8]) -> Option<[u8; 16]> {
    let (start, rest) = text.split_at_checked(32)?;
    let mut bytes = digits::hex(start, 32)?.to_be_bytes();
    if let Some(rest) = rest.strip_prefix(b".") {
        let (thread, number) = rest.split_at_checked(rest.iter().position(|b| *b == b'.')?)?;
        let (thread, number) = (digits::decimal(thread)? as u32, digits::decimal(number.strip_prefix(b".")?)?);
        let [_, upper @ ..] = bytes.as_chunks_mut::<4>().0 else { return None };
        let words = [thread, number as u32, (number >> 32) as u32];
        upper.iter_mut().zip(words).for_each(|(bytes, word)| mix_word(bytes, word.to_le_bytes()));
        return Some(bytes);
    }
    rest.is_empty().then_some(bytes)
}

fn mix(bytes: &mut [u8; 16], word: [u8; 4]) {
    if let Some(first) = bytes.first_chunk_mut::<4>() {
        mix_word(first, word);
    }
}

fn mix_word(bytes: &mut [u8; 4], word: [u8; 4]) {
    bytes.iter_mut().zip(word).for_each(|(byte, other)| *byte ^= other);
}

/// The first 16 bytes of the SHA-1 of a text that has no form that is known: the same everywhere, and like no other.
fn hashed(text: &[u8]) -> [u8; 16] {
    let digest = Sha1::from(text).digest().bytes();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::short;
    use super::*;

    #[test]
    fn a_header_of_the_java_agent_gives_the_ids_that_the_collector_gives() {
        let value = concat!(
            "1-YTRlYzZmYzhjY2FiNGJiNGI2ODIwNjQ2OThjYzk3ZTYuNzQuMTYyMTgzODExMDQ1NTAwMDk=",
            "-YTRlYzZmYzhjY2FiNGJiNGI2ODIwNjQ2OThjYzk3ZTYuNzQuMTYyMTgzODExMDQ1NTAwMDg=",
            "-2-b25lbW9yZS1h-b25lbW9yZS1hLTE=-L29uZW1vcmUtYS9nZXQ=-MTkyLjE2OC4xLjEwMjo4MA=="
        );
        let expected = (0xa4ec_6fc8_86ab_4bb4_cf12_975a_1052_aee6, Some(0x68fe_f892_96f9_e552), Sampling::Accepted);
        assert_eq!(short(&[("sw8", value)]), Some(expected));
    }

    #[test]
    fn ids_have_the_forms_that_agents_give_them() {
        for (text, expected) in [
            ("de5980b8-fce3-4a37-aab9-b4ac3af7eedd", 0xde59_80b8_fce3_4a37_aab9_b4ac_3af7_eedd_u128),
            ("de5980b8fce34a37aab9b4ac3af7eedd", 0xde59_80b8_fce3_4a37_aab9_b4ac_3af7_eedd),
            ("de5980b8fce34a37aab9b4ac3af7eedd.1.16563474296430001", 0xde59_80b8_fde3_4a37_1be4_1bcd_5e2f_d4dd),
        ] {
            assert_eq!(trace_id(text.as_bytes()), expected.to_be_bytes(), "{text}");
        }
        for (segment, span, expected) in [
            ("4f2f27748b8e44ecaf18fe0347194e86.33.16560607369950066", 123, 0xe9c4_55a8_2542_306a_u64),
            ("4f2f27748b8e44ecaf18fe0347194e86", 123, 0x9b37_d977_cc97_0a6a),
        ] {
            assert_eq!(span_id(segment.as_bytes(), span), expected, "{segment}");
        }
    }

    #[test]
    fn any_other_id_is_hashed_and_stays_apart_from_all_others() {
        let header = |trace: &str, segment: &str, span: u32| {
            format!("1-{trace}-{segment}-{span}-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=-ZXhhbXBsZS5jb206ODA4MA==")
        };
        let ids = ["MQ==", "NQ=="].map(|text| short(&[("sw8", &header(text, "NQ==", 3))]).map(|(trace, span, _)| (trace, span)));
        let [Some((one, span)), Some((five, same))] = ids else { panic!("{ids:?}") };
        assert_eq!(one.to_be_bytes(), hashed(b"1"));
        assert!(one != five && span == same);
        assert_ne!(short(&[("sw8", &header("MQ==", "NQ==", 4))]).and_then(|(_, span, _)| span), span);
    }

    #[test]
    fn what_is_not_version_3_is_no_context() {
        for value in [
            "1-MQ==-NQ==-3-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=",
            "1-MQ==-NQ==-3-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=-ZXhhbXBsZS5jb206ODA4MA==-MQ==",
            "3-MQ==-NQ==-3-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=-ZXhhbXBsZS5jb206ODA4MA==",
            "1-MQ==-NQ==-abc-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=-ZXhhbXBsZS5jb206ODA4MA==",
            "1-MQ==-NQ==--1-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=-ZXhhbXBsZS5jb206ODA4MA==",
            "1-M*==-NQ==-3-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=-ZXhhbXBsZS5jb206ODA4MA==",
            "1--NQ==-3-bWVzaA==-aW5zdGFuY2U=-L2FwaS92MS9oZWFsdGg=-ZXhhbXBsZS5jb206ODA4MA==",
            "",
        ] {
            assert_eq!(short(&[("sw8", value)]), None, "{value}");
        }
    }
}
