//! Frames and header blocks as a peer would write them, plainly: nothing is indexed unless a test asks for it.
use super::super::frame::{flag, kind};
use crate::protocol::Side;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block; a name that begins with `+` is added to the dynamic table.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        let (first, name) = name.strip_prefix('+').map_or((0x00, *name), |name| (0x40, name));
        bytes.push(first);
        for text in [name, value] {
            assert!(text.len() < 127, "a length of one byte");
            bytes.push(text.len() as u8);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// A `HEADERS` frame with a whole block.
pub fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | u8::from(end), stream, &block(fields))
}

/// A request for a path, without content.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, true, &[(":method", "GET"), (":scheme", "http"), (":authority", "shop:81"), (":path", path)])
}

/// The beginning of a call.
pub fn call(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fields =
        [(":method", "POST"), (":scheme", "http"), (":authority", "shop:81"), (":path", path), ("content-type", "application/grpc+proto")];
    headers(stream, false, &[&fields, more].concat())
}

/// The beginning of a response.
pub fn ok(stream: u32) -> Vec<u8> {
    headers(stream, false, &[(":status", "200")])
}

pub fn data(stream: u32, end: bool, content: &[u8]) -> Vec<u8> {
    frame(kind::DATA, u8::from(end), stream, content)
}

/// A message of a call.
pub fn message(content: &[u8]) -> Vec<u8> {
    [&[0][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// What both sides say first: the preface and settings.
pub fn greeting() -> Vec<(Side, Vec<u8>)> {
    let settings = frame(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0]);
    vec![
        (Side::Client, [super::super::PREFACE, &settings, &frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0])].concat()),
        (Side::Server, [settings, frame(kind::SETTINGS, flag::ACK, 0, &[])].concat()),
    ]
}
