//! Which datagrams are worth a record: the one thing that the kernel side knows of a protocol, and captures are searched by.
//!
//! Nothing is remembered about sockets for datagrams, so a first look has to decide. It is at the twelve bytes in front of every DNS
//! message (RFC 1035 section 4.1.1), most of whose bits have one possible value: of datagrams with other contents, less than one in a
//! million passes.

/// Bytes of a message's header.
pub const HEADER: usize = 12;
/// Payload bytes that are copied of a datagram: the longest of DNS as it was (RFC 1035 section 2.3.4); the question is at the beginning
/// of longer ones, too.
pub const CAPTURED: u32 = 512;

/// Ports at either end of what looks like DNS and asks everybody in the neighbourhood: `NetBIOS` names, multicast DNS, LLMNR.
const NEIGHBOURS: [u16; 3] = [137, 5353, 5355];
/// Most records in a part of an answer, by far.
const MANY: u16 = 256;
/// Highest response code of a header.
const LAST_CODE: u16 = 10;

/// Whether a datagram between these ports that begins so may be a question or an answer.
#[allow(clippy::inline_always, reason = "the verifier follows calls badly")]
#[inline(always)]
#[must_use]
pub const fn is_wanted(ports: [u16; 2], header: [u8; HEADER]) -> bool {
    let [first, second] = ports;
    let [one, two, three] = NEIGHBOURS;
    if first == one || first == two || first == three || second == one || second == two || second == three {
        return false;
    }
    let [_, _, flags, codes, q1, q0, a1, a0, n1, n0, r1, r0] = header;
    let (questions, answers) = (u16::from_be_bytes([q1, q0]), u16::from_be_bytes([a1, a0]));
    let (authorities, others) = (u16::from_be_bytes([n1, n0]), u16::from_be_bytes([r1, r0]));
    // An ordinary query, and the bit that must be zero.
    if flags & 0x78 != 0 || codes & 0x40 != 0 || questions > 1 {
        return false;
    }
    if flags & 0x80 == 0 {
        // Nothing that only an answer says.
        flags & 0x06 == 0 && codes & 0x8f == 0 && questions == 1 && answers == 0 && authorities == 0 && others <= 2
    } else {
        let counts = answers <= MANY && authorities <= MANY && others <= MANY;
        counts && (codes & 0x0f) as u16 <= LAST_CODE && (questions == 1 || (answers == 0 && codes & 0x0f != 0))
    }
}
