//! A request's head becomes a number by which the same request is known again where a program hands it on byte by byte.
use rustc_hash::FxHasher;
use std::hash::Hasher as _;

/// Bytes at each end of a head that count, beside its length. The path, the host and nearly every identifier lie there, and no head
/// costs more than 16 steps of the hash. What differs only in between is taken for equal, which can cost a link, as two candidates do.
const ENDS: usize = 128;

/// Digest of a head, the same in every process of this version; never zero.
pub(super) fn digest(head: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    match (head.first_chunk::<ENDS>(), head.last_chunk::<ENDS>()) {
        (Some(first), Some(last)) if head.len() > 2 * ENDS => {
            hasher.write(first);
            hasher.write(last);
            hasher.write_usize(head.len());
        }
        _ => hasher.write(head),
    }
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::digest;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_change_at_either_end_or_of_the_length_is_another_request(head in prop::collection::vec(any::<u8>(), 1..600), at in any::<prop::sample::Index>()) {
            let same = digest(&head);
            prop_assert_eq!(digest(&head.clone()), same);
            let longer = [&head[..], b"x"].concat();
            prop_assert_ne!(digest(&longer), same);
            let at = at.index(head.len().min(super::ENDS));
            for at in [at, head.len() - 1 - at] {
                let mut other = head.clone();
                other[at] ^= 1;
                prop_assert_ne!(digest(&other), same);
            }
        }
    }
}
