//! Every connection of a capture, by its addresses; bounded.
use super::connection::{Connection, Recent, Scene};
use super::link::{Datagram, Endpoint, Segment};
use super::{PcapSummary, Skip, Vantage};
use crate::capture::event::{self, Direction, Event, Nanos, SocketId};
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use wirespan_abi::tcp_flag::RST;

/// Connections followed at once, the ended ones of the last minute included: about 25 MiB. More evict those silent for longest.
pub const MAX_CONNECTIONS: usize = 50_000;

/// How many make room at once, so that finding the silent ones costs little per packet.
const EVICTED_AT_ONCE: usize = MAX_CONNECTIONS / 8;

/// How long a connection's addresses are remembered after its end: as long as Linux keeps a socket in TIME-WAIT.
const LINGER: Nanos = 60_000_000_000;

/// How long a SYN may wait for its answer: Linux waits up to 64 s after the last of its seven.
const CONNECT_PATIENCE: Nanos = 120_000_000_000;

/// SYNs without an answer that make a connect fail when the capture ends: Linux sent the third 3 s after the first.
const VAIN_SYNS: u32 = 3;

/// Time between two searches for what lingers and waits.
const SWEEP_EVERY: Nanos = 10_000_000_000;

/// Addresses of a connection, the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    low: Endpoint,
    high: Endpoint,
}

impl Key {
    fn of(segment: &Segment<'_>) -> Self {
        Self { low: segment.source.min(segment.target), high: segment.source.max(segment.target) }
    }
}

/// Multiplies word by word and folds the product, from a random start: fast, and a file cannot easily be made
/// to collide.
#[derive(Clone, Copy)]
struct Folding(u64);

impl BuildHasher for Folding {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
    fn write_u128(&mut self, word: u128) {
        self.write_u64(word as u64);
        self.write_u64((word >> 64) as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The connections.
pub(super) struct Table {
    /// Boxed, because a hash table has up to three places for each entry.
    connections: HashMap<Key, Box<Connection>, Folding>,
    vantage: Vantage,
    recent: Recent,
    /// How many there were.
    made: u64,
    /// When and after how many packets the next sweep is due.
    sweep_at: Nanos,
    since_sweep: usize,
}

impl Table {
    /// No connections.
    pub(super) fn new(vantage: Vantage) -> Self {
        Self {
            connections: HashMap::with_hasher(Folding(RandomState::new().hash_one(0))),
            vantage,
            recent: Recent::default(),
            made: 0,
            sweep_at: 0,
            since_sweep: 0,
        }
    }

    /// Takes a segment, captured at `now`, which never goes back.
    pub(super) fn take(&mut self, now: Nanos, segment: &Segment<'_>, summary: &mut PcapSummary, each: &mut dyn FnMut(Event<'_>)) {
        self.since_sweep += 1;
        // Not only by time: a capture whose clock jumps would be nothing but sweeps.
        if now >= self.sweep_at && self.since_sweep > self.connections.len() {
            self.sweep(now, summary, each);
        }
        let key = Key::of(segment);
        let scene = &mut Scene { now, vantage: self.vantage, recent: &mut self.recent, summary, each };
        let mut known = self.connections.get_mut(&key);
        if let Some(old) = known.take_if(|old| old.is_replaced_by(segment)) {
            old.give_up(scene);
        }
        let outcome = match known {
            Some(connection) => connection.take(segment, scene),
            None if segment.flags & RST != 0 => Err(Skip::StrayReset),
            None => {
                self.made += 1;
                let mut connection = Box::new(Connection::new(self.made, segment));
                let outcome = connection.take(segment, scene);
                self.connections.insert(key, connection);
                if self.connections.len() > MAX_CONNECTIONS {
                    self.evict(now, summary, each);
                }
                outcome
            }
        };
        match outcome {
            Ok(()) => summary.segments += 1,
            Err(cause) => summary.skip(cause),
        }
    }

    /// Takes a datagram, which leaves one socket and arrives at another: those of who asked have even numbers.
    pub(super) fn pass(&mut self, now: Nanos, datagram: &Datagram<'_>, summary: &mut PcapSummary, each: &mut dyn FnMut(Event<'_>)) {
        let Datagram { source, target, id, bytes } = *datagram;
        if self.recent.is_copy(now, FxBuildHasher.hash_one((source, target, id, bytes))) {
            return summary.skip(Skip::Copy);
        }
        summary.datagrams += 1;
        // An answer has the highest bit of its flags set.
        let asks = bytes.get(2).is_some_and(|flags| flags & 0x80 == 0);
        for direction in [Direction::Out, Direction::In] {
            let leaves = direction == Direction::Out;
            let (local, remote) = if leaves { (source, target) } else { (target, source) };
            let client = asks == leaves;
            let told = if client { Vantage::Client } else { Vantage::Server };
            if self.vantage == Vantage::Both || self.vantage == told {
                let socket = SocketId((FxBuildHasher.hash_one(local) >> 2) << 1 | u64::from(!client));
                let (local, remote) = (local.into(), remote.into());
                each(Event::Datagram(event::Datagram {
                    at: now,
                    socket,
                    direction,
                    local,
                    remote,
                    bytes,
                    cgroup: 0,
                    sender: None,
                    comm: [0; 16],
                }));
            }
        }
    }

    /// The capture is over: connects that nobody answered have failed.
    pub(super) fn finish(&mut self, now: Nanos, summary: &mut PcapSummary, each: &mut dyn FnMut(Event<'_>)) {
        self.give_up(now, summary, each, |connection| connection.vain_syns() >= VAIN_SYNS);
    }

    fn sweep(&mut self, now: Nanos, summary: &mut PcapSummary, each: &mut dyn FnMut(Event<'_>)) {
        self.sweep_at = now.saturating_add(SWEEP_EVERY);
        self.since_sweep = 0;
        self.give_up(now, summary, each, |connection| {
            let silent = now.saturating_sub(connection.last);
            silent > LINGER && (connection.has_ended() || connection.is_finishing())
                || silent > CONNECT_PATIENCE && connection.vain_syns() > 0
        });
    }

    /// Makes room.
    #[cold]
    fn evict(&mut self, now: Nanos, summary: &mut PcapSummary, each: &mut dyn FnMut(Event<'_>)) {
        let mut ages: Vec<_> = self.connections.values().map(|connection| (connection.last, connection.number)).collect();
        let (_, &mut limit, _) = ages.select_nth_unstable(EVICTED_AT_ONCE);
        summary.evicted += self.connections.values().filter(|it| !it.has_ended() && (it.last, it.number) < limit).count() as u64;
        self.give_up(now, summary, each, |connection| (connection.last, connection.number) < limit);
    }

    /// Ends and forgets the connections that `which` names, in the order in which they began.
    fn give_up(&mut self, now: Nanos, summary: &mut PcapSummary, each: &mut dyn FnMut(Event<'_>), which: impl Fn(&Connection) -> bool) {
        let mut over: Vec<_> = self.connections.extract_if(|_, connection| which(connection)).map(|(_, it)| it).collect();
        over.sort_unstable_by_key(|connection| connection.number);
        let scene = &mut Scene { now, vantage: self.vantage, recent: &mut self.recent, summary, each };
        for mut connection in over {
            connection.give_up(scene);
        }
    }
}
