//! What every source says: one stream of events about sockets and processes, in the order in which they happened.
use std::net::SocketAddr;
use wirespan_abi::walk::{CELLS, OUTPUT};

/// A socket, by its cookie: unique on its host until reboot, whatever happens to addresses and file descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// Where the numbers of conversations in datagrams begin, which no cookie reaches.
const CONVERSATIONS: u64 = 1 << 63;

impl SocketId {
    /// The number of a conversation in datagrams: several pass one socket.
    #[must_use]
    pub fn of_conversation(number: u64) -> Self {
        Self(CONVERSATIONS | number)
    }

    /// Whether it is one, so that nothing that both ends see tells its messages apart.
    #[must_use]
    pub fn is_conversation(self) -> bool {
        self.0 >= CONVERSATIONS
    }
}

/// Nanoseconds of the source's monotonic clock.
pub type Nanos = u64;

/// A thread of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    /// Process (thread group).
    pub pid: u32,
    /// Thread.
    pub tid: u32,
}

/// Which end of a connection a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It made the connection.
    Client,
    /// It accepted the connection.
    Server,
    /// The connection is older than the capture.
    Unknown,
}

/// Way of a segment, seen from its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It arrived.
    In,
    /// It left.
    Out,
}

/// The last read of a thread on any socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRead {
    /// Socket that was read.
    pub socket: SocketId,
    /// When.
    pub at: Nanos,
    /// Sequence number up to which it had been read (exclusive).
    pub upto: u32,
}

/// What a thread did, and what it had read before: the forward evidence of a causal link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Who.
    pub thread: Thread,
    /// What that thread had read last; `None` if nothing.
    pub last_read: Option<LastRead>,
}

/// First sight of a socket. It comes before every other event of that socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// When. With `Role::Client` and `fresh`, the moment of the connect.
    pub at: Nanos,
    /// Which.
    pub socket: SocketId,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Which end this is.
    pub role: Role,
    /// Seen from its first packet on.
    pub fresh: bool,
    /// Id of its cgroup in the v2 hierarchy; zero if unknown.
    pub cgroup: u64,
    /// Who connected, if the source knows.
    pub opener: Option<Sender>,
    /// Name of that thread, filled up with zeros; all zeros if unknown.
    pub comm: [u8; 16],
}

/// A segment, new to its socket unless `flags` say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// When it passed the socket.
    pub at: Nanos,
    /// Which.
    pub socket: SocketId,
    /// Arrived or left.
    pub direction: Direction,
    /// Sequence number of the first payload byte.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Bits of [`wirespan_abi::tcp_flag`].
    pub flags: u8,
    /// Payload bytes on the wire.
    pub len: u32,
    /// The first payload bytes, at most `len`.
    pub bytes: &'a [u8],
    /// Who sent it, if it left inside a system call.
    pub sender: Option<Sender>,
    /// Smoothed round-trip time in microseconds; zero if unknown.
    pub srtt_us: u32,
    /// Segments that this socket has retransmitted so far.
    pub retransmits: u32,
}

/// A datagram that could be DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// When it passed the socket.
    pub at: Nanos,
    /// Which. It may talk to many others, and is never announced.
    pub socket: SocketId,
    /// Arrived or left.
    pub direction: Direction,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The first payload bytes.
    pub bytes: &'a [u8],
    /// Id of the socket's cgroup in the v2 hierarchy; zero if unknown.
    pub cgroup: u64,
    /// Who sent it, if it left.
    pub sender: Option<Sender>,
    /// Name of that thread, filled up with zeros; all zeros if unknown.
    pub comm: [u8; 16],
}

/// A thread read from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// When.
    pub at: Nanos,
    /// Which.
    pub socket: SocketId,
    /// Sequence number up to which it has been read (exclusive).
    pub upto: u32,
    /// Who.
    pub thread: Thread,
}

/// What a process was at when a note was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// It had read from a connection that it accepted.
    ReadRequest,
    /// It had sent on a connection that it accepted.
    SendResponse,
    /// It had sent on a connection that it made.
    SendCall,
    /// It had read from a connection that it made.
    ReadAnswer,
}

/// Most numbers of a note.
pub const NOTED: usize = CELLS - OUTPUT;

/// What a process's memory said when one of its threads had read from a socket or written to it. Before or after the event of the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// When.
    pub at: Nanos,
    /// Which socket.
    pub socket: SocketId,
    /// Who.
    pub thread: Thread,
    /// What it did.
    pub moment: Moment,
    /// Sequence number of the first byte that was read or written.
    pub from: u32,
    /// The one after the last.
    pub upto: u32,
    /// What the process's walk put out; zeros behind it.
    pub output: [u64; NOTED],
    /// What it put out beyond that: eight bytes a number.
    pub more: &'a [u8],
    /// A copy of its memory, if its walk made one.
    pub window: &'a [u8],
}

/// Why a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Both sides were done.
    Finished,
    /// The other side reset it.
    ResetByPeer,
    /// This side reset it.
    ResetByUs,
    /// No answer came in time (`ETIMEDOUT`).
    TimedOut,
    /// The connect was refused (`ECONNREFUSED`).
    Refused,
    /// The connect failed with another errno, such as `EHOSTUNREACH`.
    Failed(u32),
}

/// The end of a socket. No event of that socket follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// When.
    pub at: Nanos,
    /// Which.
    pub socket: SocketId,
    /// Why.
    pub end: End,
    /// Whether the connection had been established.
    pub established: bool,
}

/// A change in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// `child` was made by `parent`.
    Forked {
        /// The maker.
        parent: u32,
        /// The new process.
        child: u32,
    },
    /// The process started another program.
    Executed {
        /// Which.
        pid: u32,
    },
    /// The process ended.
    Exited {
        /// Which.
        pid: u32,
    },
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A socket appeared.
    Opened(Opened),
    /// A segment passed.
    Segment(Segment<'a>),
    /// A datagram passed.
    Datagram(Datagram<'a>),
    /// A thread read.
    Read(Read),
    /// A socket ended.
    Closed(Closed),
    /// A process changed.
    Process(Process),
    /// A process's memory was looked at.
    Note(Note<'a>),
}
