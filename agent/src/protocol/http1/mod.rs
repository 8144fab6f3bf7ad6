//! HTTP/1.0 and 1.1 (RFC 9110, RFC 9112): bytes become requests and responses. Pure, as [`crate::protocol`] says; no body is kept or
//! decompressed, and none is looked at but for what [`watch`] names.
//!
//! A head is taken whole, with the length of a body that announces one. A head longer than [`head::ENOUGH`] is given out at the last
//! line before that, marked `wirespan.truncated`; its other lines then only say where the message ends. So a loss behind that point,
//! for example of bytes beyond the capture budget, costs no span. A head of which less was captured yields nothing.
//!
//! The two directions meet in one place: a response needs to know whether its request was a `HEAD` or a `CONNECT`. Where the request
//! was not seen, the response is read as if it was neither.
mod authority;
mod framing;
mod head;
pub(super) mod request;
pub(super) mod response;
#[cfg(test)]
mod tests;
pub(super) mod watch;

use super::attribute::Attribute;
use super::{Decoder, Guess, Head, More, Protocol, Side, Step, Take};
use crate::protocol::search::{Answer, System};
use crate::semconv;
use framing::{Body, Chunks, Framing, LONGEST_LINE};
use head::{Found, Scan, line, strip_cr};
use request::{About, Asked, Line};
use std::collections::VecDeque;
use std::net::SocketAddr;
use watch::{Seen, Watch};

/// Requests without a response on one connection: clients that pipeline send tens, and the memory of a hostile one is bounded.
const MOST_PIPELINED: usize = 4096;

/// Bytes of an unfinished start line that are judged again and again while it grows: enough for what is not HTTP to show.
const SUSPICION: usize = 64;

/// HTTP/1.0 and 1.1.
pub struct Http1;

impl Protocol for Http1 {
    fn name(&self) -> &'static str {
        "http"
    }

    /// [`Guess::Yes`] for a start line and a header line or the head's end, [`Guess::Likely`] for a start line alone. Work is
    /// bounded by [`head::ENOUGH`].
    fn detect(&self, from: Side, bytes: &[u8]) -> Guess {
        head::judge(bytes, |line| is_start(from, line), |line| may_start(from, line))
    }

    /// A joined connection needs nothing special: a response whose request is unknown is read without it.
    fn decoder(&self, server: SocketAddr, _joined: bool) -> Box<dyn Decoder> {
        Box::new(Connection {
            server,
            client: Phase::default(),
            answers: Phase::default(),
            asked: VecDeque::new(),
            watch: None,
            search: None,
            left: None,
            upgraded: None,
        })
    }

    /// All of [`head::ENOUGH`], and the chunks of usual responses, whose end is found only by following them.
    fn budget(&self) -> u32 {
        64 * 1024
    }

    /// More than the decoder ever leaves, which is [`head::ENOUGH`] and a byte.
    fn longest_head(&self) -> usize {
        64 * 1024
    }
}

/// Whether a complete line begins a message of this side.
fn is_start(from: Side, line: &[u8]) -> bool {
    match from {
        Side::Client => Line::read(line).is_some(),
        Side::Server => response::status(line).is_some(),
    }
}

/// Whether an unfinished line may begin a message of this side.
fn may_start(from: Side, line: &[u8]) -> bool {
    match from {
        Side::Client => Line::is_prefix(line),
        Side::Server => response::is_prefix(line),
    }
}

/// A connection.
struct Connection {
    server: SocketAddr,
    client: Phase,
    answers: Phase,
    /// Requests that have no final response yet, oldest first.
    asked: VecDeque<(Asked, Option<About>)>,
    /// What is looked at in the response at hand.
    watch: Option<Watch>,
    /// The search server that this is, once it is proven.
    search: Option<System>,
    /// What the connection became.
    left: Option<&'static str>,
    /// What goes on, if what it became is read too.
    upgraded: Option<Box<dyn Decoder>>,
}

/// What the next bytes of one side are.
#[derive(Debug, PartialEq)]
enum Phase {
    /// A head, searched so far.
    Head(Scan),
    /// The rest of a head that was given out unfinished.
    Rest(Framing, After, Piece),
    /// A chunked body.
    Chunks(Chunks),
    /// A body without an end of its own.
    UntilClose,
    /// So many bytes of content that are looked at.
    Watched(u64, Then),
    /// Unknown before the server has answered a `CONNECT`.
    Undecided,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Head(Scan::default())
    }
}

/// What follows content that is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// The end of the message.
    End,
    /// The end of a chunk.
    Chunk,
    /// Nobody knows, as nobody knows how much there is.
    Close,
}

/// What the next byte of the rest of a head belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    /// A new line.
    Line,
    /// A line that has begun and is passed over.
    SameLine,
}

/// What follows a head, beside its framing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    /// The body of a request.
    Request,
    /// No body, and then a tunnel or the next request.
    Connect,
    /// The body of a response.
    Response,
    /// No body, whatever the headers say.
    Nothing,
    /// No body, and then another protocol.
    Other(&'static str),
}

impl Decoder for Connection {
    fn decode(&mut self, from: Side, bytes: &[u8], finished: bool) -> Step {
        if let Some(upgraded) = &mut self.upgraded {
            return upgraded.decode(from, bytes, finished);
        }
        if let Some(name) = self.left {
            return Step::Leave(name);
        }
        match self.phase(from) {
            Phase::UntilClose | Phase::Watched(_, Then::Close) if bytes.is_empty() && finished => {
                *self.phase(from) = Phase::default();
                let more = self.told(from, false);
                Step::Take(Take { end: true, more, ..Take::default() })
            }
            _ if bytes.is_empty() => Step::More,
            Phase::UntilClose => Step::Take(Take { used: bytes.len() as u64, ..Take::default() }),
            Phase::Undecided => Step::More,
            Phase::Watched(left, then) => {
                let (left, then) = (*left, *then);
                Step::Take(self.watched(left, then, bytes))
            }
            Phase::Chunks(chunks) => {
                let (mut step, data) = chunks.step(bytes);
                if let Step::Take(take) = &mut step {
                    if take.end {
                        *self.phase(from) = Phase::default();
                        take.more = self.told(from, false);
                    } else if data > 0 && from == Side::Server && self.watch.is_some() {
                        take.used -= data;
                        self.answers = Phase::Watched(data, Then::Chunk);
                    }
                }
                step
            }
            Phase::Head(_) => self.head(from, bytes).unwrap_or(Step::Invalid),
            Phase::Rest(..) => self.rest(from, bytes).unwrap_or(Step::Invalid),
        }
    }

    fn finds_boundaries(&self) -> bool {
        self.upgraded.as_ref().is_some_and(|upgraded| upgraded.finds_boundaries())
    }

    fn unseen(&mut self, from: Side) -> Option<Take> {
        if let Some(upgraded) = &mut self.upgraded {
            return upgraded.unseen(from);
        }
        match *self.phase(from) {
            Phase::Watched(left, then @ (Then::End | Then::Chunk)) => {
                self.watch.as_mut().into_iter().for_each(Watch::miss);
                Some(self.passed(left, then, left, None))
            }
            _ => None,
        }
    }

    fn lost(&mut self, from: Side) {
        if let Some(upgraded) = &mut self.upgraded {
            upgraded.lost(from);
            return;
        }
        *self.phase(from) = Phase::default();
        if from == Side::Server {
            // Whose responses were lost is unknown; a tunnel may have begun.
            self.asked.clear();
            self.watch = None;
            if self.client == Phase::Undecided {
                self.client = Phase::default();
            }
        }
    }
}

impl Connection {
    fn phase(&mut self, side: Side) -> &mut Phase {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.answers,
        }
    }

    /// Looks for a head; `None` if this is none.
    fn head(&mut self, from: Side, bytes: &[u8]) -> Option<Step> {
        let Phase::Head(scan) = self.phase(from) else { return None };
        if *scan == Scan::default() {
            // Empty lines before a start line are passed over (RFC 9112 section 2.2).
            match bytes {
                [b'\r', b'\n', ..] => return Some(Step::Take(Take { used: 2, ..Take::default() })),
                [b'\n', ..] => return Some(Step::Take(Take { used: 1, ..Take::default() })),
                [b'\r'] => return Some(Step::More),
                _ => {}
            }
        }
        let had_start = scan.has_start();
        let (used, whole) = match scan.search(bytes) {
            Found::TooLong => return None,
            Found::Lines => return (had_start || is_start(from, line(bytes)?.0)).then_some(Step::More),
            Found::Nothing => return may_start(from, strip_cr(bytes.get(..SUSPICION).unwrap_or(bytes))).then_some(Step::More),
            Found::Enough(used) => (used, false),
            Found::End(used) => (used, true),
        };
        let mut framing = Framing::default();
        let (mut head, after) = self.read(from, bytes.get(..used)?, &mut framing)?;
        if !whole {
            let (Head::Request(super::Request { attributes, .. }) | Head::Response(super::Response { attributes, .. })) = &mut head;
            attributes.push(Attribute::both(semconv::WIRESPAN_TRUNCATED, true));
            *self.phase(from) = Phase::Rest(framing, after, Piece::Line);
            return Some(Step::Take(Take { used: used as u64, start: true, head: Some(Box::new(head)), ..Take::default() }));
        }
        let take = self.behind(from, used, &framing, after)?;
        Some(Step::Take(Take { start: true, head: Some(Box::new(head)), head_len: used as u64, ..take }))
    }

    /// Reads a head and pairs it with the other direction's.
    fn read(&mut self, from: Side, head: &[u8], framing: &mut Framing) -> Option<(Head, After)> {
        if from == Side::Client {
            let (request, asked, about) = request::read(head, framing, self.server, self.search)?;
            framing.of_request()?;
            if self.asked.len() >= MOST_PIPELINED {
                return None;
            }
            self.asked.push_back((asked, about));
            return Some((Head::Request(request), if asked == Asked::Tunnel { After::Connect } else { After::Request }));
        }
        let call = self.asked.front_mut().and_then(|(_, about)| if let Some(About::Call(call)) = about { Some(&mut **call) } else { None });
        let mut answer = response::read(head, framing, call)?;
        let (asked, about) = if answer.response.interim { None } else { self.asked.pop_front() }.unzip();
        self.search = answer.search.or(self.search);
        if !answer.response.interim {
            self.watch = match about.flatten() {
                Some(About::Call(call)) => Some(Watch::Call(call)),
                Some(About::Search(search)) => Some(Watch::Search(Box::new(Answer::new(*search, self.search, answer.status)))),
                None => answer.streams.then_some(Watch::Event),
            };
        }
        // Nobody becomes what nobody asked for (RFC 9110 section 7.8).
        if answer.upgrade == "websocket" && asked.is_some_and(|asked| asked != Asked::WebSocket) {
            answer.upgrade = "upgrade";
        }
        if asked == Some(Asked::Upgrade) && answer.status == 101 && answer.upgrade == "h2c" {
            // The response itself comes on the first stream, and finds its request by that.
            answer.response = super::Response { interim: true, ..super::Response::default() };
            self.upgraded = Some(Box::new(super::http2::Connection::upgraded(self.server)));
        }
        if answer.status == 101 && !answer.response.interim {
            answer.response.attributes.push(Attribute::both(semconv::WIRESPAN_UPGRADE, answer.upgrade));
        }
        let after = match (answer.status, asked) {
            (101, _) => After::Other(answer.upgrade),
            (200..=299, Some(Asked::Tunnel)) => After::Other("tunnel"),
            (100..=199 | 204 | 304, _) | (_, Some(Asked::Head)) => After::Nothing,
            _ => After::Response,
        };
        if asked == Some(Asked::Tunnel) && self.client == Phase::Undecided {
            self.client = Phase::default();
        }
        Some((Head::Response(answer.response), after))
    }

    /// Steps over the end of a head, `used` bytes long, and as much of what follows as is known; `None` if no end can be found.
    fn behind(&mut self, from: Side, used: usize, framing: &Framing, after: After) -> Option<Take> {
        let body = match after {
            After::Request => framing.of_request()?,
            After::Response => framing.of_response(),
            After::Nothing | After::Connect | After::Other(_) => Body::Length(0),
        };
        if let After::Other(name) = after {
            self.left = Some(name);
        }
        let watched = from == Side::Server && self.watch.is_some();
        *self.phase(from) = match body {
            Body::Chunked => Phase::Chunks(Chunks::Size),
            Body::UntilClose if watched => Phase::Watched(u64::MAX, Then::Close),
            Body::UntilClose => Phase::UntilClose,
            Body::Length(_) if after == After::Connect => Phase::Undecided,
            Body::Length(length @ 1..) if watched => Phase::Watched(length, Then::End),
            Body::Length(_) => Phase::default(),
        };
        let length = if let Body::Length(length) = body { Some(length) } else { None };
        if watched && length != Some(0) {
            return Some(Take { used: used as u64, ..Take::default() });
        }
        let more = length.and_then(|_| self.told(from, false));
        Some(Take { used: used as u64 + length.unwrap_or(0), end: length.is_some(), more, ..Take::default() })
    }

    /// Looks at content.
    fn watched(&mut self, left: u64, then: Then, bytes: &[u8]) -> Take {
        let shown = bytes.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(bytes);
        let used = match self.watch.as_mut().map(|watch| watch.look(shown, left)) {
            Some(Seen::Used(used)) if then == Then::Close => used.min(shown.len() as u64),
            Some(Seen::Used(used)) => used,
            Some(Seen::Enough) | None => {
                let more = self.told(Side::Server, true);
                let used = if then == Then::Close { shown.len() as u64 } else { left };
                let take = self.passed(left, then, used, more);
                if then == Then::Close {
                    self.answers = Phase::UntilClose;
                }
                return take;
            }
        };
        self.passed(left, then, used, None)
    }

    /// So many bytes of content are done with.
    fn passed(&mut self, left: u64, then: Then, used: u64, mut more: Option<Box<More>>) -> Take {
        let left = left.saturating_sub(used);
        let end = left == 0 && then == Then::End;
        self.answers = match then {
            _ if left > 0 => Phase::Watched(left, then),
            Then::Chunk => Phase::Chunks(Chunks::AfterData),
            Then::End | Then::Close => Phase::default(),
        };
        if end {
            more = more.or_else(|| self.told(Side::Server, false));
        }
        Take { used, more, end, ..Take::default() }
    }

    /// What was looked at in a response says, which is over now or has said enough.
    fn told(&mut self, from: Side, seen: bool) -> Option<Box<More>> {
        let (more, search) = self.watch.take_if(|_| from == Side::Server)?.tell(seen);
        self.search = search.or(self.search);
        more.map(Box::new)
    }

    /// Goes on through a head that was given out unfinished.
    fn rest(&mut self, from: Side, bytes: &[u8]) -> Option<Step> {
        let Phase::Rest(framing, after, piece) = self.phase(from) else { return None };
        let window = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
        let take = |used: usize| Step::Take(Take { used: used as u64, ..Take::default() });
        let Some((text, used)) = line(window) else {
            if window.len() < LONGEST_LINE {
                return Some(Step::More);
            }
            let passed_over = *piece == Piece::SameLine || !Framing::concerns(window);
            *piece = Piece::SameLine;
            return passed_over.then(|| take(window.len()));
        };
        if std::mem::replace(piece, Piece::Line) == Piece::SameLine {
            return Some(take(used));
        }
        if !text.is_empty() {
            framing.line(text).ok()?;
            return Some(take(used));
        }
        let (framing, after) = (std::mem::take(framing), *after);
        self.behind(from, used, &framing, after).map(Step::Take)
    }
}
