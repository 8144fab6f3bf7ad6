//! Which packet goes where, under which addresses. Takes and gives bytes of IPv4 packets; does no I/O.
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How packets fare.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Of a thousand packets, so many are lost.
    pub lost: u64,
    /// Of a thousand packets, so many arrive twice.
    pub doubled: u64,
    /// What chance begins with.
    pub seed: u64,
}

impl Weather {
    /// Every packet arrives once; chance decides about ports only.
    pub const FAIR: Self = Self { lost: 0, doubled: 0, seed: 1 };
}

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed on.
    pub passed: u64,
    /// Lost on purpose.
    pub lost: u64,
    /// Handed on twice.
    pub doubled: u64,
    /// Connections.
    pub connections: u64,
}

/// A service that others may reach.
struct Service {
    real: SocketAddrV4,
    node: usize,
    gateway: Ipv4Addr,
}

/// A connection as its client sees it.
#[derive(Clone, Copy)]
struct Origin {
    node: usize,
    client: SocketAddrV4,
    public: SocketAddrV4,
}

/// The router's memory.
pub(super) struct Table {
    weather: Weather,
    chance: u64,
    counts: Counts,
    services: HashMap<SocketAddrV4, Service>,
    /// The router's port on the server's side, by client and service.
    ports: HashMap<(SocketAddrV4, SocketAddrV4), u16>,
    /// Where answers to the router's own addresses go.
    origins: HashMap<SocketAddrV4, Origin>,
}

impl Table {
    pub(super) fn new(weather: Weather) -> Self {
        let (services, ports, origins) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { weather, chance: weather.seed.max(1), counts: Counts::default(), services, ports, origins }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn publish(&mut self, public: SocketAddrV4, real: SocketAddrV4, node: usize, gateway: Ipv4Addr) {
        self.services.insert(public, Service { real, node, gateway });
    }

    /// Translates a packet that came from `node` where it lies; gives the node that it goes to and how often. `None` if it goes nowhere.
    pub(super) fn route(&mut self, node: usize, packet: &mut [u8]) -> Option<(usize, u32)> {
        let (source, destination) = ends(packet)?;
        let (to, source, destination) = match self.origins.get(&destination) {
            Some(origin) => (origin.node, origin.public, origin.client),
            None => self.forward(node, source, destination)?,
        };
        if self.one_of(self.weather.lost) {
            self.counts.lost += 1;
            return None;
        }
        translate(packet, source, destination)?;
        let copies = 1 + u32::from(self.one_of(self.weather.doubled));
        self.counts.passed += 1;
        self.counts.doubled += u64::from(copies - 1);
        Some((to, copies))
    }

    /// From a client to a service.
    fn forward(&mut self, node: usize, client: SocketAddrV4, public: SocketAddrV4) -> Option<(usize, SocketAddrV4, SocketAddrV4)> {
        let service = self.services.get(&public)?;
        let (to, real, gateway) = (service.node, service.real, service.gateway);
        let port = match self.ports.get(&(client, public)) {
            Some(port) => *port,
            None => self.port(gateway, Origin { node, client, public }),
        };
        Some((to, SocketAddrV4::new(gateway, port), real))
    }

    /// A port of the router's that is free, by chance.
    fn port(&mut self, gateway: Ipv4Addr, origin: Origin) -> u16 {
        loop {
            let port = 1024 + (self.random() % 64_000) as u16;
            let own = SocketAddrV4::new(gateway, port);
            if let std::collections::hash_map::Entry::Vacant(place) = self.origins.entry(own) {
                place.insert(origin);
                self.ports.insert((origin.client, origin.public), port);
                self.counts.connections += 1;
                return port;
            }
        }
    }

    fn one_of(&mut self, of_a_thousand: u64) -> bool {
        of_a_thousand > 0 && self.random() % 1000 < of_a_thousand
    }

    /// xorshift64 (Marsaglia 2003).
    fn random(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }
}

/// Where the TCP header of an IPv4 packet begins; `None` if it is no whole TCP packet.
fn tcp_at(packet: &[u8]) -> Option<usize> {
    let start = usize::from(packet.first()? & 0xf) * 4;
    let is_tcp = packet.first()? >> 4 == 4 && packet.get(9) == Some(&6);
    (is_tcp && start >= 20 && packet.len() >= start + 20).then_some(start)
}

fn ends(packet: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let tcp = tcp_at(packet)?;
    let end = |address: usize, port: usize| {
        let octets: [u8; 4] = packet[address..address + 4].try_into().expect("four bytes");
        SocketAddrV4::new(octets.into(), u16::from_be_bytes([packet[port], packet[port + 1]]))
    };
    Some((end(12, tcp), end(16, tcp + 2)))
}

/// Writes other ends into a packet, and both checksums anew.
fn translate(packet: &mut [u8], source: SocketAddrV4, destination: SocketAddrV4) -> Option<()> {
    let tcp = tcp_at(packet)?;
    for (end, address, port) in [(source, 12, tcp), (destination, 16, tcp + 2)] {
        packet[address..address + 4].copy_from_slice(&end.ip().octets());
        packet[port..port + 2].copy_from_slice(&end.port().to_be_bytes());
    }
    packet[10..12].fill(0);
    let header = checksum(&packet[..tcp], 0);
    packet[10..12].copy_from_slice(&header.to_be_bytes());
    packet[tcp + 16..tcp + 18].fill(0);
    // The pseudo header (RFC 9293, section 3.1): both addresses, the protocol and the length.
    let pseudo: u32 = packet[12..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = checksum(&packet[tcp..], pseudo + 6 + (packet.len() - tcp) as u32);
    packet[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// The Internet checksum (RFC 1071) of `bytes`, added to `begin`.
fn checksum(bytes: &[u8], begin: u32) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum = begin + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN of 10.0.0.1:1234 to 10.0.0.2:80, with the checksum of its IPv4 header.
    const SYN: &str = "4500003c1c4640004006\
                       0a74\
                       0a0000010a000002\
                       04d20050000000000000000050020000\
                       0000\
                       0000\
                       00000000000000000000000000000000000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    fn end(text: &str) -> SocketAddrV4 {
        text.parse().expect("an address")
    }

    #[test]
    fn both_ends_are_translated_there_and_back_and_checksums_are_right() {
        let mut table = Table::new(Weather::FAIR);
        table.publish(end("10.0.0.2:80"), end("192.0.2.9:8080"), 1, Ipv4Addr::new(192, 0, 2, 1));
        let mut packet = bytes(SYN);
        assert_eq!(table.route(0, &mut packet), Some((1, 1)));
        let (source, destination) = ends(&packet).expect("a packet");
        assert_eq!((source.ip(), destination), (&Ipv4Addr::new(192, 0, 2, 1), end("192.0.2.9:8080")));
        // A header with its right checksum adds up to nothing.
        assert_eq!(checksum(&packet[..20], 0), 0);
        translate(&mut packet, destination, source).expect("a packet");
        assert_eq!(table.route(1, &mut packet), Some((0, 1)));
        assert_eq!(ends(&packet), Some((end("10.0.0.2:80"), end("10.0.0.1:1234"))));
        translate(&mut packet, end("10.0.0.1:1234"), end("10.0.0.2:80")).expect("a packet");
        assert_eq!(packet[..12], bytes(SYN)[..12], "the checksum of the header is what it was");
        let mut stranger = bytes(SYN);
        assert_eq!(table.route(1, &mut stranger[..30]), None);
    }

    #[test]
    fn about_as_many_packets_are_lost_and_doubled_as_was_asked_for() {
        let mut table = Table::new(Weather { lost: 100, doubled: 50, seed: 7 });
        table.publish(end("10.0.0.2:80"), end("192.0.2.9:8080"), 1, Ipv4Addr::new(192, 0, 2, 1));
        let fates: Vec<_> = (0..10_000).map(|_| table.route(0, &mut bytes(SYN))).collect();
        let lost = fates.iter().filter(|fate| fate.is_none()).count();
        let doubled = fates.iter().filter(|fate| **fate == Some((1, 2))).count();
        assert!((900..1100).contains(&lost) && (350..550).contains(&doubled), "{lost} {doubled}");
    }
}
