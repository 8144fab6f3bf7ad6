//! The last read of each thread: what it had asked for when it sends something elsewhere.
//!
//! A thread's read lies at the place that the last bits of its number name. If another thread that lives has that place, it lies in a
//! hash. A place changes its owner only when it is free, and only its owner writes it: nobody ever finds the read of another.
use crate::ring::count;
use aya_ebpf::{
    btf_maps::{Array, LruHashMap},
    macros::btf_map,
};
use core::{arch::asm, ptr};
use wirespan_abi::{LastRead, drop_cause};

/// Places, a power of two: of a thousand threads that read from sockets, some fifteen find theirs taken.
const PLACES: usize = 32768;

/// A place for a read.
#[repr(C)]
#[derive(Clone, Copy)]
struct Place {
    /// The sum of the numbers of all threads that have or want the place.
    claims: u64,
    /// Whose it is; zero if nobody's.
    tid: u32,
    /// As in [`LastRead`], like the others.
    upto: u32,
    cookie: u64,
    at: u64,
}

/// Reads by the last bits of the thread's number. Looked up inline, which is a sixth of what the hash costs.
#[btf_map]
static READS: Array<Place, PLACES> = Array::new();

/// Reads of the threads whose places are taken. Bound: a quarter of the places, and the least recently used one goes.
#[btf_map]
static OTHER_READS: LruHashMap<u32, LastRead, { PLACES / 4 }> = LruHashMap::new();

/// What the current thread, which has number `tid`, read last.
#[inline(always)]
pub fn of(tid: u32) -> LastRead {
    let Some(place) = READS.get(tid % PLACES as u32) else { return LastRead::default() };
    if place.tid == tid {
        return LastRead { cookie: place.cookie, at: place.at, upto: place.upto, reserved: 0 };
    }
    // SAFETY: only the thread itself changes its entry, and it is this thread that looks.
    unsafe { OTHER_READS.get(tid) }.copied().unwrap_or_default()
}

/// Remembers what the current thread, which has number `tid`, has just read.
#[inline(always)]
pub fn remember(tid: u32, read: LastRead) {
    let Some(place) = READS.get_ptr_mut(tid % PLACES as u32) else { return };
    // SAFETY: the pointer is the element's. Its owner, this thread, is the only one that writes the fields of the read.
    unsafe {
        if (*place).tid == tid || take(place, tid) {
            (*place).upto = read.upto;
            (*place).cookie = read.cookie;
            (*place).at = read.at;
            return;
        }
    }
    if OTHER_READS.insert(tid, read, 0).is_err() {
        count(drop_cause::MAP_FULL, 1);
    }
}

/// Forgets a thread that has ended, whose number the next one may get.
#[inline(always)]
pub fn forget(tid: u32) {
    let Some(place) = READS.get_ptr_mut(tid % PLACES as u32) else { return };
    // SAFETY: the pointer is the element's, and its owner gives it back.
    unsafe {
        if (*place).tid == tid {
            (*place).tid = 0;
            claim(place, u64::from(tid).wrapping_neg());
            return;
        }
    }
    let _ = OTHER_READS.remove(tid);
}

/// Takes a place that nobody has, for the current thread. Of several that try at once on several CPUs, at most one gets it.
///
/// Before Linux 5.12 no atomic operation tells what was there before. But who has added its number, and then finds nothing else in the
/// sum, came when nobody had the place; and who comes later finds this number in the sum for as long as the place is owned.
///
/// # Safety
/// `place` is an element of [`READS`].
#[inline(always)]
unsafe fn take(place: *mut Place, tid: u32) -> bool {
    // SAFETY: by the contract.
    unsafe {
        if claims(place) != 0 {
            return false;
        }
        claim(place, u64::from(tid));
        if claims(place) != u64::from(tid) {
            claim(place, u64::from(tid).wrapping_neg());
            return false;
        }
        (*place).tid = tid;
    }
    let _ = OTHER_READS.remove(tid);
    true
}

/// # Safety
/// `place` is an element of [`READS`].
#[inline(always)]
unsafe fn claims(place: *mut Place) -> u64 {
    // SAFETY: by the contract.
    unsafe { ptr::read_volatile(&raw const (*place).claims) }
}

/// Adds to the claims of a place, as one operation that nothing around it is moved across on x86-64. The instruction by name, because
/// the compiler has none without a result for this target.
///
/// # Safety
/// `place` is an element of [`READS`].
#[inline(always)]
unsafe fn claim(place: *mut Place, number: u64) {
    // SAFETY: by the contract.
    unsafe { asm!("lock *(u64 *)({place} + 0) += {number}", place = in(reg) &raw mut (*place).claims, number = in(reg) number) };
}
