//! One socket's connection: finds out what it speaks, then hands each direction's bytes to the protocol's decoder.
use super::lane::{Lane, Outcome, Reader};
use super::stream::{Piece, Stream, seq_distance};
use super::{DropCause, IGNORED, Shared, Signal, index};
use crate::capture::event::{Direction, Nanos, Opened, Role, Segment, SocketId};
use crate::protocol::{Decoder, Guess, Protocol, Side};
use std::sync::Arc;
use wirespan_abi::{Verdict, tcp_flag, verdict};

/// Bytes per direction that are kept to find out the protocol. A first request head that is still undecided by then is none.
const MAX_UNDECIDED: usize = 16 * 1024;
/// Turns in which an older connection may fail to look like anything before it is given up.
const MAX_UNDECIDED_TURNS: u8 = 16;
/// Turns after which a connection will go on, as far as anybody can tell: a second request has come.
const LASTING: u8 = 2;
/// What a connection is after `CONNECT`, and after both sides have agreed to encrypt it: another connection within this one, from its first
/// byte on.
const WITHIN: [&str; 2] = ["tunnel", "tls"];
/// Tunnels within tunnels that are followed: a chain of proxies is shorter, and hostile bytes could nest them by the thousand.
const MAX_TUNNELS: u8 = 4;
/// Bytes that may have left one socket on loopback and not arrived at the other yet: a send buffer's worth.
const MAX_ON_ITS_WAY: i32 = 1 << 20;
/// Times that bytes may not fit before the connection was misjudged: losses explain a few.
const MAX_INVALID: u8 = 16;

/// One direction.
#[derive(Debug, Default)]
struct Half {
    stream: Stream,
    lane: Lane,
    /// Sequence number of the FIN, once seen.
    fin: Option<u32>,
}

enum Phase {
    Undecided { turns: u8 },
    Decoding { protocol: &'static dyn Protocol, decoder: Box<dyn Decoder>, client: Direction, invalid: u8 },
    Ignored,
}

/// One socket's connection.
pub(super) struct Connection {
    opened: Arc<Opened>,
    halves: [Half; 2],
    phase: Phase,
    turn: Option<Direction>,
    established: bool,
    /// The other end, if both are on loopback and known.
    pub(super) other: Option<SocketId>,
    /// What leaves the other end is taken to arrive here.
    mirrored: bool,
    /// Turns that were decoded, up to [`LASTING`].
    turns: u8,
    /// Tunnels that it has become, one within the other.
    tunnels: u8,
    /// Segments that this socket had retransmitted when it was heard of last.
    pub(super) retransmits: u32,
    last_seen: Nanos,
}

impl Connection {
    pub(super) fn new(opened: Arc<Opened>) -> Self {
        let (phase, last_seen) = (Phase::Undecided { turns: 0 }, opened.at);
        let halves = <[Half; 2]>::default();
        Self {
            opened,
            halves,
            phase,
            turn: None,
            established: false,
            other: None,
            mirrored: false,
            turns: 0,
            tunnels: 0,
            retransmits: 0,
            last_seen,
        }
    }

    pub(super) fn is_ignored(&self) -> bool {
        matches!(self.phase, Phase::Ignored)
    }

    /// Whether it is decoded, and has lasted long enough for the source to be told about it.
    pub(super) fn is_lasting(&self) -> bool {
        self.turns >= LASTING && matches!(self.phase, Phase::Decoding { .. })
    }

    pub(super) fn is_mirrored(&self) -> bool {
        self.mirrored
    }

    /// Whether what has arrived at `other` is what left here, up to what is on its way. Addresses alone do not say: every network
    /// namespace has a loopback of its own, with the same ones.
    pub(super) fn feeds(&self, other: &Self) -> bool {
        let (left, arrived) = (self.halves[index(Direction::Out)].stream.next(), other.halves[index(Direction::In)].stream.next());
        left.zip(arrived).is_some_and(|(left, arrived)| (0..=MAX_ON_ITS_WAY).contains(&seq_distance(left, arrived)))
    }

    pub(super) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Says whether what leaves the other end is from now on taken to arrive here. Gives what the source shall know now.
    pub(super) fn mirror(&mut self, mirrored: bool) -> Option<Verdict> {
        if std::mem::replace(&mut self.mirrored, mirrored) == mirrored {
            return None;
        }
        self.verdict()
    }

    /// What the source shall do for a connection that is decoded.
    fn verdict(&self) -> Option<Verdict> {
        let Phase::Decoding { protocol, client, .. } = &self.phase else { return None };
        let server = if *client == Direction::Out { 0 } else { verdict::SERVER };
        let mirrored = if self.mirrored { verdict::MIRRORED } else { 0 };
        Some(Verdict { budget: protocol.budget(), flags: server | mirrored })
    }

    pub(super) fn last_seen(&self) -> Nanos {
        self.last_seen
    }

    pub(super) fn ignore(&mut self) {
        self.phase = Phase::Ignored;
        self.halves = <[Half; 2]>::default();
    }

    pub(super) fn segment(&mut self, segment: &Segment<'_>, shared: &mut Shared<'_>) -> Result<(), DropCause> {
        self.last_seen = segment.at;
        self.retransmits = segment.retransmits;
        if self.is_ignored() {
            return Err(DropCause::Ignored);
        }
        self.handshake(segment, shared);
        if segment.flags & tcp_flag::ACK != 0 {
            self.acknowledge(segment, shared);
        }
        if segment.len > 0 && self.turn != Some(segment.direction) {
            self.turn = Some(segment.direction);
            self.begin_turn(segment.direction, shared);
        }
        let before = self.halves[index(segment.direction)].stream.end();
        self.advance(segment.direction, shared, |stream, each| stream.push(segment, each));
        let half = &mut self.halves[index(segment.direction)];
        if segment.flags & tcp_flag::FIN != 0 {
            half.fin = Some(segment.seq.wrapping_add(segment.len));
        }
        if half.fin.is_some() && half.fin == half.stream.next() && !half.lane.finished {
            self.finish_half(segment.direction, shared);
        }
        let half = &self.halves[index(segment.direction)];
        match segment.len {
            0 => Ok(()),
            _ if half.lane.dropping => Err(DropCause::Resync),
            _ if half.stream.end() == before && !half.stream.is_waiting() => Err(DropCause::Duplicate),
            _ => Ok(()),
        }
    }

    /// The connection is over.
    pub(super) fn finish(&mut self, shared: &mut Shared<'_>) {
        for direction in [Direction::In, Direction::Out] {
            if !self.halves[index(direction)].lane.finished {
                self.advance(direction, shared, Stream::finish);
                self.finish_half(direction, shared);
            }
        }
    }

    /// The input is over, the connection perhaps not: bytes held behind a hole are looked at, open messages stay open.
    pub(super) fn input_ended(&mut self, shared: &mut Shared<'_>) {
        for direction in [Direction::In, Direction::Out] {
            self.advance(direction, shared, Stream::finish);
        }
        self.end_silent(Nanos::MAX, shared.out);
    }

    /// Ends messages whose rest was lost and whose connection was silent since `before`.
    pub(super) fn end_silent(&mut self, before: Nanos, out: &mut dyn FnMut(Signal)) {
        let Phase::Decoding { client, .. } = &self.phase else { return };
        if self.last_seen < before {
            for direction in [Direction::In, Direction::Out] {
                let side = side_of(*client, direction);
                let half = &mut self.halves[index(direction)];
                half.lane.end_truncated(&half.stream, self.opened.socket, side, out);
                half.stream.shrink();
            }
        }
    }

    fn handshake(&mut self, segment: &Segment<'_>, shared: &mut Shared<'_>) {
        if segment.flags & tcp_flag::SYN != 0 {
            self.halves[index(segment.direction)].stream.start(segment.seq);
            let answered = segment.direction == Direction::In && segment.flags & tcp_flag::ACK != 0;
            if answered && self.opened.role == Role::Client && !self.established {
                self.established = true;
                (shared.out)(Signal::Established { socket: self.opened.socket, at: segment.at });
            }
        }
    }

    /// Everything before the segment's acknowledgement number has arrived on the other direction, seen or not.
    fn acknowledge(&mut self, segment: &Segment<'_>, shared: &mut Shared<'_>) {
        let other = opposite(segment.direction);
        // Of a connection that is older than the capture, this is where the other side's next byte is: if another one is seen first, bytes
        // between them were lost.
        let half = &mut self.halves[index(other)];
        half.stream.start(segment.ack);
        // The end of a stream counts as a byte.
        let ack = half.fin.filter(|fin| seq_distance(segment.ack, *fin) > 0).unwrap_or(segment.ack);
        if half.stream.is_waiting() || half.stream.next().is_some_and(|next| seq_distance(ack, next) > 0) {
            self.advance(other, shared, |stream, each| stream.acknowledged(ack, segment.at, each));
        }
    }

    fn begin_turn(&mut self, direction: Direction, shared: &mut Shared<'_>) {
        let joined = !self.opened.fresh;
        let socket = self.opened.socket;
        match &mut self.phase {
            Phase::Undecided { turns } => {
                *turns = turns.saturating_add(1);
                let half = &mut self.halves[index(direction)];
                half.lane.turn();
                if joined {
                    half.lane.forget_kept(&half.stream);
                }
            }
            Phase::Decoding { client, .. } => {
                self.turns = self.turns.saturating_add(1).min(LASTING);
                self.halves[index(direction)].lane.turn();
                let other = &mut self.halves[index(opposite(direction))];
                other.lane.end_truncated(&other.stream, socket, side_of(*client, opposite(direction)), shared.out);
            }
            Phase::Ignored => {}
        }
    }

    /// Lets `step` move the stream of `direction` and decodes what comes out in order.
    fn advance(
        &mut self,
        direction: Direction,
        shared: &mut Shared<'_>,
        step: impl FnOnce(&mut Stream, &mut dyn FnMut(&mut Stream, Piece<'_>)),
    ) {
        let Half { stream, lane, .. } = &mut self.halves[index(direction)];
        let mut outcome = Outcome::Going;
        let mut undecided = false;
        match &mut self.phase {
            Phase::Ignored => {}
            Phase::Undecided { .. } => {
                undecided = true;
                step(stream, &mut |stream, piece| keep(lane, stream, &piece));
            }
            Phase::Decoding { protocol, decoder, client, .. } => {
                let mut reader = Reader {
                    socket: self.opened.socket,
                    side: side_of(*client, direction),
                    decoder: decoder.as_mut(),
                    longest_head: protocol.longest_head(),
                    counters: shared.counters,
                    out: shared.out,
                };
                step(stream, &mut |stream, piece| match outcome {
                    Outcome::Going => outcome = lane.piece(stream, &piece, &mut reader),
                    Outcome::Left(name) if WITHIN.contains(&name) => keep(lane, stream, &piece),
                    Outcome::Invalid | Outcome::Left(_) => {}
                });
            }
        }
        self.judge(direction, &outcome, shared);
        if undecided {
            self.decide(shared);
        }
    }

    fn finish_half(&mut self, direction: Direction, shared: &mut Shared<'_>) {
        let Half { stream, lane, .. } = &mut self.halves[index(direction)];
        lane.finished = true;
        let outcome = match &mut self.phase {
            Phase::Decoding { protocol, decoder, client, .. } => lane.finish(
                stream,
                &mut Reader {
                    socket: self.opened.socket,
                    side: side_of(*client, direction),
                    decoder: decoder.as_mut(),
                    longest_head: protocol.longest_head(),
                    counters: shared.counters,
                    out: shared.out,
                },
            ),
            Phase::Undecided { .. } | Phase::Ignored => return,
        };
        self.judge(direction, &outcome, shared);
    }

    /// Draws the consequences of what a decoder said.
    fn judge(&mut self, direction: Direction, outcome: &Outcome, shared: &mut Shared<'_>) {
        let Phase::Decoding { invalid, client, .. } = &mut self.phase else { return };
        match outcome {
            Outcome::Going => {}
            Outcome::Invalid => {
                *invalid += 1;
                // A server whose very first bytes make no sense does not speak the protocol, whatever its client looks like.
                let stranger = self.opened.fresh && direction != *client && !self.halves[index(direction)].lane.begun;
                if stranger || *invalid >= MAX_INVALID {
                    shared.counters.misjudged += 1;
                    self.leave(None, shared);
                }
            }
            Outcome::Left(name) if WITHIN.contains(name) && self.tunnels < MAX_TUNNELS => self.begin_again(name, shared),
            Outcome::Left(name) => self.leave(Some(name), shared),
        }
    }

    /// What follows is a connection of its own, whose protocol is to be found.
    fn begin_again(&mut self, name: &'static str, shared: &mut Shared<'_>) {
        self.tunnels += 1;
        *shared.left.entry(name).or_default() += 1;
        (shared.out)(Signal::Left { socket: self.opened.socket });
        // While nobody knows what it speaks, the source has to tell both ends.
        shared.verdicts.extend(self.mirror(false).map(|verdict| (self.opened.socket, verdict)));
        self.phase = Phase::Undecided { turns: 0 };
        self.turns = 0;
        self.halves.iter_mut().for_each(|half| half.lane.begin_again());
        self.decide(shared);
    }

    fn leave(&mut self, name: Option<&'static str>, shared: &mut Shared<'_>) {
        if matches!(self.phase, Phase::Decoding { .. }) {
            (shared.out)(Signal::Left { socket: self.opened.socket });
        }
        if let Some(name) = name {
            *shared.left.entry(name).or_default() += 1;
        }
        shared.verdicts.push((self.opened.socket, IGNORED));
        self.ignore();
    }

    /// Tries to recognise the protocol by what both directions have said.
    fn decide(&mut self, shared: &mut Shared<'_>) {
        let [incoming, outgoing] = &self.halves;
        if incoming.lane.pending.is_empty() && outgoing.lane.pending.is_empty() {
            return;
        }
        let clients: &[Direction] = match self.opened.role {
            Role::Client => &[Direction::Out],
            Role::Server => &[Direction::In],
            // Where the bytes could be either side's, the first counts: clients get their ports from the upper ones.
            Role::Unknown if self.opened.local.port() > self.opened.remote.port() => &[Direction::Out, Direction::In],
            Role::Unknown => &[Direction::In, Direction::Out],
        };
        let mut best: Option<(u8, &'static dyn Protocol, Direction)> = None;
        let mut possible = false;
        for protocol in shared.protocols {
            for &client in clients {
                match self.suits(*protocol, client) {
                    Suits::No => {}
                    Suits::Perhaps => possible = true,
                    Suits::Yes(score) => {
                        if best.is_none_or(|(other, ..)| score > other) {
                            best = Some((score, *protocol, client));
                        }
                    }
                }
            }
        }
        let longest = incoming.lane.pending.len().max(outgoing.lane.pending.len());
        let Phase::Undecided { turns } = self.phase else { return };
        if let Some((_, protocol, client)) = best {
            self.recognise(protocol, client, shared);
        } else if !possible && !self.opened.fresh && turns < MAX_UNDECIDED_TURNS {
            // The middle of something: the next turn may begin with a message.
            for half in &mut self.halves {
                half.lane.forget_kept(&half.stream);
                half.lane.dropping = true;
            }
        } else if !possible || longest > MAX_UNDECIDED || turns >= MAX_UNDECIDED_TURNS {
            shared.counters.unrecognised += 1;
            self.leave(None, shared);
        }
    }

    fn suits(&self, protocol: &dyn Protocol, client: Direction) -> Suits {
        let guess = |side, direction| {
            let pending = &self.halves[index(direction)].lane.pending;
            if pending.is_empty() { Guess::Maybe } else { protocol.detect(side, pending) }
        };
        let (asked, answered) = (guess(Side::Client, client), guess(Side::Server, opposite(client)));
        match (asked, answered) {
            (Guess::No, _) | (_, Guess::No) => Suits::No,
            (Guess::Yes, Guess::Yes) => Suits::Yes(3),
            (Guess::Yes, _) | (_, Guess::Yes) => Suits::Yes(2),
            (Guess::Likely, Guess::Likely) => Suits::Yes(1),
            _ => Suits::Perhaps,
        }
    }

    fn recognise(&mut self, protocol: &'static dyn Protocol, client: Direction, shared: &mut Shared<'_>) {
        let is_client = client == Direction::Out;
        let server = if is_client { self.opened.remote } else { self.opened.local };
        let joined = !self.opened.fresh;
        let decoder = protocol.decoder(server, joined);
        let socket = self.opened.socket;
        (shared.out)(Signal::Recognised { socket, protocol: protocol.name(), client: is_client, joined });
        self.phase = Phase::Decoding { protocol, decoder, client, invalid: 0 };
        shared.verdicts.extend(self.verdict().map(|verdict| (socket, verdict)));
        // What was kept is decoded in the order in which the directions began to speak.
        let began = |half: &Half| half.stream.point(half.lane.taken).map_or(Nanos::MAX, |point| point.at);
        let [incoming, outgoing] = &self.halves;
        let order = if began(incoming) <= began(outgoing) { [Direction::In, Direction::Out] } else { [Direction::Out, Direction::In] };
        for direction in order {
            let lane = &mut self.halves[index(direction)].lane;
            let (kept, hidden) = (std::mem::take(&mut lane.pending), std::mem::take(&mut lane.hidden));
            if !kept.is_empty() {
                self.advance(direction, shared, |stream, each| each(stream, Piece::Bytes(&kept)));
            }
            if hidden > 0 {
                self.advance(direction, shared, |stream, each| each(stream, Piece::Unseen(hidden)));
            }
        }
    }
}

/// Whether a connection could speak a protocol.
enum Suits {
    No,
    Perhaps,
    /// It does; the higher the number, the surer.
    Yes(u8),
}

/// Keeps a piece until the protocol is known.
fn keep(lane: &mut Lane, stream: &Stream, piece: &Piece<'_>) {
    match piece {
        Piece::Bytes(bytes) if !lane.dropping && lane.hidden == 0 && lane.pending.len() <= MAX_UNDECIDED => {
            lane.pending.extend_from_slice(bytes);
        }
        _ if lane.dropping || lane.pending.is_empty() => {
            if let Piece::Unseen(_) = piece {
                lane.missed(stream);
            }
            lane.dropping = true;
            lane.taken = stream.end();
        }
        Piece::Bytes(bytes) => lane.hidden += bytes.len() as u64,
        Piece::Unseen(len) => lane.hidden += len,
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::In => Direction::Out,
        Direction::Out => Direction::In,
    }
}

/// Who sends in `direction` if the client sends in `client`.
fn side_of(client: Direction, direction: Direction) -> Side {
    if client == direction { Side::Client } else { Side::Server }
}
