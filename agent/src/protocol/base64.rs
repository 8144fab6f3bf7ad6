//! Base64 (RFC 4648 section 4) becomes bytes. Padding may be missing, as gRPC allows; nothing else may.

/// Decodes; `None` for anything that no encoder writes.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let body = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if body.len() % 4 == 1 || (body.len() < text.len() && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for group in body.chunks(4) {
        let mut bits = 0;
        for letter in group {
            bits = bits << 6 | value(*letter)?;
        }
        // Of a group of n letters, the first n - 1 bytes are whole.
        bits <<= 6 * (4 - group.len());
        bytes.extend(bits.to_be_bytes().into_iter().skip(1).take(group.len() - 1));
    }
    Some(bytes)
}

/// Decodes one group of four letters, padding included, and says how many bytes it holds.
pub fn group(letters: [u8; 4]) -> Option<([u8; 3], usize)> {
    let padding = letters.iter().rev().take_while(|letter| **letter == b'=').count();
    let mut bits = 0;
    for letter in letters.iter().take(4 - padding) {
        bits = bits << 6 | value(*letter)?;
    }
    let [_, bytes @ ..] = (bits << (6 * padding)).to_be_bytes();
    (padding <= 2).then_some((bytes, 3 - padding))
}

fn value(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc_with_and_without_padding() {
        for (text, bytes) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYg", Some("foob")),
            ("Zm9vYmE", Some("fooba")),
            ("Zm9vYmFy", Some("foobar")),
            ("Z", None),
            ("Zg=", None),
            ("Zm9v=", None),
            ("Zg===", None),
            ("====", None),
            ("Zm-v", None),
            ("Zm 9v", None),
        ] {
            assert_eq!(decode(text.as_bytes()), bytes.map(|bytes| bytes.as_bytes().to_vec()), "{text}");
        }
    }
}
