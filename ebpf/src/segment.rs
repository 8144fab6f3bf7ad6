//! Packets of a socket become [`wirespan_abi::Opened`] at first sight and one segment record for everything that is new.
//!
//! Never reported: pure acknowledgements, what a retransmit repeats, the agent's own connections, sockets that the agent ignores.
use crate::{
    datagram::Way,
    kernel::{Tcp, after, current_comm, current_thread, now, tcp_state},
    last_read,
    offsets::{OWN_PID, debug},
    packet::Packet,
    ring::{self, LARGEST, Payload, count},
    skb,
    state::{self, IN, OUT, Socket, UNKNOWN, state_flag},
};
use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock},
    btf_maps::LruHashMap,
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock, bpf_skb_cgroup_id},
    macros::btf_map,
    programs::SkBuffContext,
};
use aya_log_ebpf::info;
use core::{mem, ptr};
use wirespan_abi::{
    Addresses, Head, HeldRead, LastRead, Opened, Segment, SegmentOut, SegmentUnowned, Thread, counter, drop_cause, flag, kind, tcp_flag,
    verdict,
};

/// The agent's own connections, as their other end sees them, so that it can be left out too if it is on this host. Bound: far more
/// than an agent opens before the other end has been seen, which is at once.
#[btf_map]
pub static OWN_PEERS: LruHashMap<Addresses, u8, 1024> = LruHashMap::new();

/// No thread: the swapper has number zero and sends nothing. An `Option` would be copied with bytes that were never written, which
/// kernels before 6.3 refuse.
pub const NOBODY: Thread = Thread { pid: 0, tid: 0 };

/// `AF_INET6`.
const INET6: u32 = 10;

/// A packet has arrived.
#[inline(always)]
pub fn incoming(context: &SkBuffContext) -> Option<()> {
    let skb = skb(context);
    let packet = Packet::parse(skb, Way::In)?;
    let (sk, tcp) = socket_of(skb)?;
    let tcp_state = tcp.state();
    if tcp_state == tcp_state::LISTEN {
        return unowned(skb, sk, &packet);
    }
    if tcp_state == tcp_state::CLOSE {
        return None;
    }
    // SAFETY: the packet's socket, and full, or there were no TCP view of it.
    let state = unsafe { state::find_or_make(skb, sk)? };
    if !wanted(state) {
        return None;
    }
    if state.verdict.flags & verdict::MIRRORED != 0 && state.is(state_flag::OPENED) {
        // The budget of the answer begins anew all the same.
        state.turn = if packet.len > 0 { IN } else { state.turn };
        return None;
    }
    // A reset takes no sequence number, and before the answer to a SYN nothing is expected.
    if !packet.has(tcp_flag::RST) && tcp_state != tcp_state::SYN_SENT && !after(packet.end(), tcp.rcv_nxt()) {
        count(counter::DUPLICATE_SEGMENTS, 1);
        return None;
    }
    if tcp_state == tcp_state::SYN_SENT && packet.has(tcp_flag::SYN) {
        // Only now does the socket learn where the other side's bytes begin.
        state.copied = packet.seq;
    }
    let at = now();
    if !state.is(state_flag::OPENED) && !open(&mut First { skb, sk, tcp, state, at, sender: NOBODY, sent: 0, tcp_flags: packet.flags }) {
        return None;
    }
    let (segment, payload) = segment(skb, state, tcp, &packet, at, IN);
    ring::write_with(|| segment, payload);
    Some(())
}

/// A packet leaves.
#[inline(always)]
pub fn outgoing(context: &SkBuffContext) -> Option<()> {
    let skb = skb(context);
    let packet = Packet::parse(skb, Way::Out)?;
    let (sk, tcp) = socket_of(skb)?;
    // A listener's answers belong to no connection yet; a closed socket's reset comes after its end, or is the kernel's own.
    if matches!(tcp.state(), tcp_state::LISTEN | tcp_state::CLOSE) {
        return None;
    }
    // SAFETY: the packet's socket, and full, or there were no TCP view of it.
    let state = unsafe { state::find_or_make(skb, sk)? };
    if state.is(state_flag::CLOSED) && packet.has(tcp_flag::SYN) {
        // The application connects the same socket again.
        *state = Socket::default();
    }
    if !wanted(state) {
        return None;
    }
    if state.is(state_flag::SENT) && !packet.has(tcp_flag::RST) && !after(packet.end(), state.sent) {
        count(counter::DUPLICATE_SEGMENTS, 1);
        return None;
    }
    let sender = if tcp.owned() { current_thread() } else { NOBODY };
    if sender.pid == OWN_PID.load() {
        return own(sk, state);
    }
    let at = now();
    if !state.is(state_flag::OPENED) && !open(&mut First { skb, sk, tcp, state, at, sender, sent: packet.len, tcp_flags: packet.flags }) {
        return None;
    }
    let (mut segment, payload) = segment(skb, state, tcp, &packet, at, OUT);
    let mut last_read = LastRead::default();
    if sender.tid != 0 {
        segment.head.flags = flag::IN_CALL;
        last_read = last_read::of(sender.tid);
    }
    if ring::write_with(|| SegmentOut { segment, sender, last_read, held_read: state.held }, payload) {
        state.held = HeldRead::default();
        state.sent = packet.end();
        state.flags |= state_flag::SENT;
    }
    Some(())
}

/// The packet's socket, if it is a full TCP socket.
#[inline(always)]
fn socket_of(skb: *mut __sk_buff) -> Option<(*const u8, Tcp)> {
    // SAFETY: a field of the context.
    let sk: *const u8 = unsafe { (*skb).__bindgen_anon_2.sk }.cast_const().cast();
    if sk.is_null() {
        return None;
    }
    // SAFETY: the verifier knows what the field is.
    let tcp = unsafe { Tcp::of(sk)? };
    Some((sk, tcp))
}

/// Whether anything but the end of this socket is to be reported.
#[inline(always)]
fn wanted(state: &mut Socket) -> bool {
    let generation = state::generation();
    if state.is(state_flag::OWN | state_flag::CLOSED) || generation == 0 {
        return false;
    }
    if state.is(state_flag::KNOWN) {
        state.refresh(generation);
    }
    state.verdict.flags & verdict::IGNORE == 0
}

/// The record of a segment, and which of its bytes to copy.
#[inline(always)]
fn segment(skb: *mut __sk_buff, state: &mut Socket, tcp: Tcp, packet: &Packet, at: u64, turn: u32) -> (Segment, Payload) {
    let captured = if packet.len == 0 { 0 } else { state.spend(turn, packet.len, packet.has(tcp_flag::PSH)).min(LARGEST) };
    if captured < packet.len {
        count(counter::OVER_BUDGET_BYTES, u64::from(packet.len - captured));
    }
    let kind = if turn == IN { kind::SEGMENT_IN } else { kind::SEGMENT_OUT };
    let head = Head { at, cookie: state.cookie, kind, flags: 0, tcp_flags: packet.flags, reserved: 0, len: packet.len };
    let segment =
        Segment { head, seq: packet.seq, ack: packet.ack, captured, srtt_us: tcp.srtt_us(), retransmits: tcp.retransmits(), reserved: 0 };
    (segment, Payload { skb, offset: packet.offset, len: captured })
}

/// What [`open`] looks at.
struct First<'a> {
    skb: *mut __sk_buff,
    sk: *const u8,
    tcp: Tcp,
    state: &'a mut Socket,
    at: u64,
    /// Who sends; zeros if that cannot be told.
    sender: Thread,
    /// Payload bytes of this packet that the socket has counted as sent.
    sent: u32,
    tcp_flags: u8,
}

/// First sight of a socket. False if the agent does not know it afterwards: then the next packet tries again. A function of its own,
/// because its variables and those of its callers do not fit the stack together when they live side by side.
#[inline(never)]
fn open(first: &mut First<'_>) -> bool {
    let First { skb, sk, tcp, at, sender, tcp_flags, .. } = *first;
    let state = &mut *first.state;
    let connects = tcp_flags & tcp_flag::SYN != 0 && tcp.state() == tcp_state::SYN_SENT;
    if !state.is(state_flag::KNOWN) {
        // SAFETY: the argument is the context.
        state.cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
        state.copied = tcp.copied_seq();
        state.verdict = UNKNOWN;
        state.flags = state_flag::KNOWN
            | if state.is(state_flag::LISTENER) {
                state_flag::SERVER | state_flag::FRESH
            } else if connects {
                state_flag::CLIENT | state_flag::FRESH
            } else if tcp.data_segments_in() == 0 && tcp.bytes_sent() == u64::from(first.sent) {
                state_flag::FRESH
            } else {
                0
            };
        state.refresh(state::generation());
    }
    let mut addresses = Addresses::default();
    let Some(v6) = addresses_of(sk, &mut addresses) else { return false };
    // SAFETY: only whether the entry exists matters.
    if unsafe { OWN_PEERS.get(addresses) }.is_some() {
        state.flags |= state_flag::OWN;
        return false;
    }
    let opener = if connects { sender } else { NOBODY };
    let mut flags = if v6 { flag::IPV6 } else { 0 };
    flags |= if state.is(state_flag::CLIENT) { flag::CLIENT } else { 0 };
    flags |= if state.is(state_flag::SERVER) { flag::SERVER } else { 0 };
    flags |= if state.is(state_flag::FRESH) { flag::FRESH } else { 0 };
    let mut last_read = LastRead::default();
    if opener.tid != 0 {
        flags |= flag::IN_CALL;
        last_read = last_read::of(opener.tid);
    }
    let head = Head { at, cookie: state.cookie, kind: kind::OPENED, flags, tcp_flags, reserved: 0, len: 0 };
    // SAFETY: the argument is the context.
    let cgroup = unsafe { bpf_skb_cgroup_id(skb) };
    let make = || Opened { head, addresses, cgroup, opener, last_read, comm: [0; 16] };
    let name = |record: *mut Opened| {
        if opener.tid != 0 {
            // SAFETY: the record is being written.
            unsafe { current_comm(&raw mut (*record).comm) };
        }
    };
    if !ring::write_filled(make, name) {
        // The packet that is now not reported is lost for the same reason.
        count(drop_cause::RING_FULL, 1);
        return false;
    }
    state.flags |= state_flag::OPENED;
    if debug() {
        tell(skb, state.cookie, flags);
    }
    true
}

/// First sight of a socket that was accepted together with its first request, by the thread that reads it: the packet that brought the
/// request came to the listener (`TCP_DEFER_ACCEPT`), and none of its own may pass before the answer.
#[inline(never)]
pub fn open_read(tcp: Tcp, state: &mut Socket, at: u64) {
    let mut addresses = Addresses::default();
    let v6 = tcp.addresses(&mut addresses);
    // SAFETY: only whether the entry exists matters.
    if unsafe { OWN_PEERS.get(addresses) }.is_some() {
        state.flags |= state_flag::OWN;
        return;
    }
    let flags = flag::SERVER | flag::FRESH | if v6 { flag::IPV6 } else { 0 };
    let head = Head { at, cookie: state.cookie, kind: kind::OPENED, flags, tcp_flags: 0, reserved: 0, len: 0 };
    if ring::write(|| Opened { head, addresses, cgroup: 0, opener: NOBODY, last_read: LastRead::default(), comm: [0; 16] }) {
        state.flags |= state_flag::OPENED;
    }
}

/// Writes a log line. A function of its own, for the stack's sake.
#[inline(never)]
fn tell(skb: *mut __sk_buff, cookie: u64, flags: u8) {
    info!(&SkBuffContext::new(skb), "socket {} opened, flags {}", cookie, flags);
}

/// A connection of the agent itself: never reported, at neither end.
#[inline(never)]
fn own(sk: *const u8, state: &mut Socket) -> Option<()> {
    state.flags |= state_flag::OWN;
    let mut addresses = Addresses::default();
    addresses_of(sk, &mut addresses)?;
    mem::swap(&mut addresses.local, &mut addresses.remote);
    mem::swap(&mut addresses.local_port, &mut addresses.remote_port);
    OWN_PEERS.insert(addresses, 1, 0).ok()
}

/// A packet for a listener: the start of a connection, or the end of its handshake, which may carry payload. A function of its own
/// like [`open`].
#[inline(never)]
fn unowned(skb: *mut __sk_buff, sk: *const u8, packet: &Packet) -> Option<()> {
    // SAFETY: the packet's socket.
    unsafe { state::listener(sk) };
    if packet.len == 0 || packet.has(tcp_flag::RST) {
        return None;
    }
    let addresses = packet.addresses(skb)?;
    // SAFETY: the argument is the context.
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    let captured = packet.len.min(UNKNOWN.budget).min(LARGEST);
    let flags = if packet.v6 { flag::IPV6 } else { 0 };
    let head = Head { at: now(), cookie, kind: kind::SEGMENT_UNOWNED, flags, tcp_flags: packet.flags, reserved: 0, len: packet.len };
    let segment = Segment { head, seq: packet.seq, ack: packet.ack, captured, srtt_us: 0, retransmits: 0, reserved: 0 };
    ring::write_with(|| SegmentUnowned { segment, addresses }, Payload { skb, offset: packet.offset, len: captured });
    Some(())
}

/// Fills in both ends as the socket knows them, before any translation on the way, and says whether they are IPv6; an IPv4 address
/// mapped into IPv6 counts as IPv4.
#[inline(always)]
fn addresses_of(sk: *const u8, addresses: &mut Addresses) -> Option<bool> {
    // SAFETY: the packet's socket; the fields of `bpf_sock` are read one by one, as the verifier wants them.
    unsafe {
        let sk: *mut bpf_sock = bpf_sk_fullsock(sk.cast_mut().cast());
        if sk.is_null() {
            return None;
        }
        addresses.local_port = ptr::read_volatile(&raw const (*sk).src_port) as u16;
        addresses.remote_port = u16::from_be(ptr::read_volatile(&raw const (*sk).dst_port));
        let v6 = ptr::read_volatile(&raw const (*sk).family) == INET6;
        if v6 {
            let local = ptr::read_volatile(&raw const (*sk).src_ip6[2]) == 0xffff_u32.to_be()
                && ptr::read_volatile(&raw const (*sk).src_ip6[0]) == 0
                && ptr::read_volatile(&raw const (*sk).src_ip6[1]) == 0;
            if local {
                word(&mut addresses.local, 0, ptr::read_volatile(&raw const (*sk).src_ip6[3]));
                word(&mut addresses.remote, 0, ptr::read_volatile(&raw const (*sk).dst_ip6[3]));
                return Some(false);
            }
            word(&mut addresses.local, 0, ptr::read_volatile(&raw const (*sk).src_ip6[0]));
            word(&mut addresses.local, 4, ptr::read_volatile(&raw const (*sk).src_ip6[1]));
            word(&mut addresses.local, 8, ptr::read_volatile(&raw const (*sk).src_ip6[2]));
            word(&mut addresses.local, 12, ptr::read_volatile(&raw const (*sk).src_ip6[3]));
            word(&mut addresses.remote, 0, ptr::read_volatile(&raw const (*sk).dst_ip6[0]));
            word(&mut addresses.remote, 4, ptr::read_volatile(&raw const (*sk).dst_ip6[1]));
            word(&mut addresses.remote, 8, ptr::read_volatile(&raw const (*sk).dst_ip6[2]));
            word(&mut addresses.remote, 12, ptr::read_volatile(&raw const (*sk).dst_ip6[3]));
        } else {
            word(&mut addresses.local, 0, ptr::read_volatile(&raw const (*sk).src_ip4));
            word(&mut addresses.remote, 0, ptr::read_volatile(&raw const (*sk).dst_ip4));
        }
        Some(v6)
    }
}

/// Puts a word that is in network byte order into an address.
#[inline(always)]
fn word(address: &mut [u8; 16], at: usize, value: u32) {
    address[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}
