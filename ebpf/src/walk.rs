//! Walks through the memory of processes of which the agent asked that: what they leave becomes a [`wirespan_abi::Note`].
//!
//! Only reads, and only of the process that is current. Memory that is not there is zero; no walk takes more than [`MAX_TAKEN`] steps.
use crate::{
    kernel::{now, user_pointers},
    offsets::walks,
    ring::{self, count},
};
use aya_ebpf::{
    btf_maps::{Array, HashMap, PerCpuArray},
    helpers::{
        bpf_probe_read_kernel,
        generated::{self, bpf_probe_read_user},
    },
    macros::btf_map,
};
use core::{ffi::c_void, hint::black_box, ptr};
use wirespan_abi::{
    Head, Note, Thread, counter, kind,
    walk::{CELLS, LARGEST_WINDOW, LOWEST, MAX_TAKEN, MAX_WALKED, MORE, OUTPUT, SCANNED, STEPS, WALKED, WINDOW, Walk, key, moment, op},
};

/// Which processes are walked: at the place of its last bits, a process's number. Says no at next to no cost.
#[btf_map]
static WALKED_PROCESSES: Array<u32, WALKED> = Array::new();

/// Walks by process and moment, see [`key`].
#[btf_map]
static WALKS: HashMap<u64, Walk, { MAX_WALKED * moment::COUNT as usize }, { aya_ebpf::bindings::BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// What a walk is about.
pub struct Event {
    pub at: u64,
    pub cookie: u64,
    pub from: u32,
    pub upto: u32,
    pub thread: Thread,
    pub sk: u64,
}

/// Steps that [`wirespan_steps`] takes: more than most walks have.
const TAKEN_AT_ONCE: usize = 64;
/// Numbers that a note's cells have room for.
const ROOM: u32 = (CELLS - OUTPUT) as u32;
/// Bytes of those that follow.
const MORE_BYTES: usize = MORE * size_of::<u64>();
/// What it says: there are more, the note is to be told, it is not.
const GOES_ON: u64 = 0;
const TOLD: u64 = 1;
const DROPPED: u64 = 2;

/// What changes while a walk is taken: the note that it becomes, and the memory to copy behind it.
#[repr(C)]
struct State {
    note: Note,
    copy_from: u64,
    copy_len: u64,
    /// What was put out beyond the note's cells.
    more: [u64; MORE],
}

/// The states of a CPU: of the program that sees reads, and of the one that sees writes.
#[btf_map]
static STATES: PerCpuArray<State, 2> = PerCpuArray::new();

/// A note in the ring, then room for a copy of memory.
#[repr(C)]
struct Record<const N: usize> {
    note: Note,
    window: [u8; N],
}

/// Whether the agent asked for this process's memory.
#[inline(always)]
pub fn is_walked(pid: u32) -> bool {
    walks() && WALKED_PROCESSES.get(pid & (WALKED as u32 - 1)).is_some_and(|walked| *walked == pid)
}

/// Where the number of a socket ends in the second argument of [`wirespan_walk`]: the moment follows. Cookies are
/// counted from one, and a host makes fewer.
const COOKIE_BITS: u32 = 56;

/// Walks, if this process has a walk for the moment, and tells what it left.
#[inline(always)]
pub fn note(event: &Event, moment: u32) {
    let Event { at, cookie, from, upto, thread, sk } = *event;
    let cookie = cookie | (u64::from(moment) << COOKIE_BITS);
    let pair = |low: u32, high: u32| u64::from(low) | (u64::from(high) << 32);
    // The verifier is to see no difference between the calls of one program.
    wirespan_walk(black_box(at), black_box(cookie), black_box(pair(from, upto)), black_box(pair(thread.pid, thread.tid)), black_box(sk));
}

/// [`note`] as the verifier knows it: a global function, which takes numbers alone and so is verified once and not per call and per state in
/// which a program comes to it. That takes seconds where the packet that leaves is what walks.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wirespan_walk(at: u64, cookie: u64, range: u64, thread: u64, sk: u64) -> u64 {
    if !walks() {
        return 0;
    }
    let moment = (cookie >> COOKIE_BITS) as u32;
    let event = Event {
        at,
        cookie: cookie & ((1 << COOKIE_BITS) - 1),
        from: range as u32,
        upto: (range >> 32) as u32,
        thread: Thread { pid: thread as u32, tid: (thread >> 32) as u32 },
        sk,
    };
    walk(&event, moment);
    0
}

#[inline(always)]
fn walk(event: &Event, moment: u32) -> Option<()> {
    let key = key(event.thread.pid, moment);
    // Most moments of a process have no walk.
    WALKS.get_ptr(key)?;
    let began = now();
    walked(event, moment, key);
    count(counter::WALKS, 1);
    count(counter::WALK_NANOS, now().wrapping_sub(began));
    Some(())
}

#[inline(always)]
fn walked(event: &Event, moment: u32, key: u64) -> Option<()> {
    let (thread_pointer, stack_pointer) = user_pointers();
    let Event { at, cookie, from, upto, thread, sk } = *event;
    let place = u32::from(moment == moment::SEND_RESPONSE || moment == moment::SEND_CALL);
    let state = STATES.get_ptr_mut(place)?;
    // SAFETY: the pointer is this CPU's element, and of the program that runs: no program runs twice at a time on one CPU.
    unsafe {
        let note = &raw mut (*state).note;
        let head = Head { at, cookie, kind: kind::NOTE, flags: 0, tcp_flags: 0, reserved: 0, len: 0 };
        ptr::write(&raw mut (*note).head, head);
        (*note).from = from;
        (*note).upto = upto;
        ptr::write(&raw mut (*note).thread, thread);
        (*note).moment = moment;
        (*note).window = 0;
        (*note).next = 0;
        (*note).emitted = 0;
        (*state).copy_from = 0;
        (*state).copy_len = 0;
        let cells: *mut u64 = (&raw mut (*note).cells).cast();
        *cells = thread_pointer;
        *cells.add(1) = stack_pointer;
        *cells.add(2) = sk;
        *cells.add(3) = thread.tid.into();
        for index in 4..CELLS {
            ptr::write_volatile(cells.add(index), 0);
        }
        for _ in 0..MAX_TAKEN / TAKEN_AT_ONCE {
            match wirespan_steps(black_box(place.into()), black_box(key)) {
                GOES_ON => {}
                TOLD => break,
                _ => return None,
            }
        }
        let copied = ptr::read_volatile(&raw const (*state).copy_len);
        if copied == 0 {
            if ptr::read_volatile(&raw const (*note).emitted) > ROOM { tell_more(state) } else { tell::<0>(state) }
        } else if copied <= WINDOW as u64 {
            tell::<WINDOW>(state);
        } else {
            tell::<LARGEST_WINDOW>(state);
        }
    }
    Some(())
}

/// Tells a note, with a copy of memory if there is room for one.
///
/// # Safety
/// The state is written.
#[inline(always)]
unsafe fn tell<const N: usize>(state: *const State) {
    let record: *mut Record<N> = ring::reserve();
    if record.is_null() {
        return;
    }
    // SAFETY: by the contract, and the reservation has the record's size and alignment; a note is a number of eight bytes each.
    unsafe {
        let (from, to): (*const u64, *mut u64) = (state.cast(), record.cast());
        for index in 0..size_of::<Note>() / 8 {
            *to.add(index) = ptr::read_volatile(from.add(index));
        }
        if N > 0 {
            let (from, len) = (ptr::read_volatile(&raw const (*state).copy_from), ptr::read_volatile(&raw const (*state).copy_len));
            let len = (black_box(len as u32).wrapping_sub(1) & (N as u32).wrapping_sub(1)) + 1;
            if bpf_probe_read_user((&raw mut (*record).window).cast(), len, from as *const c_void) == 0 {
                (*record).note.window = len;
            }
        }
        ring::submit(record.cast(), N);
    }
}

/// Tells a note with all that was put out.
///
/// # Safety
/// The state is written.
#[inline(always)]
unsafe fn tell_more(state: *const State) {
    let record: *mut Record<MORE_BYTES> = ring::reserve();
    if record.is_null() {
        return;
    }
    // SAFETY: as in `tell`.
    unsafe {
        let (from, to): (*const u64, *mut u64) = (state.cast(), record.cast());
        for index in 0..size_of::<Note>() / 8 {
            *to.add(index) = ptr::read_volatile(from.add(index));
        }
        let emitted = ptr::read_volatile(&raw const (*state).note.emitted);
        let len = (black_box(emitted.wrapping_sub(ROOM) * 8).wrapping_sub(1) & (MORE_BYTES as u32 - 1)) + 1;
        let more: *const c_void = (&raw const (*state).more).cast();
        if generated::bpf_probe_read_kernel((&raw mut (*record).window).cast(), len, more) == 0 {
            (*record).note.window = len;
        }
        ring::submit(record.cast(), MORE_BYTES);
    }
}

/// Takes the next steps of a walk; says whether there are more. A global function, so that the verifier goes through these few steps
/// once, however often they are taken. Everything that changes lies in the state, not in variables, so that the verifier sees the same
/// state at each step.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wirespan_steps(place: u64, key: u64) -> u64 {
    if !walks() {
        return DROPPED;
    }
    let (Some(state), Some(walk)) = (STATES.get_ptr_mut(place as u32), WALKS.get_ptr(key)) else { return DROPPED };
    // SAFETY: the pointers are this CPU's element and the process's walk, which stays valid while the program runs: the agent replaces
    // entries, and writes none.
    unsafe { take_steps(state, &*walk) }
}

/// # Safety
/// The state is written.
#[inline(always)]
unsafe fn take_steps(state: *mut State, walk: &Walk) -> u64 {
    // SAFETY: by the contract; every index is masked, and the helpers check the addresses that they read.
    unsafe {
        let note = &raw mut (*state).note;
        let cells: *mut u64 = (&raw mut (*note).cells).cast();
        let steps = walk.steps.as_ptr();
        for _ in 0..TAKEN_AT_ONCE {
            let next = ptr::read_volatile(&raw const (*note).next);
            let step = steps.add(black_box(next) as usize & (STEPS - 1));
            let mut next = next.wrapping_add(1);
            let cell = cells.add((*step).a as usize & (CELLS - 1));
            let (a, b) = (ptr::read_volatile(cell), ptr::read_volatile(cells.add((*step).b as usize & (CELLS - 1))));
            let (at, value) = ((*step).at, (*step).value);
            let address = b.wrapping_add(i64::from(at) as u64);
            let mut result = a;
            let mut jumps = false;
            match (*step).op {
                op::END => return TOLD,
                op::SET => result = value,
                op::ADD => result = b.wrapping_add(value),
                op::SUM => result = a.wrapping_add(b),
                op::AND => result = b & value,
                op::SHL => result = b << (value & 63),
                op::SHR => result = b >> (value & 63),
                op::POWER => result = value << (b & 63),
                op::MUL => result = b.wrapping_mul(value),
                op::LOAD => result = load(b, address, 8),
                op::LOAD_4 => result = load(b, address, 4),
                op::LOAD_1 => result = load(b, address, 1),
                op::LOAD_KERNEL => {
                    result = if b < LOWEST { 0 } else { bpf_probe_read_kernel(address as *const u64).unwrap_or_default() };
                }
                op::IF_EQUAL => jumps = a == value,
                op::IF_UNEQUAL => jumps = a != value,
                op::IF_BELOW => jumps = a < value,
                op::IF_SAME => jumps = a == b,
                op::LOOP => {
                    result = a.wrapping_add(value);
                    jumps = result != b;
                }
                op::JUMP => jumps = true,
                op::EMIT => {
                    let emitted = ptr::read_volatile(&raw const (*note).emitted);
                    let more: *mut u64 = (&raw mut (*state).more).cast();
                    let slot = if emitted < ROOM {
                        cells.add(black_box(emitted as usize + OUTPUT) & (CELLS - 1))
                    } else {
                        more.add(black_box(emitted - ROOM) as usize & (MORE - 1))
                    };
                    if emitted < ROOM + MORE as u32 {
                        ptr::write_volatile(slot, a.wrapping_add(value));
                        ptr::write_volatile(&raw mut (*note).emitted, emitted + 1);
                    }
                    ptr::write_volatile(&raw mut (*note).next, next);
                    continue;
                }
                op::SCAN => {
                    let second = |index: u8, more: usize| cells.add((index as usize + more) & (CELLS - 1));
                    let (found, end) = (second((*step).a, 1), ptr::read_volatile(second((*step).a, 2)));
                    let beyond = ptr::read_volatile(second((*step).b, 1));
                    result = scan(a, b, beyond, i64::from(at) as u64, value, found);
                    if ptr::read_volatile(found) == 0 && result > end {
                        next = next.wrapping_sub(1);
                    }
                }
                op::COPY => {
                    ptr::write_volatile(&raw mut (*state).copy_from, a.wrapping_add(i64::from(at) as u64));
                    ptr::write_volatile(&raw mut (*state).copy_len, value.min(walk.room.into()));
                }
                // `op::DROP`, and whatever is no step.
                _ => return DROPPED,
            }
            if jumps {
                next = next.wrapping_add(at as u32);
            }
            ptr::write_volatile(cell, result);
            ptr::write_volatile(&raw mut (*note).next, next);
        }
    }
    GOES_ON
}

/// Looks through the words below `above` as [`op::SCAN`] says, up to the first that points into the range; gives where it ended, and puts
/// into `found` what it found there.
///
/// # Safety
/// `found` is a cell.
#[inline(always)]
unsafe fn scan(above: u64, lowest: u64, beyond: u64, at: u64, value: u64, found: *mut u64) -> u64 {
    let mut words = [0_u64; SCANNED];
    let from = above.wrapping_sub(size_of_val(&words) as u64);
    // SAFETY: by the contract; there is room for the words, and the helpers check the addresses that they read.
    unsafe {
        bpf_probe_read_user((&raw mut words).cast(), size_of_val(&words) as u32, from as *const c_void);
        let (mut word, mut place, mut left) = (0, from, u64::MAX);
        // Without a branch, so that the verifier sees one state: a mask is all ones or nothing.
        for index in (0..SCANNED).rev() {
            let next = ptr::read_volatile(words.as_ptr().add(index));
            let outside = (next.wrapping_sub(lowest) | beyond.wrapping_sub(next).wrapping_sub(1)) >> 63;
            let chosen = black_box(outside.wrapping_sub(1)) & left;
            word |= next & chosen;
            place = place.wrapping_add((8 * index as u64) & chosen);
            left &= !chosen;
        }
        let class = load(word, word.wrapping_add(at), 4);
        let matches = class == value & 0xffff_ffff || class == value >> 32;
        ptr::write_volatile(found, if matches { word } else { 0 });
        place
    }
}

/// The bytes of the current process at `address`, which lies near `base`; zero if they cannot be read.
#[inline(always)]
fn load(base: u64, address: u64, size: u32) -> u64 {
    let mut value = 0_u64;
    if base >= LOWEST {
        // SAFETY: there is room for as many bytes; the helper checks the address, and fills with zeros where it fails.
        unsafe { bpf_probe_read_user((&raw mut value).cast(), size, address as *const c_void) };
    }
    value
}
