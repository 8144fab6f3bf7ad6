//! The ring buffer and the counters: every record goes through here, and every one that cannot is counted.
use crate::offsets::WAKE_ABOVE;
use aya_ebpf::{
    bindings::{__sk_buff, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    btf_maps::{PerCpuArray, RingBuf},
    helpers::generated::{bpf_ringbuf_query, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_skb_load_bytes},
    macros::btf_map,
};
use core::{ffi::c_void, hint::black_box, ptr};
use wirespan_abi::{Segment, counter, drop_cause};

/// Bytes of the ring buffer unless the agent sets another size: room for some 50,000 small records, a quarter of a second of a busy
/// host, while the agent sleeps.
const RING_BYTES: usize = 16 << 20;

#[btf_map]
static RING: RingBuf<u64, RING_BYTES> = RingBuf::new();

#[btf_map]
static COUNTERS: PerCpuArray<u64, { counter::COUNT as usize }> = PerCpuArray::new();

/// Payload sizes for which ring memory is reserved. Each is a power of two, which [`put`] needs; the steps waste at most
/// three quarters of a reservation, and what is not written costs no memory traffic.
const SIZES: [usize; 6] = [128, 512, 2048, 8192, 32768, 65536];

/// Small records of a CPU from one look at how full the ring is to the next, and payload room from which on a record is none of them: so
/// that even 64 CPUs write less in between than is left above the mark.
const WAKE_EVERY: u64 = 8;
const LARGE: usize = SIZES[2];

/// Most payload bytes of one record.
pub const LARGEST: u32 = 65536;

/// Most payload bytes of a short record.
pub const SHORT: u32 = SIZES[1] as u32;

/// Adds to one of [`drop_cause`] or [`counter`].
#[inline(always)]
pub fn count(index: u32, by: u64) {
    if let Some(value) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the pointer is this CPU's element. A program that preempts this one may cost a count, never memory.
        unsafe { *value += by };
    }
}

/// Counts a record; gives how many this CPU has made.
#[inline(always)]
fn counted() -> u64 {
    let Some(records) = COUNTERS.get_ptr_mut(counter::RECORDS) else { return 0 };
    // SAFETY: as in `count`.
    unsafe {
        *records += 1;
        *records
    }
}

/// A record in the ring: its fixed part, then room for payload.
#[repr(C)]
struct Record<H, const N: usize> {
    fixed: H,
    payload: [u8; N],
}

/// Payload bytes of a packet, from an offset after its network header.
#[derive(Clone, Copy)]
pub struct Payload {
    pub skb: *mut __sk_buff,
    pub offset: u32,
    pub len: u32,
}

/// Writes the record that `make` makes, where it will lie. False if the ring was full, which has been counted.
#[inline(always)]
pub fn write<H: Copy>(make: impl FnOnce() -> H) -> bool {
    put::<H, 0>(make, |_| (), None)
}

/// Writes the record that `make` makes, and lets `fill` put into it what would not fit the stack. False if the ring was full, which
/// has been counted.
#[inline(always)]
pub fn write_filled<H: Copy>(make: impl FnOnce() -> H, fill: impl FnOnce(*mut H)) -> bool {
    put::<H, 0>(make, fill, None)
}

/// Writes a record and `payload`, at most [`LARGEST`] bytes. False if the ring was full, which has been counted.
#[inline(always)]
pub fn write_with<H: Copy>(make: impl FnOnce() -> H, payload: Payload) -> bool {
    let size = payload.len as usize;
    let payload = Some(payload);
    if size == 0 {
        put::<H, 0>(make, |_| (), None)
    } else if size <= SIZES[0] {
        put::<H, { SIZES[0] }>(make, |_| (), payload)
    } else if size <= SIZES[1] {
        put::<H, { SIZES[1] }>(make, |_| (), payload)
    } else if size <= SIZES[2] {
        put::<H, { SIZES[2] }>(make, |_| (), payload)
    } else if size <= SIZES[3] {
        put::<H, { SIZES[3] }>(make, |_| (), payload)
    } else if size <= SIZES[4] {
        put::<H, { SIZES[4] }>(make, |_| (), payload)
    } else {
        put::<H, { SIZES[5] }>(make, |_| (), payload)
    }
}

/// Writes a record and `payload`, at least one byte and at most [`SHORT`], where `fill` puts into the record what would not fit the
/// stack. False if the ring was full, which has been counted.
#[inline(always)]
pub fn write_short<H: Copy>(make: impl FnOnce() -> H, fill: impl FnOnce(*mut H), payload: Payload) -> bool {
    put::<H, { SIZES[1] }>(make, fill, Some(payload))
}

#[inline(always)]
fn put<H: Copy, const N: usize>(make: impl FnOnce() -> H, fill: impl FnOnce(*mut H), payload: Option<Payload>) -> bool {
    let ring: *mut c_void = (&raw const RING).cast_mut().cast();
    // SAFETY: `ring` is the map; the size is a constant.
    let record: *mut Record<H, N> = unsafe { bpf_ringbuf_reserve(ring, size_of::<Record<H, N>>() as u64, 0) }.cast();
    if record.is_null() {
        count(drop_cause::RING_FULL, 1);
        return false;
    }
    // SAFETY: the reservation has the record's size and the ring's eight-byte alignment, and nobody else sees it before it is submitted.
    unsafe {
        ptr::write(&raw mut (*record).fixed, make());
        fill(&raw mut (*record).fixed);
        if let Some(payload) = payload {
            // The verifier needs to see that the length is between 1 and N, which the caller's comparison does not show it.
            let len = (black_box(payload.len.wrapping_sub(1)) & (N as u32 - 1)) + 1;
            let to: *mut c_void = (&raw mut (*record).payload).cast();
            if bpf_skb_load_bytes(payload.skb.cast_const().cast(), payload.offset, to, len) != 0 {
                // The record stays, so that lengths and times are right. Whatever carries payload begins with a segment.
                (*record.cast::<Segment>()).captured = 0;
                count(drop_cause::FAULT, 1);
            }
        }
        submit(record.cast(), N);
    }
    true
}

/// Room in the ring for a record of type `T`, which begins as the caller writes it; null if the ring is full, which has been counted.
#[inline(always)]
pub fn reserve<T>() -> *mut T {
    let ring: *mut c_void = (&raw const RING).cast_mut().cast();
    // SAFETY: `ring` is the map; the size is a constant.
    let record: *mut T = unsafe { bpf_ringbuf_reserve(ring, size_of::<T>() as u64, 0) }.cast();
    if record.is_null() {
        count(drop_cause::RING_FULL, 1);
    }
    record
}

/// Gives the agent a record in which `payload` bytes have room, and wakes it up if the ring fills up.
///
/// # Safety
/// `record` was reserved and is written.
#[inline(always)]
pub unsafe fn submit(record: *mut c_void, payload: usize) {
    let ring: *mut c_void = (&raw const RING).cast_mut().cast();
    // SAFETY: by the contract.
    unsafe {
        let looks = counted().is_multiple_of(WAKE_EVERY) || payload >= LARGE;
        let wakes = looks && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA.into()) > u64::from(WAKE_ABOVE.load());
        let flags = if wakes { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
        bpf_ringbuf_submit(record, flags.into());
    }
}
