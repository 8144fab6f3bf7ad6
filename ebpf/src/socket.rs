//! Changes of a socket's state become [`wirespan_abi::Closed`], and tell accepted sockets; resets become bare records.
use crate::{
    first_argument,
    kernel::{Tcp, now, tcp_state},
    offsets::{debug, legacy},
    read, ring,
    state::{self, Socket, UNKNOWN, state_flag},
};
use aya_ebpf::{helpers::generated::bpf_get_socket_cookie, programs::BtfTracePointContext};
use aya_log_ebpf::info;
use wirespan_abi::{Closed, Head, HeldRead, kind, verdict};

/// `inet_sock_set_state(sk, oldstate, newstate)`.
#[inline(always)]
pub fn changed(context: &BtfTracePointContext) -> Option<()> {
    let (from, to): (u32, u32) = (context.arg(1), context.arg(2));
    let accepted = from == tcp_state::SYN_RECV && to == tcp_state::ESTABLISHED;
    if !accepted && to != tcp_state::CLOSE {
        return None;
    }
    let sk = first_argument(context)?;
    // SAFETY: the tracepoint's socket.
    let tcp = unsafe { Tcp::of(sk)? };
    // SAFETY: as above.
    let state = unsafe { state::find(sk, tcp.cookie())? };
    if accepted {
        accept(sk, tcp, state);
        return None;
    }
    close(context, tcp, state, from);
    if state.is(state_flag::KNOWN) {
        state::ended(state.cookie);
    }
    Some(())
}

/// A listener's storage has been copied into this socket. It may be read before its first packet is seen, because the packet that
/// completed the handshake may have carried payload.
#[inline(always)]
fn accept(sk: *const u8, tcp: Tcp, state: &mut Socket) {
    if legacy() || state.flags != state_flag::LISTENER {
        return;
    }
    // SAFETY: the tracepoint's socket.
    state.cookie = unsafe { bpf_get_socket_cookie(sk.cast_mut().cast()) };
    state.copied = tcp.copied_seq();
    state.verdict = UNKNOWN;
    state.flags = state_flag::KNOWN | state_flag::SERVER | state_flag::FRESH;
}

#[inline(always)]
fn close(context: &BtfTracePointContext, tcp: Tcp, state: &mut Socket, from: u32) {
    if !state.is(state_flag::OPENED) || state.is(state_flag::OWN | state_flag::CLOSED) {
        return;
    }
    if state.held.at != 0 {
        read::report(state, state.held);
        state.held = HeldRead::default();
    }
    let head = Head { at: now(), cookie: state.cookie, kind: kind::CLOSED, flags: 0, tcp_flags: 0, reserved: 0, len: 0 };
    let error = tcp.error();
    ring::write(|| Closed { head, error, from_state: from, retransmits: tcp.retransmits(), reserved: 0 });
    state.flags |= state_flag::CLOSED;
    if debug() {
        info!(context, "socket {} closed from state {} with error {}", state.cookie, from, error);
    }
}

/// `tcp_receive_reset(sk)` and `tcp_send_reset(sk, …)`, whose socket may be none or no full one.
#[inline(always)]
pub fn reset(context: &BtfTracePointContext, kind: u8) -> Option<()> {
    let sk = first_argument(context)?;
    // SAFETY: the tracepoint's socket.
    let tcp = unsafe { Tcp::of(sk)? };
    // SAFETY: as above.
    let state = unsafe { state::find(sk, tcp.cookie())? };
    if !state.is(state_flag::OPENED) || state.is(state_flag::OWN | state_flag::CLOSED) || state.verdict.flags & verdict::IGNORE != 0 {
        return None;
    }
    ring::write(|| Head { at: now(), cookie: state.cookie, kind, ..Head::default() });
    Some(())
}
