//! The kernel side of wirespan: TCP packets, datagrams of DNS, reads, socket states and processes become records of [`wirespan_abi`] in
//! one ring buffer. It parses no protocol, never changes a packet or a process, and lets every packet pass.
//!
//! The programs are here, one line each; what they do is in the module named after what they watch.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod datagram;
mod kernel;
mod last_read;
mod offsets;
mod packet;
mod process;
mod read;
mod ring;
mod segment;
mod socket;
mod state;
mod walk;
mod write;

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, cgroup_skb},
    programs::{BtfTracePointContext, SkBuffContext},
};

/// What a `cgroup_skb` program says to let a packet pass.
const PASS: i32 = 1;

#[cgroup_skb]
pub fn ingress(context: SkBuffContext) -> i32 {
    segment::incoming(&context);
    PASS
}

#[cgroup_skb]
pub fn egress(context: SkBuffContext) -> i32 {
    segment::outgoing(&context);
    PASS
}

#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn tcp_rcv_space_adjust(context: BtfTracePointContext) -> i32 {
    read::advanced(&context);
    0
}

#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(context: BtfTracePointContext) -> i32 {
    write::sent(&context);
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    socket::changed(&context);
    0
}

#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn tcp_receive_reset(context: BtfTracePointContext) -> i32 {
    socket::reset(&context, wirespan_abi::kind::RESET_IN);
    0
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub fn tcp_send_reset(context: BtfTracePointContext) -> i32 {
    socket::reset(&context, wirespan_abi::kind::RESET_OUT);
    0
}

#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(context: BtfTracePointContext) -> i32 {
    process::forked(&context);
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(context: BtfTracePointContext) -> i32 {
    process::executed(&context);
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(context: BtfTracePointContext) -> i32 {
    process::exited(&context);
    0
}

/// The first argument of a tracepoint, if it is not null.
#[inline(always)]
fn first_argument(context: &BtfTracePointContext) -> Option<*const u8> {
    let pointer: *const u8 = context.arg(0);
    (!pointer.is_null()).then_some(pointer)
}

/// The `__sk_buff` of a packet program.
#[inline(always)]
fn skb(context: &SkBuffContext) -> *mut aya_ebpf::bindings::__sk_buff {
    context.as_ptr().cast()
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
