//! What the other modules take from the kernel: clock, current thread, and the TCP view of a socket.
use crate::offsets::{adjacent, ids_by_helper, load, probe, probe_into};
use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns, bpf_probe_read_kernel, generated::bpf_skc_to_tcp_sock,
};
use wirespan_abi::{Addresses, Thread, offset};

/// `AF_INET6`.
const INET6: u16 = 10;
/// How an IPv4 address in an IPv6 one begins (RFC 4291 section 2.5.5.2).
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// Where the stack pointer of user space lies on a thread's kernel stack on x86-64: of the 16 KiB, `struct pt_regs` takes the last 168
/// bytes, and `sp` is 152 bytes into it.
const USER_STACK_POINTER: u64 = 16384 - 168 + 152;

/// States of a socket, as in the kernel's `tcp_states.h`.
pub mod tcp_state {
    pub const ESTABLISHED: u32 = 1;
    pub const SYN_SENT: u32 = 2;
    pub const SYN_RECV: u32 = 3;
    pub const CLOSE: u32 = 7;
    pub const LISTEN: u32 = 10;
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// The thread that is current, whether or not it has to do with what happens; zeros if it cannot be read.
#[inline(always)]
pub fn current_thread() -> Thread {
    if ids_by_helper() {
        let both = bpf_get_current_pid_tgid();
        return Thread { pid: (both >> 32) as u32, tid: both as u32 };
    }
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    if adjacent::<{ offset::PID }, { offset::TGID }>() {
        let [tid, pid] = probe::<{ offset::PID }, [u32; 2]>(task).unwrap_or_default();
        return Thread { pid, tid };
    }
    let pid = probe::<{ offset::TGID }, u32>(task).unwrap_or_default();
    Thread { pid, tid: probe::<{ offset::PID }, u32>(task).unwrap_or_default() }
}

/// Puts the name of the current thread to where it will lie; zeros if it cannot be read.
///
/// # Safety
/// `to` can be written.
#[inline(always)]
pub unsafe fn current_comm(to: *mut [u8; 16]) {
    // SAFETY: by the contract; the helper checks the address it reads and fills with zeros where it fails.
    unsafe { probe_into::<{ offset::COMM }>(bpf_get_current_task(), to) }
}

/// The current thread's thread pointer, and its stack pointer in user space; zero what cannot be read.
#[inline(always)]
pub fn user_pointers() -> (u64, u64) {
    // SAFETY: no arguments.
    let task = unsafe { bpf_get_current_task() };
    let thread_pointer = probe::<{ offset::THREAD_POINTER }, u64>(task).unwrap_or_default();
    let stack = probe::<{ offset::STACK }, u64>(task).unwrap_or_default();
    // SAFETY: the helper checks the address and fails instead of faulting.
    let stack_pointer = unsafe { bpf_probe_read_kernel((stack + USER_STACK_POINTER) as *const u64) }.unwrap_or_default();
    (thread_pointer, stack_pointer)
}

/// A full TCP socket that the verifier knows as `struct tcp_sock`.
#[derive(Clone, Copy)]
pub struct Tcp(*const u8);

impl Tcp {
    /// The TCP view of `sk`; `None` for anything but a full TCP socket.
    ///
    /// # Safety
    /// `sk` is a socket pointer that the verifier tracks.
    #[inline(always)]
    pub unsafe fn of(sk: *const u8) -> Option<Self> {
        // SAFETY: by the contract.
        let tcp = unsafe { bpf_skc_to_tcp_sock(sk.cast_mut().cast()) };
        (!tcp.is_null()).then_some(Self(tcp.cast_const().cast()))
    }

    /// One of [`tcp_state`].
    #[inline(always)]
    pub fn state(self) -> u32 {
        // SAFETY: `skc_state` is an unsigned char of the socket.
        u32::from(unsafe { load::<{ offset::STATE }, u8>(self.0) })
    }

    /// Whether a thread holds the socket: then what the socket does, it does inside that thread's system call.
    #[inline(always)]
    pub fn owned(self) -> bool {
        // SAFETY: `sk_lock.owned` is an int of the socket.
        unsafe { load::<{ offset::OWNED }, u32>(self.0) == 1 }
    }

    /// Pending error, a positive errno or zero.
    #[inline(always)]
    pub fn error(self) -> u32 {
        // SAFETY: `sk_err` is an int of the socket.
        unsafe { load::<{ offset::ERROR }, u32>(self.0) }
    }

    /// The socket's cookie; zero if nobody has asked for it yet.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        // SAFETY: `skc_cookie` is an atomic 64-bit number of the socket.
        unsafe { load::<{ offset::COOKIE }, u64>(self.0) }
    }

    /// Sequence number that is expected next.
    #[inline(always)]
    pub fn rcv_nxt(self) -> u32 {
        // SAFETY: a u32 of the TCP socket.
        unsafe { load::<{ offset::RCV_NXT }, u32>(self.0) }
    }

    /// Sequence number up to which the application has read.
    #[inline(always)]
    pub fn copied_seq(self) -> u32 {
        // SAFETY: a u32 of the TCP socket.
        unsafe { load::<{ offset::COPIED_SEQ }, u32>(self.0) }
    }

    /// Sequence number after the last byte that was written.
    #[inline(always)]
    pub fn write_seq(self) -> u32 {
        // SAFETY: a u32 of the TCP socket.
        unsafe { load::<{ offset::WRITE_SEQ }, u32>(self.0) }
    }

    /// Smoothed round-trip time in microseconds. The kernel keeps eight times as much.
    #[inline(always)]
    pub fn srtt_us(self) -> u32 {
        // SAFETY: a u32 of the TCP socket.
        unsafe { load::<{ offset::SRTT_US }, u32>(self.0) >> 3 }
    }

    /// Segments retransmitted so far.
    #[inline(always)]
    pub fn retransmits(self) -> u32 {
        // SAFETY: a u32 of the TCP socket.
        unsafe { load::<{ offset::TOTAL_RETRANS }, u32>(self.0) }
    }

    /// Both ends, for where there is no packet to ask, and whether they are IPv6; an IPv4 address mapped into IPv6 counts as IPv4.
    #[inline(always)]
    pub fn addresses(self, addresses: &mut Addresses) -> bool {
        let sk = self.0 as u64;
        addresses.local_port = probe::<{ offset::LOCAL_PORT }, u16>(sk).unwrap_or_default();
        addresses.remote_port = u16::from_be(probe::<{ offset::REMOTE_PORT }, u16>(sk).unwrap_or_default());
        if probe::<{ offset::FAMILY }, u16>(sk) == Some(INET6) {
            addresses.local = probe::<{ offset::LOCAL_V6 }, [u8; 16]>(sk).unwrap_or_default();
            addresses.remote = probe::<{ offset::REMOTE_V6 }, [u8; 16]>(sk).unwrap_or_default();
            if addresses.local[..12] != MAPPED {
                return true;
            }
        }
        let (local, remote) = (probe::<{ offset::LOCAL_V4 }, [u8; 4]>(sk), probe::<{ offset::REMOTE_V4 }, [u8; 4]>(sk));
        (addresses.local, addresses.remote) = ([0; 16], [0; 16]);
        addresses.local[..4].copy_from_slice(&local.unwrap_or_default());
        addresses.remote[..4].copy_from_slice(&remote.unwrap_or_default());
        false
    }

    /// Segments with payload that have arrived.
    #[inline(always)]
    pub fn data_segments_in(self) -> u32 {
        // SAFETY: a u32 of the TCP socket.
        unsafe { load::<{ offset::DATA_SEGS_IN }, u32>(self.0) }
    }

    /// Payload bytes that have left, retransmits included; in the egress hook, those of this packet too.
    #[inline(always)]
    pub fn bytes_sent(self) -> u64 {
        // SAFETY: a u64 of the TCP socket.
        unsafe { load::<{ offset::BYTES_SENT }, u64>(self.0) }
    }
}

/// Whether sequence number `a` is after `b` (RFC 9293 section 3.4).
#[inline(always)]
pub fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}
