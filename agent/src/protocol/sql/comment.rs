//! Trace context in a comment: `/*key='value',key='value'*/`, as the specification of `SQLCommenter` writes it.
use crate::protocol::context::{self, Finder};
use memchr::{memchr, memchr2};

/// Longest value that is looked at: that of a `tracestate`, every byte of it encoded.
const LONGEST_VALUE: usize = 1536;
/// Longest name of a key: longer than that of any header with a context.
const LONGEST_KEY: usize = 32;
/// Pairs of one comment.
const MOST_PAIRS: usize = 32;

/// Gives the finder what a comment with its delimiters says about a trace. Values are percent-encoded, and quotes in them escaped.
pub(super) fn read(comment: &[u8], finder: &mut Finder) {
    let inside = comment.get(2..).unwrap_or_default();
    let mut rest = inside;
    for _ in 0..MOST_PAIRS {
        let Some(equal) = memchr(b'=', rest) else { return };
        let (key, tail) = rest.split_at(equal);
        // What stands before the first pair, or before a comma, is no part of the key.
        let key = key.rsplit(|byte| matches!(byte, b',' | b' ' | b'\t' | b'\n' | b'\r')).next().unwrap_or_default();
        rest = tail.get(1..).unwrap_or_default().trim_ascii_start();
        let Some(quoted) = rest.strip_prefix(b"'") else { continue };
        let Some(end) = end_of(quoted) else { return };
        let (value, tail) = quoted.split_at(end);
        rest = tail.get(1..).unwrap_or_default();
        if key.len() <= LONGEST_KEY && value.len() <= LONGEST_VALUE && context::header_name(key).is_some() {
            finder.header(key, &decoded(value));
        }
    }
}

/// Where the value ends: at the first quote that is not escaped.
fn end_of(value: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = value.get(at..)?;
        at += memchr2(b'\'', b'\\', rest)?;
        if value.get(at) == Some(&b'\'') {
            return Some(at);
        }
        at += 2;
    }
}

/// Without escapes and percent encoding (RFC 3986 section 2.1).
fn decoded(value: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, behind @ ..]) => {
                if let (Some(high), Some(low)) = (digit(*high), digit(*low)) {
                    bytes.push(high << 4 | low);
                    rest = behind;
                } else {
                    bytes.push(byte);
                }
            }
            (b'\\', [escaped, behind @ ..]) => {
                bytes.push(*escaped);
                rest = behind;
            }
            _ => bytes.push(byte),
        }
    }
    bytes
}
