//! The records that the kernel side writes into the ring buffer and the agent reads from it.
//!
//! Every type is `#[repr(C)]` with fixed-width integers and explicit padding, so that both compilers lay it out alike. Times are
//! nanoseconds of `CLOCK_MONOTONIC`. A process id is a thread group id; zero means "not in process context".
#![no_std]

pub mod dns;
pub mod walk;

/// Changes whenever a record changes, so that a recorded event file of another layout is refused.
pub const ABI_VERSION: u32 = 3;

/// What a record is: the value of [`Head::kind`].
pub mod kind {
    /// A socket was seen for the first time: [`super::Opened`].
    pub const OPENED: u8 = 1;
    /// A segment arrived: [`super::Segment`], then `captured` bytes.
    pub const SEGMENT_IN: u8 = 2;
    /// A segment left: [`super::SegmentOut`], then `captured` bytes.
    pub const SEGMENT_OUT: u8 = 3;
    /// A segment arrived while its socket was still a listener: [`super::SegmentUnowned`], then `captured` bytes.
    pub const SEGMENT_UNOWNED: u8 = 4;
    /// A thread read from a socket: [`super::Read`].
    pub const READ: u8 = 5;
    /// A socket was closed or failed: [`super::Closed`].
    pub const CLOSED: u8 = 6;
    /// A reset arrived: [`super::Head`] alone.
    pub const RESET_IN: u8 = 7;
    /// A reset was sent: [`super::Head`] alone.
    pub const RESET_OUT: u8 = 8;
    /// A process or thread was made: [`super::Process`].
    pub const FORK: u8 = 9;
    /// A process started another program: [`super::Process`].
    pub const EXEC: u8 = 10;
    /// A thread ended: [`super::Process`].
    pub const EXIT: u8 = 11;
    /// A thread read or wrote, and this is what its process's memory said: [`super::Note`], then `window` bytes.
    pub const NOTE: u8 = 12;
    /// A datagram that could be DNS arrived: [`super::Datagram`], then `captured` bytes.
    pub const DATAGRAM_IN: u8 = 13;
    /// Such a datagram left: [`super::Datagram`], then `captured` bytes.
    pub const DATAGRAM_OUT: u8 = 14;
}

/// Bits of [`Head::flags`].
pub mod flag {
    /// The packet left inside the system call of the thread in [`super::SegmentOut::sender`].
    pub const IN_CALL: u8 = 1;
    /// The socket was seen from its first packet on.
    pub const FRESH: u8 = 2;
    /// The socket made the connection.
    pub const CLIENT: u8 = 4;
    /// The socket accepted the connection.
    pub const SERVER: u8 = 8;
    /// The addresses are IPv6.
    pub const IPV6: u8 = 16;
}

/// Bits of [`Head::tcp_flags`], as in the TCP header (RFC 9293 section 3.1).
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset the connection.
    pub const RST: u8 = 4;
    /// The sender's write ends with this segment.
    pub const PSH: u8 = 8;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 16;
}

/// The start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// When it happened.
    pub at: u64,
    /// The socket's cookie (`SO_COOKIE`), unique until reboot; zero where there is none.
    pub cookie: u64,
    /// One of [`kind`].
    pub kind: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Bits of [`tcp_flag`].
    pub tcp_flags: u8,
    /// Always zero.
    pub reserved: u8,
    /// Payload bytes on the wire.
    pub len: u32,
}

/// A thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
}

/// The last read of a thread on any socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastRead {
    /// Socket that was read; zero if the thread has read nothing.
    pub cookie: u64,
    /// When.
    pub at: u64,
    /// Sequence number up to which the socket had been read (exclusive).
    pub upto: u32,
    /// Always zero.
    pub reserved: u32,
}

/// A read on a server's socket that waited for the next segment out to carry it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldRead {
    /// When; zero if there is none.
    pub at: u64,
    /// Sequence number up to which the socket had been read (exclusive).
    pub upto: u32,
    /// Always zero.
    pub reserved: u32,
    /// Who read.
    pub thread: Thread,
}

/// A segment in either direction, before its payload.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Kind, time, socket, wire length.
    pub head: Head,
    /// Sequence number of the first payload byte.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Payload bytes that follow the record's fixed part.
    pub captured: u32,
    /// Smoothed round-trip time in microseconds; zero if unknown.
    pub srtt_us: u32,
    /// Segments that this socket has retransmitted so far.
    pub retransmits: u32,
    /// Always zero.
    pub reserved: u32,
}

/// A segment that left.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentOut {
    /// The segment.
    pub segment: Segment,
    /// Who sent it, valid with [`flag::IN_CALL`].
    pub sender: Thread,
    /// What that thread read last, before this send.
    pub last_read: LastRead,
    /// A read of this socket that was not reported before.
    pub held_read: HeldRead,
}

/// The two ends of a connection; an IPv4 address fills the first four bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// This end, network byte order.
    pub local: [u8; 16],
    /// The other end, network byte order.
    pub remote: [u8; 16],
    /// Port of this end, host byte order.
    pub local_port: u16,
    /// Port of the other end, host byte order.
    pub remote_port: u16,
    /// Always zero.
    pub reserved: u32,
}

/// A segment that arrived on a listener and belongs to the connection with these addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentUnowned {
    /// The segment; its cookie is the listener's.
    pub segment: Segment,
    /// Whose it is.
    pub addresses: Addresses,
}

/// A datagram, before its payload.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    /// Kind, time, socket, lengths; it has no sequence number, nor what else is of TCP.
    pub segment: Segment,
    /// Both ends, as the datagram names them.
    pub addresses: Addresses,
    /// Id of the socket's cgroup in the v2 hierarchy; zero if unknown.
    pub cgroup: u64,
    /// Who sent it, valid with [`flag::IN_CALL`].
    pub sender: Thread,
    /// What that thread had read last.
    pub last_read: LastRead,
    /// Name of that thread (`comm`), filled up with zeros.
    pub comm: [u8; 16],
}

/// First sight of a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Time, socket, role and freshness.
    pub head: Head,
    /// Both ends.
    pub addresses: Addresses,
    /// Id of the socket's cgroup in the v2 hierarchy; zero if unknown.
    pub cgroup: u64,
    /// Who connected, valid with [`flag::IN_CALL`].
    pub opener: Thread,
    /// What that thread had read last.
    pub last_read: LastRead,
    /// Name of that thread (`comm`), filled up with zeros: of a program that may have ended before anybody can look at it.
    pub comm: [u8; 16],
}

/// A thread read from a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Time and socket.
    pub head: Head,
    /// Sequence number up to which the socket has been read (exclusive).
    pub upto: u32,
    /// Always zero.
    pub reserved: u32,
    /// Who read.
    pub thread: Thread,
}

/// A socket reached its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Time and socket.
    pub head: Head,
    /// The socket's pending error (`sk_err`), a positive errno, or zero.
    pub error: u32,
    /// TCP state that it left, as in the kernel's `tcp_states.h`.
    pub from_state: u32,
    /// Segments that this socket retransmitted.
    pub retransmits: u32,
    /// Always zero.
    pub reserved: u32,
}

/// What a process's memory said when one of its threads read from a socket or wrote to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Time and socket.
    pub head: Head,
    /// Sequence number of the first byte that was read or written.
    pub from: u32,
    /// The one after the last.
    pub upto: u32,
    /// Who.
    pub thread: Thread,
    /// One of [`walk::moment`].
    pub moment: u32,
    /// Bytes that follow: of memory, or if more numbers were put out than [`Note::cells`] has room for, the rest of these.
    pub window: u32,
    /// The step after the last one that was taken.
    pub next: u32,
    /// Numbers that were put out, from cell [`walk::OUTPUT`] on.
    pub emitted: u32,
    /// What the walk left.
    pub cells: [u64; walk::CELLS],
}

/// A change in a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Time; the cookie is zero.
    pub head: Head,
    /// The process and thread it happened to; for a fork, the new one.
    pub thread: Thread,
    /// For a fork, the process and thread that made it.
    pub parent: Thread,
}

/// What the agent tells the kernel about one socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Payload bytes to copy per turn; zero copies none.
    pub budget: u32,
    /// Bits of [`verdict`].
    pub flags: u32,
}

/// Bits of [`Verdict::flags`].
pub mod verdict {
    /// Report nothing more of this socket but its end.
    pub const IGNORE: u32 = 1;
    /// The socket is the server's end: its reads may wait for the answer.
    pub const SERVER: u32 = 2;
    /// What arrives is told by the record of the other end, which it left, on this host.
    pub const MIRRORED: u32 = 4;
}

/// Payload bytes copied per turn of a socket whose protocol is not known yet: more than any header section that common servers accept.
pub const UNKNOWN_BUDGET: u32 = 64 * 1024;

/// Why the kernel side dropped something: the index into its counters.
pub mod drop_cause {
    /// The ring buffer was full.
    pub const RING_FULL: u32 = 0;
    /// A bounded map was full.
    pub const MAP_FULL: u32 = 1;
    /// Kernel memory or packet bytes could not be read.
    pub const FAULT: u32 = 2;
    /// Number of causes.
    pub const COUNT: u32 = 3;
}

/// Counters that are no drops, after those of [`drop_cause`] in the same per-CPU array.
pub mod counter {
    /// Records submitted to the ring buffer.
    pub const RECORDS: u32 = 3;
    /// Payload bytes that were not copied because the turn's budget was used up.
    pub const OVER_BUDGET_BYTES: u32 = 4;
    /// Segments not reported because they carried nothing new.
    pub const DUPLICATE_SEGMENTS: u32 = 5;
    /// Walks through the memory of processes.
    pub const WALKS: u32 = 6;
    /// Nanoseconds that those took.
    pub const WALK_NANOS: u32 = 7;
    /// Size of the array.
    pub const COUNT: u32 = 8;
}

/// Which kernel structure field each element of the kernel side's table of byte offsets is for; the agent fills it from BTF.
pub mod offset {
    /// `sock.__sk_common.skc_state`.
    pub const STATE: usize = 0;
    /// `sock.sk_lock.owned`.
    pub const OWNED: usize = 1;
    /// `sock.sk_err`.
    pub const ERROR: usize = 2;
    /// `sock.__sk_common.skc_cookie`.
    pub const COOKIE: usize = 3;
    /// `tcp_sock.rcv_nxt`.
    pub const RCV_NXT: usize = 4;
    /// `tcp_sock.copied_seq`.
    pub const COPIED_SEQ: usize = 5;
    /// `tcp_sock.srtt_us`.
    pub const SRTT_US: usize = 6;
    /// `tcp_sock.total_retrans`.
    pub const TOTAL_RETRANS: usize = 7;
    /// `tcp_sock.data_segs_in`.
    pub const DATA_SEGS_IN: usize = 8;
    /// `tcp_sock.bytes_sent`.
    pub const BYTES_SENT: usize = 9;
    /// `task_struct.pid`.
    pub const PID: usize = 10;
    /// `task_struct.tgid`.
    pub const TGID: usize = 11;
    /// `task_struct.signal`.
    pub const SIGNAL: usize = 12;
    /// `signal_struct.live`.
    pub const LIVE: usize = 13;
    /// `task_struct.comm`.
    pub const COMM: usize = 14;
    /// `sock.__sk_common.skc_family`.
    pub const FAMILY: usize = 15;
    /// `sock.__sk_common.skc_num`: the local port, host byte order.
    pub const LOCAL_PORT: usize = 16;
    /// `sock.__sk_common.skc_dport`: the remote port, network byte order.
    pub const REMOTE_PORT: usize = 17;
    /// `sock.__sk_common.skc_rcv_saddr`: the local IPv4 address.
    pub const LOCAL_V4: usize = 18;
    /// `sock.__sk_common.skc_daddr`: the remote IPv4 address.
    pub const REMOTE_V4: usize = 19;
    /// `sock.__sk_common.skc_v6_rcv_saddr`: the local IPv6 address; zero where the kernel has no IPv6.
    pub const LOCAL_V6: usize = 20;
    /// `sock.__sk_common.skc_v6_daddr`: the remote IPv6 address; zero where the kernel has no IPv6.
    pub const REMOTE_V6: usize = 21;
    /// `tcp_sock.write_seq`: the sequence number after the last byte written.
    pub const WRITE_SEQ: usize = 22;
    /// `task_struct.thread.fsbase`: the thread pointer.
    pub const THREAD_POINTER: usize = 23;
    /// `task_struct.stack`: where the kernel's stack for the thread is.
    pub const STACK: usize = 24;
    /// Size of the table.
    pub const COUNT: usize = 25;
}

const _: () = assert!(size_of::<Head>() == 24);
const _: () = assert!(size_of::<Segment>() == 48);
const _: () = assert!(size_of::<SegmentOut>() == 104);
const _: () = assert!(size_of::<SegmentUnowned>() == 88);
const _: () = assert!(size_of::<Datagram>() == 144);
const _: () = assert!(size_of::<Opened>() == 120);
const _: () = assert!(size_of::<Read>() == 40);
const _: () = assert!(size_of::<Closed>() == 40);
const _: () = assert!(size_of::<Process>() == 40);
const _: () = assert!(size_of::<Note>() == 56 + 8 * walk::CELLS);
const _: () = assert!(size_of::<Verdict>() == 8);
