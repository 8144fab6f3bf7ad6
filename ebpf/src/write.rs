//! A write to a socket, told by the thread that wrote, for processes whose memory is looked at. What left is told elsewhere.
use crate::{
    first_argument,
    kernel::{Tcp, now},
    read::current,
    state::{self, state_flag},
    walk,
};
use aya_ebpf::programs::BtfTracePointContext;
use wirespan_abi::{verdict, walk::moment};

/// `sock_send_length(sk, ret, flags)`: runs after every write to a socket of any kind; `ret` is how many bytes it took, or an error.
#[inline(always)]
pub fn sent(context: &BtfTracePointContext) -> Option<()> {
    let thread = current();
    if !walk::is_walked(thread.pid) {
        return None;
    }
    let sk = first_argument(context)?;
    let length: i32 = context.arg(1);
    if length <= 0 {
        return None;
    }
    // SAFETY: the tracepoint's socket.
    let tcp = unsafe { Tcp::of(sk)? };
    // SAFETY: as above.
    let state = unsafe { state::find(sk, tcp.cookie())? };
    if !state.is(state_flag::KNOWN) || state.is(state_flag::OWN) || state.verdict.flags & verdict::IGNORE != 0 {
        return None;
    }
    let upto = tcp.write_seq();
    let from = upto.wrapping_sub(length as u32);
    let moment = if state.serves() { moment::SEND_RESPONSE } else { moment::SEND_CALL };
    walk::note(&walk::Event { at: now(), cookie: state.cookie, from, upto, thread, sk: state.address_of(sk) }, moment);
    Some(())
}
