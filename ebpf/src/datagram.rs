//! Datagrams that could be DNS become records: one look at twelve bytes decides, and any other flow of datagrams costs no more.
//!
//! Nothing is remembered about sockets. Whoever sends a datagram does so in its system call: nothing keeps it back, and nobody sends it
//! again. Who reads one is not told.
use crate::{
    kernel::{current_comm, current_thread, now},
    last_read,
    offsets::OWN_PID,
    packet::{direct, ends},
    ring::{self, Payload, SHORT},
    segment::{NOBODY, OWN_PEERS},
    state,
};
use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_get_socket_cookie, bpf_skb_cgroup_id},
};
use core::mem;
use wirespan_abi::{Addresses, Datagram, Head, LastRead, Segment, dns, flag, kind};

/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

const _: () = assert!(dns::CAPTURED <= SHORT);

/// Way of a packet, seen from its socket.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Way {
    In,
    Out,
}

/// A datagram, whose UDP header begins at `TRANSPORT`, passes its socket.
#[inline(always)]
pub fn passed<const TRANSPORT: usize>(skb: *mut __sk_buff, way: Way) -> Option<()> {
    // SAFETY: a field of the context.
    let len = unsafe { (*skb).len }.checked_sub((TRANSPORT + UDP_HEADER + dns::HEADER) as u32)?;
    let ([source, target, _, _], header): ([[u8; 2]; 4], [u8; dns::HEADER]) = direct::<TRANSPORT, _>(skb)?;
    if dns::is_wanted([u16::from_be_bytes(source), u16::from_be_bytes(target)], header) {
        report(skb, TRANSPORT as u32, len + dns::HEADER as u32, way)
    } else {
        None
    }
}

/// Writes the record. A function of its own, because its variables and those of its callers do not fit the stack together.
#[inline(never)]
fn report(skb: *mut __sk_buff, transport: u32, len: u32, way: Way) -> Option<()> {
    if state::generation() == 0 {
        return None;
    }
    let leaves = way == Way::Out;
    let v6 = transport == 40;
    let mut addresses = Addresses::default();
    let Addresses { local, remote, .. } = &mut addresses;
    let [source, target] = ends(skb, v6, transport, if leaves { [local, remote] } else { [remote, local] })?;
    (addresses.local_port, addresses.remote_port) = if leaves { (source, target) } else { (target, source) };
    // SAFETY: only whether the entry exists matters.
    if unsafe { OWN_PEERS.get(addresses) }.is_some() {
        return None;
    }
    let sender = if leaves { current_thread() } else { NOBODY };
    if sender.pid == OWN_PID.load() {
        mem::swap(&mut addresses.local, &mut addresses.remote);
        mem::swap(&mut addresses.local_port, &mut addresses.remote_port);
        return OWN_PEERS.insert(addresses, 1, 0).ok();
    }
    let mut flags = if v6 { flag::IPV6 } else { 0 };
    let mut last_read = LastRead::default();
    if sender.tid != 0 {
        flags |= flag::IN_CALL;
        last_read = last_read::of(sender.tid);
    }
    let kind = if leaves { kind::DATAGRAM_OUT } else { kind::DATAGRAM_IN };
    // SAFETY: the arguments are the context.
    let (cookie, cgroup) = unsafe { (bpf_get_socket_cookie(skb.cast()), bpf_skb_cgroup_id(skb)) };
    let captured = len.min(dns::CAPTURED);
    let head = Head { at: now(), cookie, kind, flags, tcp_flags: 0, reserved: 0, len };
    let segment = Segment { head, seq: 0, ack: 0, captured, srtt_us: 0, retransmits: 0, reserved: 0 };
    let name = |record: *mut Datagram| {
        if sender.tid != 0 {
            // SAFETY: the record is being written.
            unsafe { current_comm(&raw mut (*record).comm) };
        }
    };
    let payload = Payload { skb, offset: transport + UDP_HEADER as u32, len: captured };
    ring::write_short(|| Datagram { segment, addresses, cgroup, sender, last_read, comm: [0; 16] }, name, payload);
    Some(())
}
