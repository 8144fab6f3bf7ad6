//! What agents leave in the store, and how it is read. Pure; what comes from the store is hostile.
//!
//! A request's key is `ws1:` and its sequence and acknowledgement number in hex; `ws1` is the version of all of this. Below it lies a hash
//! with a field for each agent that told of the request, so that two agents that do so cannot overwrite each other, whoever comes first:
//! who reads sees both. A field's value is `?` while the place is not known, else `=`, the trace flags (1 byte), the trace id (16 bytes)
//! and the tracestate, if there is one.
use crate::causality::ids::WireKey;
use crate::causality::meeting::{Answer, Place};

/// Longest tracestate that is handed on: vendors must be able to propagate 512 characters (W3C Trace Context, section 3.3.1.5).
const MAX_STATE: usize = 512;
/// First byte of a value: the place is not known yet.
const ANNOUNCED: u8 = b'?';
/// First byte of a value: the place follows.
const PLACED: u8 = b'=';

/// The name of an agent's field: random, once for each run.
pub(super) type Writer = [u8; 8];

/// The key that both ends of a request compute.
pub(super) fn key(key: WireKey) -> String {
    format!("ws1:{:08x}{:08x}", key.seq, key.ack)
}

/// The value of a field.
pub(super) fn value(place: Option<&Place>) -> Vec<u8> {
    let Some(Place { trace_id, flags, state }) = place else { return vec![ANNOUNCED] };
    let state = state.as_deref().filter(|state| state.len() <= MAX_STATE).unwrap_or_default();
    [&[PLACED, *flags][..], trace_id, state.as_bytes()].concat()
}

/// What the values of all fields come to; `None` if one of them is none.
pub(super) fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Answer> {
    let mut answer = Answer::Nobody;
    let mut is_announced = false;
    for value in values {
        match (value_of(value)?, &answer) {
            (None, _) => is_announced = true,
            (Some(place), Answer::Placed(before)) if place != *before => answer = Answer::Conflict,
            (Some(_), Answer::Conflict) => {}
            (Some(place), _) => answer = Answer::Placed(place),
        }
    }
    // Who has announced the request may yet tell another place than the others.
    Some(if is_announced && answer != Answer::Conflict { Answer::Announced } else { answer })
}

/// The place in a value: `Some(None)` if it is announced, `None` if the value is none.
#[expect(clippy::option_option, reason = "two questions: is it one, and is it known")]
fn value_of(value: &[u8]) -> Option<Option<Place>> {
    let (kind, rest) = value.split_first()?;
    if *kind == ANNOUNCED && rest.is_empty() {
        return Some(None);
    }
    let (flags, rest) = rest.split_first().filter(|_| *kind == PLACED)?;
    let (trace_id, state) = rest.split_first_chunk::<16>()?;
    let is_text = state.len() <= MAX_STATE && state.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if *trace_id == [0; 16] || !is_text {
        return None;
    }
    let state = (!state.is_empty()).then(|| String::from_utf8_lossy(state).into());
    Some(Some(Place { trace_id: *trace_id, flags: *flags, state }))
}

/// Reads what bytes make of an entry, in pieces of as many bytes as the first of each says: for the fuzzer.
#[cfg(fuzzing)]
pub fn fuzz(mut bytes: &[u8]) {
    let mut values = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (value, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        values.push(value);
        bytes = rest;
    }
    if let Some(Answer::Placed(place)) = read(values.iter().copied()) {
        assert_eq!(read([value(Some(&place)).as_slice()]), Some(Answer::Placed(place)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(byte: u8) -> Place {
        Place { trace_id: [byte; 16], flags: 1, state: Some("vendor=1,other=2".into()) }
    }

    /// These are a promise to agents of other versions.
    #[test]
    fn an_entry_is_fixed() {
        assert_eq!(key(WireKey { seq: 0x1, ack: 0xfedc_ba98 }), "ws1:00000001fedcba98");
        assert_eq!(value(None), b"?");
        assert_eq!(value(Some(&Place { state: None, ..place(b'T') })), b"=\x01TTTTTTTTTTTTTTTT");
        assert_eq!(value(Some(&place(b'T'))), b"=\x01TTTTTTTTTTTTTTTTvendor=1,other=2");
    }

    #[test]
    fn several_agents_agree_or_there_is_a_conflict() {
        let [announced, one, other] = [None, Some(place(1)), Some(place(2))].map(|place| value(place.as_ref()));
        let of = |values: &[&Vec<u8>]| read(values.iter().map(|value| value.as_slice()));
        for (values, expected) in [
            (&[][..], Answer::Nobody),
            (&[&announced], Answer::Announced),
            (&[&one], Answer::Placed(place(1))),
            (&[&one, &one], Answer::Placed(place(1))),
            (&[&one, &other, &one], Answer::Conflict),
            (&[&announced, &one], Answer::Announced),
            (&[&one, &announced, &other], Answer::Conflict),
        ] {
            assert_eq!(of(values), Some(expected), "{values:?}");
        }
    }

    #[test]
    fn what_no_agent_wrote_is_no_answer() {
        let whole = value(Some(&place(1)));
        let long = [&whole[..], &[b'x'; MAX_STATE]].concat();
        let cut = &whole[..17];
        for wrong in [&b""[..], b"?x", b"!", b"=", cut, &[&whole[..], b"\n"].concat(), &long, &value(Some(&place(0)))] {
            assert_eq!(read([&whole[..], wrong]), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(trace_id in any::<[u8; 16]>(), flags in any::<u8>(), state in prop::option::of("[ -~]{1,512}")) {
            prop_assume!(trace_id != [0; 16]);
            let place = Place { trace_id, flags, state: state.map(Into::into) };
            prop_assert_eq!(read([value(Some(&place)).as_slice()]), Some(Answer::Placed(place)));
        }

        #[test]
        fn no_bytes_panic(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)) {
            let _ = read(values.iter().map(Vec::as_slice));
        }
    }
}
