//! Settings and structure offsets that the agent writes before the object is loaded. They lie in frozen read-only data, so that the
//! verifier knows their values: it accepts the offsets in direct loads and drops the branches that a setting turns off.
use aya_ebpf::{
    Global,
    helpers::{bpf_probe_read_kernel, generated::bpf_probe_read_kernel as bpf_probe_read_kernel_bytes},
};
use core::{ffi::c_void, ptr};
use wirespan_abi::offset;

/// Byte offsets, indexed by [`offset`].
#[unsafe(no_mangle)]
static OFFSETS: [u32; offset::COUNT] = [0; offset::COUNT];

/// The agent's process: its own traffic is never reported.
#[unsafe(no_mangle)]
pub static OWN_PID: Global<u32> = Global::new(0);

/// Not zero where tracing programs have neither socket storage (before Linux 5.11) nor the cookie helper (before 5.12).
#[unsafe(no_mangle)]
static LEGACY: Global<u32> = Global::new(0);

/// Not zero where packet programs may ask for the current thread's numbers, from about Linux 6.10 on: 45 ns less per segment out.
#[unsafe(no_mangle)]
static IDS_BY_HELPER: Global<u32> = Global::new(0);

/// Not zero where the memory of processes can be looked at: where a tracepoint tells who wrote to a socket, from Linux 6.3 on.
#[unsafe(no_mangle)]
static LOOKS_AT_MEMORY: Global<u32> = Global::new(0);

/// Not zero to write log lines.
#[unsafe(no_mangle)]
static DEBUG: Global<u32> = Global::new(0);

/// Unread bytes in the ring buffer above which the agent is woken up.
#[unsafe(no_mangle)]
pub static WAKE_ABOVE: Global<u32> = Global::new(u32::MAX);

/// Whether per-socket state is kept by cookie.
#[inline(always)]
pub fn legacy() -> bool {
    LEGACY.load() != 0
}

/// Whether the helper for the current thread's numbers may be called.
#[inline(always)]
pub fn ids_by_helper() -> bool {
    IDS_BY_HELPER.load() != 0
}

/// Whether processes may be walked.
#[inline(always)]
pub fn walks() -> bool {
    LOOKS_AT_MEMORY.load() != 0
}

/// Whether log lines are wanted.
#[inline(always)]
pub fn debug() -> bool {
    DEBUG.load() != 0
}

#[inline(always)]
fn offset_of<const FIELD: usize>() -> usize {
    // SAFETY: a read of a static array inside its bounds, which `FIELD` being constant proves; volatile because the loader changes it.
    unsafe { ptr::read_volatile(&raw const OFFSETS[FIELD]) as usize }
}

/// Loads a field of a kernel structure whose type the verifier knows.
///
/// # Safety
/// `base` is a pointer that the verifier tracks as the structure which `FIELD` belongs to, and `T` is the field's type.
#[inline(always)]
pub unsafe fn load<const FIELD: usize, T: Copy>(base: *const u8) -> T {
    // SAFETY: by the contract; the verifier refuses a wrong offset, and a stale pointer faults into zero.
    unsafe { ptr::read_volatile(base.add(offset_of::<FIELD>()).cast()) }
}

/// Reads a field of a kernel structure through a plain number.
#[inline(always)]
pub fn probe<const FIELD: usize, T: Copy>(base: u64) -> Option<T> {
    let address = base.wrapping_add(offset_of::<FIELD>() as u64) as *const T;
    // SAFETY: the helper checks the address and fails instead of faulting.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}

/// Reads the bytes of a field of a kernel structure through a plain number to where they will lie.
///
/// # Safety
/// `to` can be written.
#[inline(always)]
pub unsafe fn probe_into<const FIELD: usize>(base: u64, to: *mut [u8; 16]) {
    let address = base.wrapping_add(offset_of::<FIELD>() as u64) as *const c_void;
    // SAFETY: by the contract; the helper checks the address and fails instead of faulting.
    unsafe { bpf_probe_read_kernel_bytes(to.cast(), size_of::<[u8; 16]>() as u32, address) };
}

/// Whether field `B` follows directly on the four bytes of field `A`.
#[inline(always)]
pub fn adjacent<const A: usize, const B: usize>() -> bool {
    offset_of::<A>() + 4 == offset_of::<B>()
}
