//! The Huffman code of HPACK (RFC 7541 appendix B): bits become text. Keeps nothing; what is no such text is an error.
//!
//! The code is canonical: the symbols of one length are consecutive numbers in the order of the symbols, after those of all shorter
//! ones. So the lengths say everything, and a symbol is found by comparing the next bits with the end of each length.

/// Bits of the longest code.
const LONGEST: usize = 30;
/// Bits of the shortest code.
const SHORTEST: usize = 5;
/// Bytes, and the end-of-string symbol, which must not occur.
const SYMBOLS: usize = 257;
const END_OF_STRING: u16 = 256;

/// Bits of each symbol's code.
#[rustfmt::skip]
pub(super) const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The symbols of one length.
#[derive(Clone, Copy)]
struct Group {
    /// Their first code.
    first: u32,
    /// Behind their last code, moved to the left end of 32 bits.
    end: u64,
    /// Where their symbols begin in [`Code::symbols`].
    start: u16,
}

struct Code {
    groups: [Group; LONGEST + 1],
    /// By length, then by number.
    symbols: [u16; SYMBOLS],
}

const CODE: Code = code();

const fn code() -> Code {
    let mut made = Code { groups: [Group { first: 0, end: 0, start: 0 }; LONGEST + 1], symbols: [0; SYMBOLS] };
    let (mut length, mut next, mut place) = (SHORTEST, 0_u32, 0);
    while length <= LONGEST {
        made.groups[length] = Group { first: next, end: 0, start: place as u16 };
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                made.symbols[place] = symbol as u16;
                place += 1;
                next += 1;
            }
            symbol += 1;
        }
        made.groups[length].end = (next as u64) << (32 - length);
        next <<= 1;
        length += 1;
    }
    made
}

/// Appends the text of `bits` to `out`. `None` if they are no such text, or it is longer than `most` bytes; then `out` has a part of it.
pub(super) fn decode(bits: &[u8], most: usize, out: &mut Vec<u8>) -> Option<()> {
    let end = out.len() + most;
    // The next bits, at the left end, and how many of them are real.
    let (mut window, mut held) = (0_u64, 0_u32);
    let mut rest = bits.iter();
    loop {
        while held <= 56 {
            let Some(byte) = rest.next() else { break };
            window |= u64::from(*byte) << (56 - held);
            held += 8;
        }
        // What lacks at the end is filled with ones: the padding is the beginning of the end-of-string code (section 5.2).
        let next = ((window | u64::MAX.checked_shr(held).unwrap_or(0)) >> 32) as u32;
        let groups = CODE.groups.iter().enumerate().skip(SHORTEST);
        let (length, group) = groups.into_iter().find(|(_, group)| u64::from(next) < group.end)?;
        let number = (next >> (32 - length)) - group.first;
        let symbol = CODE.symbols.get(usize::from(group.start) + number as usize)?;
        if length as u32 > held {
            // Only padding is left: fewer than eight bits, all ones.
            let padding = u64::MAX.checked_shl(64 - held).unwrap_or(0);
            return (held < 8 && window & padding == padding).then_some(());
        }
        if *symbol == END_OF_STRING || out.len() == end {
            return None;
        }
        out.push(*symbol as u8);
        window <<= length;
        held -= length as u32;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    /// The code of a text, padded.
    pub fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let group = CODE.groups[length];
            let start = usize::from(group.start);
            let number = CODE.symbols[start..].iter().position(|symbol| *symbol == u16::from(*byte)).expect("a symbol");
            let _ = write!(bits, "{:0length$b}", group.first + number as u32);
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes().chunks(8).map(|byte| u8::from_str_radix(std::str::from_utf8(byte).expect("bits"), 2).expect("bits")).collect()
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        for (bits, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (&[], ""),
        ] {
            let mut out = Vec::new();
            assert_eq!((decode(bits, 64, &mut out), out), (Some(()), text.as_bytes().to_vec()), "{text}");
        }
    }

    #[test]
    fn padding_is_short_and_all_ones_and_the_end_is_never_said() {
        // A whole byte of padding; zeros as padding; the end-of-string code; a text longer than asked for.
        for (bits, most) in [(&[0x64, 0x02, 0xff][..], 9), (&[0x00], 9), (&[0xff, 0xff, 0xff, 0xff], 9), (&[0x64, 0x02], 2)] {
            assert_eq!(decode(bits, most, &mut Vec::new()), None, "{bits:x?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_survives(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut out = Vec::new();
            prop_assert_eq!(decode(&encode(&text), 80, &mut out), Some(()));
            prop_assert_eq!(out, text);
        }
    }
}
