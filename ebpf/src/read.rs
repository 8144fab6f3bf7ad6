//! A read of a socket becomes the last read of its thread and, where no segment out will carry it, a [`wirespan_abi::Read`].
use crate::{
    first_argument,
    kernel::{Tcp, after, now},
    last_read, ring, segment,
    state::{self, Socket, state_flag},
    walk,
};
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, programs::BtfTracePointContext};
use wirespan_abi::{Head, HeldRead, LastRead, Read, Thread, kind, verdict, walk::moment};

/// `tcp_rcv_space_adjust(sk)`: runs whenever bytes have been handed to the application, and also when it only peeked at them.
#[inline(always)]
pub fn advanced(context: &BtfTracePointContext) -> Option<()> {
    let sk = first_argument(context)?;
    // SAFETY: the tracepoint's socket.
    let tcp = unsafe { Tcp::of(sk)? };
    // SAFETY: as above.
    let state = unsafe { state::find(sk, tcp.cookie())? };
    if !state.is(state_flag::KNOWN) || state.is(state_flag::OWN) || state.verdict.flags & verdict::IGNORE != 0 {
        return None;
    }
    let upto = tcp.copied_seq();
    // Without the lock it is not a thread's system call but a kernel service that reads.
    if !after(upto, state.copied) || !tcp.owned() {
        return None;
    }
    let from = state.copied;
    state.copied = upto;
    let (at, thread) = (now(), current());
    if walk::is_walked(thread.pid) {
        let moment = if state.serves() { moment::READ_REQUEST } else { moment::READ_ANSWER };
        walk::note(&walk::Event { at, cookie: state.cookie, from, upto, thread, sk: state.address_of(sk) }, moment);
    }
    if state.is(state_flag::SERVER) && !state.is(state_flag::OPENED | state_flag::CLOSED) {
        segment::open_read(tcp, state, at);
    }
    last_read::remember(thread.tid, LastRead { cookie: state.cookie, at, upto, reserved: 0 });
    let read = HeldRead { at, upto, reserved: 0, thread };
    if state.serves() && state.held.at == 0 {
        state.held = read;
        return None;
    }
    if state.is(state_flag::OPENED) {
        report(state, read);
    }
    Some(())
}

/// Writes the record of a read.
#[inline(always)]
pub fn report(state: &Socket, read: HeldRead) {
    let head = Head { at: read.at, cookie: state.cookie, kind: kind::READ, flags: 0, tcp_flags: 0, reserved: 0, len: 0 };
    ring::write(|| Read { head, upto: read.upto, reserved: 0, thread: read.thread });
}

#[inline(always)]
pub fn current() -> Thread {
    let both = bpf_get_current_pid_tgid();
    Thread { pid: (both >> 32) as u32, tid: both as u32 }
}
