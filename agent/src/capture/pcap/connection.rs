//! One connection of a capture: its segments become the events of its two sockets.
//!
//! - A side's socket is reported when something is known of that side: the client's at its SYN; the server's at its SYN-ACK,
//!   together with the SYN that it answers; both at the first data of a connection that was open before the capture.
//! - It ends when both FINs are acknowledged, at a reset, when another connection takes its addresses, when no SYN was answered,
//!   and when it is evicted. What is open at the end of the capture stays open.
//! - What is sent again is counted, not reported. A second capture of a packet (same numbers, same IP identification, within
//!   [`COPY_WINDOW`]) is neither: `tcpdump -i any` sees a packet on every interface that it crosses.
use super::link::{Endpoint, Segment};
use super::side::{Novelty, Side};
use super::{PcapSummary, Skip, Vantage};
use crate::capture::event::{self, Closed, Direction, End, Event, Nanos, Opened, Role, SocketId};
use std::net::SocketAddr;
use wirespan_abi::tcp_flag::{ACK, FIN, RST, SYN};

/// Time between two captures of the same packet, at most. A sender needs longer to notice a loss, except on the shortest paths,
/// where the IP identification tells.
pub(super) const COPY_WINDOW: Nanos = 1_000_000;

/// Packets among which a copy is looked for: what passes in [`COPY_WINDOW`] at 4 million packets a second, 64 KiB.
const RECENT: usize = 4096;

/// Who sent a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Who made the connection; where that was not seen, the end with the higher port.
    Client,
    /// The other one.
    Server,
}

impl Peer {
    fn other(self) -> Self {
        if self == Self::Client { Self::Server } else { Self::Client }
    }
}

/// The packets seen last, by a mark that copies share.
pub(super) struct Recent(Box<[(u64, Nanos)]>);

impl Default for Recent {
    fn default() -> Self {
        Self(vec![(0, 0); RECENT].into())
    }
}

impl Recent {
    /// Whether the packet was here a moment ago. Now it was.
    pub(super) fn is_copy(&mut self, now: Nanos, mark: u64) -> bool {
        let Some(slot) = self.0.get_mut(mark as usize % RECENT) else { return false };
        let copy = slot.0 == mark && now.saturating_sub(slot.1) <= COPY_WINDOW;
        *slot = (mark, now);
        copy
    }
}

/// What a connection needs from outside while it takes a packet.
pub(super) struct Scene<'a> {
    pub(super) now: Nanos,
    pub(super) vantage: Vantage,
    pub(super) recent: &'a mut Recent,
    pub(super) summary: &'a mut PcapSummary,
    pub(super) each: &'a mut dyn FnMut(Event<'_>),
}

impl Scene<'_> {
    fn tell(&mut self, about: Peer, event: Event<'_>) {
        if matches!((self.vantage, about), (Vantage::Both, _) | (Vantage::Client, Peer::Client) | (Vantage::Server, Peer::Server)) {
            (self.each)(event);
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Tells connections apart and orders them by age.
    pub(super) number: u64,
    /// When its last packet passed.
    pub(super) last: Nanos,
    client_address: Endpoint,
    server_address: Endpoint,
    client: Side,
    server: Side,
    /// Whether the handshake told who is the client.
    roles_known: bool,
    /// More passed than SYNs without an answer.
    established: bool,
    ended: bool,
    syns: u32,
    syn_at: Option<Nanos>,
    rtt_us: u32,
}

impl Connection {
    /// The connection that begins, for the capture, with this segment.
    pub(super) fn new(number: u64, segment: &Segment<'_>) -> Self {
        let from_client = match segment.flags & (SYN | ACK) {
            SYN => true,
            flags if flags & SYN != 0 => false,
            _ => segment.source.port >= segment.target.port,
        };
        let (client_address, server_address) =
            if from_client { (segment.source, segment.target) } else { (segment.target, segment.source) };
        Self {
            number,
            last: 0,
            client_address,
            server_address,
            client: Side::default(),
            server: Side::default(),
            roles_known: segment.flags & SYN != 0,
            established: false,
            ended: false,
            syns: 0,
            syn_at: None,
            rtt_us: 0,
        }
    }

    /// Whether it has ended and only waits for stray packets.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// How many SYNs were sent in vain; zero if one was answered.
    pub(super) fn vain_syns(&self) -> u32 {
        if self.established { 0 } else { self.syns }
    }

    /// Whether both sides have sent all they had.
    pub(super) fn is_finishing(&self) -> bool {
        self.client.is_finishing() && self.server.is_finishing()
    }

    /// Whether this segment opens a new connection between the same addresses.
    pub(super) fn is_replaced_by(&self, segment: &Segment<'_>) -> bool {
        segment.flags & SYN != 0
            && match self.side(self.sender(segment)).isn {
                Some(isn) => isn != segment.seq,
                None => self.established && segment.flags & ACK == 0,
            }
    }

    fn sender(&self, segment: &Segment<'_>) -> Peer {
        if segment.source == self.client_address { Peer::Client } else { Peer::Server }
    }

    fn side(&self, peer: Peer) -> &Side {
        if peer == Peer::Client { &self.client } else { &self.server }
    }

    fn side_mut(&mut self, peer: Peer) -> &mut Side {
        if peer == Peer::Client { &mut self.client } else { &mut self.server }
    }

    /// Takes a segment and reports it, or says why not.
    pub(super) fn take(&mut self, segment: &Segment<'_>, scene: &mut Scene<'_>) -> Result<(), Skip> {
        if self.ended {
            return Err(Skip::AfterEnd);
        }
        self.last = scene.now;
        let from = self.sender(segment);
        if segment.flags & RST != 0 {
            return self.reset(from, segment, scene);
        }
        self.handshake(from, segment, scene.now);
        if segment.flags & ACK != 0 {
            self.side_mut(from.other()).acknowledged(segment.ack);
        }
        let outcome = match self.novelty(from, segment, scene.now) {
            None => Err(Skip::NoPayload),
            Some(novelty) => {
                let copy = scene.recent.is_copy(scene.now, self.mark(from, segment));
                match novelty {
                    Novelty::New => {
                        self.report(from, segment, scene);
                        Ok(())
                    }
                    Novelty::Probe => Err(Skip::Probe),
                    Novelty::Repeated if copy => Err(Skip::Copy),
                    Novelty::Repeated => {
                        self.side_mut(from).count_retransmit();
                        self.syns += u32::from(segment.flags & (SYN | ACK) == SYN);
                        Err(Skip::Retransmit)
                    }
                }
            }
        };
        if self.client.is_finished() && self.server.is_finished() {
            self.end(End::Finished, End::Finished, scene);
        }
        outcome
    }

    /// Learns from the packets of the handshake, among them the one that has no data.
    fn handshake(&mut self, from: Peer, segment: &Segment<'_>, now: Nanos) {
        match segment.flags & (SYN | ACK) {
            SYN if self.syns == 0 => {
                self.syns = 1;
                self.syn_at = Some(now);
            }
            SYN => {}
            _ => self.established = true,
        }
        // From the SYN to the acknowledgement of its answer is one round trip, wherever between the two the capture was made.
        if from == Peer::Client && segment.flags & (SYN | ACK) == ACK {
            if let (Some(at), Some(_), 0, 0) = (self.syn_at, self.server.isn, self.client.retransmits, self.server.retransmits) {
                self.rtt_us = u32::try_from(now.saturating_sub(at).div_ceil(1_000)).unwrap_or(u32::MAX);
            }
            self.syn_at = None;
        }
    }

    /// What the segment is to its sender's past; `None` if it carries nothing.
    fn novelty(&mut self, from: Peer, segment: &Segment<'_>, now: Nanos) -> Option<Novelty> {
        let side = self.side_mut(from);
        let fin = segment.flags & FIN != 0;
        if segment.flags & SYN != 0 {
            let novelty = side.synchronises(segment.seq);
            if novelty == Novelty::New && (segment.len > 0 || fin) {
                side.sends(now, segment.seq.wrapping_add(1), segment.len, fin);
            }
            Some(novelty)
        } else if segment.len > 0 || fin {
            Some(side.sends(now, segment.seq, segment.len, fin))
        } else {
            side.stands_at(segment.seq);
            None
        }
    }

    /// The same for two captures of a packet, and almost certainly for no other two. The checksum is left out: on one interface it
    /// may be unfinished.
    fn mark(&self, from: Peer, segment: &Segment<'_>) -> u64 {
        let words = [
            self.number << 1 | u64::from(from == Peer::Server),
            u64::from(segment.seq) << 32 | u64::from(segment.ack),
            u64::from(segment.len) << 32 | u64::from(segment.id) << 8 | u64::from(segment.flags),
        ];
        words.iter().fold(1, |mark: u64, word| (mark.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(20)
    }

    fn report(&mut self, from: Peer, segment: &Segment<'_>, scene: &mut Scene<'_>) {
        // A lone SYN reaches no socket of the server: there may be none.
        let lone_syn = segment.flags & (SYN | ACK) == SYN && segment.len == 0;
        if !self.client.opened {
            self.open(Peer::Client, scene);
        }
        if !self.server.opened && !lone_syn {
            self.open(Peer::Server, scene);
            if let (Some(seq), true) = (self.client.isn, from == Peer::Server) {
                let syn = Segment { seq, ack: 0, flags: SYN, len: 0, bytes: &[], ..*segment };
                self.tell(Peer::Server, Direction::In, &syn, scene);
            }
        }
        self.tell(from, Direction::Out, segment, scene);
        self.tell(from.other(), Direction::In, segment, scene);
        scene.summary.cut_payload += u64::from(segment.bytes.len() < segment.len as usize);
    }

    fn open(&mut self, peer: Peer, scene: &mut Scene<'_>) {
        scene.summary.connections += u64::from(peer == Peer::Client);
        self.side_mut(peer).opened = true;
        let (local, remote) = match peer {
            Peer::Client => (self.client_address, self.server_address),
            Peer::Server => (self.server_address, self.client_address),
        };
        let role = match peer {
            _ if !self.roles_known => Role::Unknown,
            Peer::Client => Role::Client,
            Peer::Server => Role::Server,
        };
        let opened = Opened {
            at: scene.now,
            socket: self.socket(peer),
            local: SocketAddr::from(local),
            remote: SocketAddr::from(remote),
            role,
            fresh: self.client.isn.is_some() || peer == Peer::Server && self.server.isn.is_some(),
            cgroup: 0,
            opener: None,
            comm: [0; 16],
        };
        scene.tell(peer, Event::Opened(opened));
    }

    /// Reports a segment at one socket, if that is open.
    fn tell(&self, peer: Peer, direction: Direction, segment: &Segment<'_>, scene: &mut Scene<'_>) {
        let side = self.side(peer);
        if !side.opened {
            return;
        }
        let event = event::Segment {
            at: scene.now,
            socket: self.socket(peer),
            direction,
            // A SYN takes one number before the first byte.
            seq: segment.seq.wrapping_add(u32::from(segment.flags & SYN != 0)),
            ack: segment.ack,
            flags: segment.flags,
            len: segment.len,
            bytes: segment.bytes,
            sender: None,
            srtt_us: self.rtt_us,
            retransmits: side.retransmits,
        };
        scene.tell(peer, Event::Segment(event));
    }

    fn socket(&self, peer: Peer) -> SocketId {
        SocketId(self.number * 2 + u64::from(peer == Peer::Server))
    }

    fn reset(&mut self, from: Peer, segment: &Segment<'_>, scene: &mut Scene<'_>) -> Result<(), Skip> {
        let ends = match from {
            // It came after all was said, for example because the receiver did not read to the end.
            _ if self.is_finishing() => (End::Finished, End::Finished),
            Peer::Server if !self.established => (End::Refused, End::ResetByUs),
            Peer::Server => (End::ResetByPeer, End::ResetByUs),
            Peer::Client => (End::ResetByUs, End::ResetByPeer),
        };
        let seen = self.client.opened || self.server.opened;
        // Bytes in a reset are a diagnostic for people, no data (RFC 9293 section 3.5.3).
        let bare = Segment { len: 0, bytes: &[], ..*segment };
        self.tell(from, Direction::Out, &bare, scene);
        self.tell(from.other(), Direction::In, &bare, scene);
        self.end(ends.0, ends.1, scene);
        if seen { Ok(()) } else { Err(Skip::StrayReset) }
    }

    /// Another connection takes its addresses, or it was silent for too long: its end itself was not captured.
    pub(super) fn give_up(&mut self, scene: &mut Scene<'_>) {
        let end = if self.established { End::Finished } else { End::TimedOut };
        self.end(end, end, scene);
    }

    fn end(&mut self, client: End, server: End, scene: &mut Scene<'_>) {
        if self.ended {
            return;
        }
        self.ended = true;
        for (peer, end) in [(Peer::Client, client), (Peer::Server, server)] {
            if self.side(peer).opened {
                let closed = Closed { at: scene.now, socket: self.socket(peer), end, established: self.established };
                scene.tell(peer, Event::Closed(closed));
            }
        }
    }
}
