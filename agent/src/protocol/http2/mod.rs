//! HTTP/2 without TLS (RFC 9113), from its preface on or after an upgrade from HTTP/1.1, and gRPC in it: frames become requests and
//! responses of many streams. Pure, as [`crate::protocol`] says; no body is kept or decompressed.
//!
//! A header block is taken whole, with its `CONTINUATION` frames; of its fields only those that a span needs are decoded. `DATA` is
//! stepped over by its length, captured or not. Pushed responses answer no request, so they give nothing; `SETTINGS` say nothing that
//! is needed here, because an encoder announces in its blocks what it makes of the other side's table size.
//!
//! On a connection that is older than the capture, and after a loss, fields that lie in the unknown part of a header table are unknown.
//! A request of which not even the method is known yields nothing; one without a path says `wirespan.incomplete`. What follows a loss
//! begins with the next bytes that can be nothing but a frame. The table outlives a loss that proves to have held no header block:
//! see [`Doubt`].
mod detect;
mod frame;
mod hpack;
mod huffman;
mod streams;
mod table;
#[cfg(test)]
mod tests;

use super::attribute::Attribute;
use super::grpc::{Call, Messages};
use super::http1::request::{Fields, Target, describe};
use super::http1::response::of_status;
use super::{Abort, Decoder, Guess, Head, More, Protocol, Response, Side, Step, Take};
use crate::semconv;
use frame::{BlockLength, Frame, HEADER, LONGEST_BLOCK, PREFACE, flag, kind};
use hpack::Block;
use std::net::SocketAddr;
use streams::{Stream, Streams};
use table::Table;

/// Names of error codes (RFC 9113 section 7), by number.
const ERRORS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// HTTP/2 without TLS.
pub struct Http2;

impl Protocol for Http2 {
    fn name(&self) -> &'static str {
        "http"
    }

    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        detect::judge(from, bytes)
    }

    fn decoder(&self, server: SocketAddr, _joined: bool) -> Box<dyn Decoder> {
        Box::new(Connection::new(server))
    }

    /// All header blocks of a turn, and the frame headers of bodies that are not large: a loss costs what the header table knew.
    fn budget(&self) -> u32 {
        128 * 1024
    }

    fn longest_head(&self) -> usize {
        LONGEST_BLOCK
    }
}

/// A connection.
pub(super) struct Connection {
    server: SocketAddr,
    client: Lane,
    answers: Lane,
    streams: Streams,
    /// The server has made promises: of those, too, header blocks may be lost.
    pushes: bool,
    /// The header block at hand; here, so that its memory is used again.
    block: Block,
}

/// One direction.
#[derive(Default)]
struct Lane {
    phase: Phase,
    table: Table,
    doubt: Option<Doubt>,
}

/// Bytes were lost, among which header blocks may have been that changed the table. What comes next may prove that there were none.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Doubt {
    /// The newest stream then. Numbers of streams only grow: if the next request has the very next one, none was lost.
    newest: u32,
    /// The only stream then that the server could send on, if its response had begun. If the server goes on with it, and the client has
    /// asked for nothing else, neither another response nor its trailers were lost.
    only: Option<u32>,
}

/// What the next bytes of one side are.
#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// A preface, if it is the client's and was not missed, then frames.
    #[default]
    First,
    /// A frame.
    Frame,
    /// The payload of a `DATA` frame whose messages are counted.
    Data(Data),
    /// Anything: a frame has to be found.
    Lost,
}

/// Where one is in the payload of a `DATA` frame.
#[derive(Clone, Copy, Debug)]
struct Data {
    stream: u32,
    /// Bytes of content that follow.
    content: u64,
    /// Bytes of padding behind them.
    padding: u64,
    /// The stream ends behind them, as far as this side is concerned.
    end: bool,
}

impl Decoder for Connection {
    fn decode(&mut self, from: Side, bytes: &[u8], _finished: bool) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        match self.lane(from).phase {
            Phase::First => self.first(from, bytes),
            Phase::Frame => self.frame(from, bytes).unwrap_or(Step::Invalid),
            Phase::Data(data) => self.data(from, data, bytes),
            Phase::Lost => self.find(from, bytes),
        }
    }

    fn lost(&mut self, from: Side) {
        let doubt = Doubt { newest: self.streams.newest, only: self.streams.only_answered() };
        let pushes = self.pushes;
        let lane = self.lane(from);
        lane.phase = Phase::Lost;
        if pushes {
            lane.table.forget();
        } else {
            // An older doubt is not resolved by a new one.
            lane.doubt.get_or_insert(doubt);
        }
        self.streams.iter_mut().filter_map(|stream| messages(stream, from)).for_each(Messages::lose);
    }

    fn finds_boundaries(&self) -> bool {
        true
    }

    /// Content is not needed, but for counting what is in it.
    fn unseen(&mut self, from: Side) -> Option<Take> {
        let Phase::Data(data) = self.lane(from).phase else { return None };
        self.streams.get(data.stream).and_then(|stream| messages(stream, from)).into_iter().for_each(Messages::lose);
        Some(self.passed(from, data, data.content))
    }
}

impl Connection {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            client: Lane::default(),
            answers: Lane::default(),
            streams: Streams::default(),
            pushes: false,
            block: Block::default(),
        }
    }

    /// The rest of a connection that began with HTTP/1.1, whose first request is answered on stream 1 (RFC 7540 section 3.2).
    pub(super) fn upgraded(server: SocketAddr) -> Self {
        let mut connection = Self::new(server);
        connection.streams.open(Stream { id: 1, answered: false, incomplete: false, call: None });
        connection
    }

    fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.answers,
        }
    }

    fn first(&mut self, from: Side, bytes: &[u8]) -> Step {
        let preface = from == Side::Client && PREFACE.starts_with(bytes.get(..PREFACE.len()).unwrap_or(bytes));
        if preface && bytes.len() < PREFACE.len() {
            return Step::More;
        }
        self.lane(from).phase = Phase::Frame;
        if preface {
            return Step::Take(Take { used: PREFACE.len() as u64, ..Take::default() });
        }
        self.frame(from, bytes).unwrap_or(Step::Invalid)
    }

    /// Looks for the next bytes that can be nothing but a frame.
    fn find(&mut self, from: Side, bytes: &[u8]) -> Step {
        let newest = self.streams.newest;
        let found = bytes.windows(HEADER).position(|window| Frame::read(window).is_some_and(|frame| frame.fits(from, newest)));
        if found.is_some() {
            self.lane(from).phase = Phase::Frame;
        }
        let used = found.unwrap_or((bytes.len() + 1).saturating_sub(HEADER)) as u64;
        match (found, used) {
            (Some(0), _) => self.frame(from, bytes).unwrap_or(Step::Invalid),
            (None, 0) => Step::More,
            _ => Step::Take(Take { used, ..Take::default() }),
        }
    }

    /// Takes a frame, or the beginning of one; `None` if it is none.
    fn frame(&mut self, from: Side, bytes: &[u8]) -> Option<Step> {
        let Some(frame) = Frame::read(bytes) else { return Some(Step::More) };
        if !frame.is_valid() {
            return None;
        }
        self.pushes |= frame.kind == kind::PUSH_PROMISE;
        match frame.kind {
            kind::DATA => self.begin_data(from, &frame, bytes),
            kind::HEADERS | kind::PUSH_PROMISE => self.headers(from, &frame, bytes),
            kind::RST_STREAM => {
                let Some(code) = bytes.get(HEADER..).and_then(<[u8]>::first_chunk) else { return Some(Step::More) };
                Some(Step::Take(self.reset(from, &frame, u32::from_be_bytes(*code))))
            }
            // Belongs behind the block that it continues, and is taken with it.
            kind::CONTINUATION => None,
            _ => Some(Step::Take(Take { used: frame.whole(), ..Take::default() })),
        }
    }

    /// Decides whether the header table is still right, now that a frame of `stream` has come; `block` says that it has a header block, for
    /// which this cannot wait.
    fn resolve_doubt(&mut self, from: Side, stream: u32, block: bool) {
        let now = Doubt { newest: self.streams.newest, only: self.streams.only_answered() };
        let lane = self.lane(from);
        let Some(then) = lane.doubt else { return };
        let right = match from {
            Side::Client => block && then.newest != 0 && stream == then.newest + 2,
            Side::Server => then == now && then.only == Some(stream),
        };
        if right || block {
            lane.doubt = None;
        }
        if block && !right {
            lane.table.forget();
        }
    }

    fn begin_data(&mut self, from: Side, frame: &Frame, bytes: &[u8]) -> Option<Step> {
        self.resolve_doubt(from, frame.stream, false);
        let end = frame.is(flag::END_STREAM);
        let counted = self.streams.get(frame.stream).and_then(|stream| messages(stream, from)).is_some_and(|found| found.are_followed());
        if !counted {
            let data = Data { stream: frame.stream, content: frame.length.into(), padding: 0, end };
            let take = self.passed(from, data, frame.length.into());
            return Some(Step::Take(Take { used: frame.whole(), ..take }));
        }
        let mut used = HEADER as u64;
        let mut padding = 0;
        if frame.is(flag::PADDED) {
            let Some(length) = bytes.get(HEADER) else { return Some(Step::More) };
            padding = u64::from(*length);
            used += 1;
        }
        let content = (u64::from(frame.length) + HEADER as u64).checked_sub(used + padding)?;
        let data = Data { stream: frame.stream, content, padding, end };
        if content > 0 {
            self.lane(from).phase = Phase::Data(data);
            return Some(Step::Take(Take { used, stream: frame.stream.into(), ..Take::default() }));
        }
        let take = self.passed(from, data, 0);
        Some(Step::Take(Take { used: used + take.used, ..take }))
    }

    /// Goes on through the content of a `DATA` frame.
    fn data(&mut self, from: Side, data: Data, bytes: &[u8]) -> Step {
        let shown = bytes.get(..usize::try_from(data.content).unwrap_or(usize::MAX)).unwrap_or(bytes);
        let used = match self.streams.get(data.stream).and_then(|stream| messages(stream, from)) {
            Some(messages) => messages.feed(shown, data.content),
            None => data.content,
        };
        if used == 0 { Step::More } else { Step::Take(self.passed(from, data, used)) }
    }

    /// So many bytes of content are done with; the padding goes with the last ones.
    fn passed(&mut self, from: Side, mut data: Data, used: u64) -> Take {
        data.content -= used;
        let last = data.content == 0;
        let end = last && data.end;
        self.lane(from).phase = if last { Phase::Frame } else { Phase::Data(data) };
        let ended = if end && from == Side::Server { self.streams.close(data.stream) } else { None };
        let more = ended.and_then(|stream| stream.call).map(|mut call| trailer(call.trailer(None, true), data.stream));
        Take { used: if last { used + data.padding } else { used }, stream: data.stream.into(), more, end, ..Take::default() }
    }

    /// Takes a header block with all its frames.
    fn headers(&mut self, from: Side, frame: &Frame, bytes: &[u8]) -> Option<Step> {
        let used = match frame::block_length(frame, bytes) {
            BlockLength::Known(used) => used,
            BlockLength::More => return Some(Step::More),
            BlockLength::Invalid => return None,
        };
        let bytes = bytes.get(..used)?;
        let mut gathered = Vec::new();
        let mut fragment = frame.fragment(bytes)?;
        let mut rest = bytes.get(HEADER + frame.length as usize..)?;
        while let Some(next) = Frame::read(rest) {
            if gathered.is_empty() {
                gathered.extend_from_slice(fragment);
            }
            let (content, behind) = rest.get(HEADER..)?.split_at_checked(next.length as usize)?;
            gathered.extend_from_slice(content);
            rest = behind;
        }
        if !gathered.is_empty() {
            fragment = &gathered;
        }
        self.resolve_doubt(from, frame.stream, true);
        let mut block = std::mem::take(&mut self.block);
        let decoded = hpack::decode(&mut self.lane(from).table, fragment, &mut block);
        let end = frame.is(flag::END_STREAM) && frame.kind == kind::HEADERS;
        let said = match (from, frame.kind) {
            _ if decoded.is_err() => Said::default(),
            // Nobody has asked for what is promised.
            (_, kind::PUSH_PROMISE) => Said::default(),
            (Side::Client, _) => self.request(frame.stream, &block),
            (Side::Server, _) => self.response(frame.stream, &block, end),
        };
        self.block = block;
        decoded.ok()?;
        let Said { head, more, interim } = said;
        let stream = if frame.kind == kind::PUSH_PROMISE { 0 } else { frame.stream.into() };
        Some(Step::Take(Take {
            used: used as u64,
            stream,
            start: head.is_some(),
            head: head.map(Box::new),
            head_len: 0,
            more,
            end: end || interim,
        }))
    }

    /// What a block of the client says: a request, or its trailers.
    fn request(&mut self, id: u32, block: &Block) -> Said {
        if id.is_multiple_of(2) {
            // Only servers begin such streams.
            return Said::default();
        }
        let Some(method) = block.get(":method").and_then(|method| std::str::from_utf8(method).ok()) else { return Said::default() };
        let (path, authority) = (block.get(":path"), block.get(":authority"));
        let mut fields = Fields::default();
        for (name, value) in authority.map(|authority| ("host", authority)).into_iter().chain(block.iter()) {
            fields.keep(name.as_bytes(), value);
        }
        let call = block.get("content-type").and_then(|kind| Call::read(kind, path, block.get("grpc-timeout")));
        let mut request = if let Some(call) = &call {
            call.request(&fields, "2")
        } else {
            let target = Target::of_fields(method, block.get(":scheme"), authority, path);
            describe(method, target.as_ref(), &fields, "2", self.server)
        };
        let incomplete = block.unknown && (path.is_none() || authority.is_none());
        request.attributes.extend(incomplete.then(unread));
        request.correlation = Some(id.into());
        self.streams.open(Stream { id, answered: false, incomplete, call: call.map(Box::new) });
        Said { head: Some(Head::Request(request)), ..Said::default() }
    }

    /// What a block of the server says: a response, an interim one, or the trailers of one.
    fn response(&mut self, id: u32, block: &Block, end: bool) -> Said {
        let status = block.get(":status").and_then(|status| std::str::from_utf8(status).ok()?.parse::<u16>().ok());
        let grpc_status = block.get("grpc-status");
        // Pushed, or for a request that was given up meanwhile.
        let unwanted = id.is_multiple_of(2) || id <= self.streams.newest;
        let Some(stream) = self.streams.get(id) else {
            // Its request was not seen; trailers have no status.
            let head = status.filter(|_| !unwanted).map(|status| response(of_status(status), id));
            return Said { interim: head.is_some() && status.is_some_and(|status| status < 200), head, ..Said::default() };
        };
        if grpc_status.is_some() {
            // Whatever the request said where nobody could read it, this is a call.
            stream.call.get_or_insert_with(|| Box::new(Call::unseen()));
        }
        if stream.answered && status.is_none() {
            let mut more = None;
            let unknown = stream.misses(block.unknown && grpc_status.is_none());
            if let Some(call) = &mut stream.call {
                let mut found = call.trailer(grpc_status, !block.unknown && end);
                found.attributes.extend(unknown.then(unread));
                more = Some(trailer(found, id));
            }
            if end {
                self.streams.close(id);
            }
            return Said { more, ..Said::default() };
        }
        let interim = status.is_some_and(|status| status < 200);
        stream.answered |= !interim;
        let unknown = block.unknown && (status.is_none() || (stream.call.is_some() && end && grpc_status.is_none()));
        let mut found = match (&mut stream.call, status) {
            (Some(call), _) if !interim => call.answer(status, grpc_status),
            (_, Some(status)) => of_status(status),
            _ => Response::default(),
        };
        found.attributes.extend(stream.misses(unknown).then(unread));
        if end {
            self.streams.close(id);
        }
        Said { head: Some(response(found, id)), more: None, interim }
    }

    /// A stream is given up; one that is over already is not concerned.
    fn reset(&mut self, from: Side, frame: &Frame, code: u32) -> Take {
        let abort = self.streams.close(frame.stream).map(|stream| {
            let mut abort = if let Some(mut call) = stream.call {
                call.abort(code, from == Side::Client)
            } else {
                let error = Some(ERRORS.get(code as usize).copied().unwrap_or("_OTHER").into());
                Abort { outcome: Response { client_error: error.clone(), server_error: error, ..Response::default() }, late: None }
            };
            abort.outcome.correlation = Some(frame.stream.into());
            Box::new(More::Abort(abort))
        });
        Take { used: frame.whole(), stream: frame.stream.into(), more: abort, end: true, ..Take::default() }
    }
}

/// What a header block says.
#[derive(Default)]
struct Said {
    head: Option<Head>,
    more: Option<Box<More>>,
    interim: bool,
}

fn response(found: Response, stream: u32) -> Head {
    Head::Response(Response { correlation: Some(stream.into()), ..found })
}

fn trailer(found: Response, stream: u32) -> Box<More> {
    Box::new(More::Trailer(Response { correlation: Some(stream.into()), ..found }))
}

/// Says that what the header table held was lost, and with it something that a span needs.
fn unread() -> Attribute {
    Attribute::both(semconv::WIRESPAN_INCOMPLETE, "header_table")
}

/// The messages that a side sends on a stream, if it is a call.
fn messages(stream: &mut Stream, from: Side) -> Option<&mut Messages> {
    let call = stream.call.as_mut()?;
    Some(match from {
        Side::Client => &mut call.sent,
        Side::Server => &mut call.received,
    })
}
