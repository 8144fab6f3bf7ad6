//! A response's head becomes a [`Response`], its status, and what the connection becomes if it changes.
use super::framing::Framing;
use super::head::{lines, version};
use super::watch::is_stream;
use crate::protocol::Response;
use crate::protocol::attribute::Attribute;
use crate::protocol::grpc::Call;
use crate::protocol::search::System;
use crate::semconv;
use std::borrow::Cow;

/// Protocols that HTTP/1 connections are known to become, in lower case; any other is an `upgrade`.
const UPGRADES: &[&str] = &["websocket", "h2c", "tls", "tcp", "spdy", "connect"];

/// The name of the first protocol of an `Upgrade`.
pub(in crate::protocol) fn upgraded(value: &[u8]) -> &'static str {
    let protocol = value.split(|b| b"/, ".contains(b)).next().unwrap_or_default();
    UPGRADES.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(protocol)).copied().unwrap_or("upgrade")
}

/// A response's head.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    /// Three digits.
    pub(super) status: u16,
    /// The response.
    pub(super) response: Response,
    /// With status 101, what the connection becomes.
    pub(super) upgrade: &'static str,
    /// Its content is a stream of events.
    pub(super) streams: bool,
    /// The search server that sends it, if its headers say so.
    pub(super) search: Option<System>,
}

/// Reads a complete status line (RFC 9112 section 4), without its end, and gives its status; the reason may be missing with its space.
pub(super) fn status(line: &[u8]) -> Option<u16> {
    let digits = line.get(9..12).filter(|_| is_prefix(line))?;
    Some(digits.iter().fold(0, |number, digit| number * 10 + u16::from(*digit - b'0')))
}

/// Whether an unfinished line can become a status line.
pub(super) fn is_prefix(line: &[u8]) -> bool {
    let (start, rest) = line.split_at(line.len().min("HTTP/1.1".len()));
    version(start).is_some()
        && rest.iter().enumerate().all(|(at, byte)| match at {
            0 | 4 => *byte == b' ',
            1 => matches!(byte, b'1'..=b'9'),
            2 | 3 => byte.is_ascii_digit(),
            _ => !byte.is_ascii_control() || *byte == b'\t',
        })
}

/// Reads a head that begins with a status line, which answers `call` if the request was one. `None` if it is no response, or no peer can
/// agree on where it ends.
pub(super) fn read(head: &[u8], framing: &mut Framing, call: Option<&mut Call>) -> Option<Answer> {
    let mut lines = lines(head);
    let status = status(lines.next()?)?;
    let (mut upgrade, mut grpc_status, mut streams, mut search) = ("upgrade", None, false, None);
    for line in lines {
        let Some((name, value)) = framing.line(line).ok()? else { continue };
        if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = upgraded(value);
        } else if name.eq_ignore_ascii_case(b"grpc-status") {
            grpc_status = Some(value);
        } else if name.eq_ignore_ascii_case(b"content-type") {
            streams = is_stream(value);
        } else if let Some(system) = System::of_header(name, value) {
            search = Some(system);
        }
    }
    // Only gRPC-Web comes this way, and only what has no messages says its status here.
    let response = match (call, grpc_status) {
        (Some(call), _) if status >= 200 => call.answer(Some(status), grpc_status),
        (None, Some(_)) => Call::unseen().answer(None, grpc_status),
        _ => of_status(status),
    };
    Some(Answer { status, response, upgrade, streams, search })
}

/// What any version of HTTP says by a status. An interim response has no attributes: they are for the final one.
pub(in crate::protocol) fn of_status(status: u16) -> Response {
    let interim = status < 200 && status != 101;
    let error = |from| (status >= from).then(|| Cow::Owned(status.to_string()));
    Response {
        attributes: if interim { Vec::new() } else { vec![Attribute::both(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status))] },
        client_error: error(400),
        server_error: error(500),
        interim,
        ..Response::default()
    }
}
