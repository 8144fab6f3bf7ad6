//! What is remembered about a socket: in socket storage, which lives and dies with it, or on old kernels in a hash by cookie.
use crate::{offsets::legacy, ring::count};
use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE, bpf_map_type},
    btf_maps::{Array, HashMap, LruHashMap},
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_storage_get},
    macros::btf_map,
};
use core::ptr;
use wirespan_abi::{HeldRead, UNKNOWN_BUDGET, Verdict, drop_cause};

/// Bits of [`Socket::flags`].
pub mod state_flag {
    /// `cookie` and `copied` are set.
    pub const KNOWN: u32 = 1;
    /// The agent has been told of the socket.
    pub const OPENED: u32 = 2;
    /// It is a listener, or was just made by one: the kernel copies the storage of a listener into what it accepts.
    pub const LISTENER: u32 = 4;
    /// It made the connection.
    pub const CLIENT: u32 = 8;
    /// It accepted the connection.
    pub const SERVER: u32 = 16;
    /// Seen from its first packet on.
    pub const FRESH: u32 = 32;
    /// The agent's own connection, from either end.
    pub const OWN: u32 = 64;
    /// The agent has been told of its end.
    pub const CLOSED: u32 = 128;
    /// `sent` is set.
    pub const SENT: u32 = 256;
    /// The last segment in ended a write of the other side.
    pub const PUSHED_IN: u32 = 512;
    /// The last segment out ended a write.
    pub const PUSHED_OUT: u32 = 1024;
}

/// Values of [`Socket::turn`].
pub const IN: u32 = 1;
pub const OUT: u32 = 2;

/// Payload bytes copied of the first segment of a write when the turn's budget is used up: the head of an ordinary request.
const WRITE_BUDGET: u32 = 2048;

/// A socket. Packets of both directions and reads may change it at the same time on several CPUs: every field stands alone, and the
/// worst a race does is to copy a few bytes more or to report a first sight twice. Reads and packets out hold the socket's lock.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Socket {
    /// Its cookie.
    pub cookie: u64,
    /// A read that waits for the next segment out.
    pub held: HeldRead,
    /// Bits of [`state_flag`].
    pub flags: u32,
    /// Sequence number up to which the application has read.
    pub copied: u32,
    /// Sequence number after the last segment out.
    pub sent: u32,
    /// Way of the current turn: [`IN`] or [`OUT`], 0 before the first.
    pub turn: u32,
    /// Payload bytes that may still be copied in this turn.
    pub left: u32,
    /// Generation of the verdicts that `verdict` was taken from.
    pub generation: u32,
    /// What the agent has decided.
    pub verdict: Verdict,
}

impl Socket {
    /// Whether one of these bits is set.
    #[inline(always)]
    pub fn is(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// Whether reads may wait for the answer.
    #[inline(always)]
    pub fn serves(&self) -> bool {
        self.is(state_flag::SERVER) || self.verdict.flags & wirespan_abi::verdict::SERVER != 0
    }

    /// Takes up what the agent has decided until this generation.
    #[inline(always)]
    pub fn refresh(&mut self, generation: u32) {
        if self.generation == generation {
            return;
        }
        self.generation = generation;
        // SAFETY: the entry is copied; a concurrent change is taken up with the next generation.
        if let Some(verdict) = unsafe { VERDICTS.get(self.cookie) } {
            self.verdict = *verdict;
        }
    }

    /// Payload bytes to copy of a segment of `len` bytes: what is left for this turn, which begins anew when the direction changes. The
    /// first segment of a write gets [`WRITE_BUDGET`] in any case: it may be a request behind a body that was answered early.
    #[inline(always)]
    pub fn spend(&mut self, turn: u32, len: u32, ends_write: bool) -> u32 {
        if self.turn != turn {
            self.turn = turn;
            self.left = self.verdict.budget;
        }
        let pushed = if turn == IN { state_flag::PUSHED_IN } else { state_flag::PUSHED_OUT };
        let copied = len.min(self.left);
        self.left -= copied;
        let least = if self.is(pushed) { WRITE_BUDGET } else { 0 };
        self.flags = if ends_write { self.flags | pushed } else { self.flags & !pushed };
        copied.max(least.min(len)).min(self.verdict.budget)
    }
}

/// The agent's decisions so far; zero before it watches.
#[inline(always)]
pub fn generation() -> u32 {
    GENERATION.get(0).map_or(0, |current| *current)
}

/// A socket storage map. aya-ebpf's own cannot have [`BPF_F_CLONE`], which is what tells an accepted socket from a connecting one.
#[repr(C)]
pub struct Storage {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const Socket,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

// SAFETY: the pointers only describe the map to the loader; they are never followed.
unsafe impl Sync for Storage {}

/// State by socket. Bound: the sockets of the host that have carried TCP payload.
#[btf_map]
static SOCKETS: Storage =
    Storage { r#type: ptr::null(), key: ptr::null(), value: ptr::null(), max_entries: ptr::null(), map_flags: ptr::null() };

/// State by cookie, where the storage is not for tracing programs. The agent makes it as large as [`VERDICTS`] there, and one entry
/// large elsewhere. Least recently used, because an end may be missed.
#[btf_map]
static SOCKETS_BY_COOKIE: LruHashMap<u64, Socket, 65536> = LruHashMap::new();

/// What the agent has decided, by cookie. Bound: traced connections open at once; a socket without an entry keeps the default.
#[btf_map]
static VERDICTS: HashMap<u64, Verdict, 65536, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Changes whenever [`VERDICTS`] has changed. Zero until every program is attached: a socket that only half of them see would be
/// taken for one that is never answered.
#[btf_map]
static GENERATION: Array<u32, 1> = Array::new();

/// The state of a listener or of a socket that was just accepted, made if it is missing.
///
/// # Safety
/// `sk` is a socket pointer that the verifier tracks.
#[inline(always)]
pub unsafe fn listener(sk: *const u8) {
    // SAFETY: by the contract; the pointer is null or the socket's own storage.
    unsafe {
        let state: *mut Socket = bpf_sk_storage_get(
            (&raw const SOCKETS).cast_mut().cast(),
            sk.cast_mut().cast(),
            ptr::null_mut(),
            BPF_SK_STORAGE_GET_F_CREATE.into(),
        )
        .cast();
        if !state.is_null() {
            (*state).flags = state_flag::LISTENER;
        }
    }
}

/// The socket's state if there is some, for tracing programs.
///
/// # Safety
/// `sk` is a socket pointer that the verifier tracks, and `cookie` is the socket's.
#[inline(always)]
pub unsafe fn find<'a>(sk: *const u8, cookie: u64) -> Option<&'a mut Socket> {
    // SAFETY: storage and hash entries stay valid while the program runs; see `Socket` for concurrent changes.
    unsafe {
        if legacy() {
            return SOCKETS_BY_COOKIE.get_ptr_mut(cookie).map(|state| &mut *state);
        }
        let state: *mut Socket =
            bpf_sk_storage_get((&raw const SOCKETS).cast_mut().cast(), sk.cast_mut().cast(), ptr::null_mut(), 0).cast();
        state.as_mut()
    }
}

/// The socket's state, made if it is missing, for packet programs.
///
/// # Safety
/// `sk` is the packet's full socket.
#[inline(always)]
pub unsafe fn find_or_make<'a>(skb: *mut __sk_buff, sk: *const u8) -> Option<&'a mut Socket> {
    // SAFETY: as in `find`.
    let state = unsafe {
        if legacy() {
            by_cookie(skb, sk)
        } else {
            let create = BPF_SK_STORAGE_GET_F_CREATE.into();
            bpf_sk_storage_get((&raw const SOCKETS).cast_mut().cast(), sk.cast_mut().cast(), ptr::null_mut(), create)
                .cast::<Socket>()
                .as_mut()
        }
    };
    if state.is_none() {
        count(drop_cause::MAP_FULL, 1);
    }
    state
}

#[inline(always)]
unsafe fn by_cookie<'a>(skb: *mut __sk_buff, sk: *const u8) -> Option<&'a mut Socket> {
    // SAFETY: as in `find`.
    unsafe {
        let cookie = bpf_get_socket_cookie(skb.cast());
        if let Some(state) = SOCKETS_BY_COOKIE.get_ptr_mut(cookie) {
            return Some(&mut *state);
        }
        let inherited: *mut Socket =
            bpf_sk_storage_get((&raw const SOCKETS).cast_mut().cast(), sk.cast_mut().cast(), ptr::null_mut(), 0).cast();
        let flags = if inherited.is_null() { 0 } else { (*inherited).flags & state_flag::LISTENER };
        let _ = SOCKETS_BY_COOKIE.insert(cookie, Socket { flags, ..Socket::default() }, BPF_NOEXIST.into());
        SOCKETS_BY_COOKIE.get_ptr_mut(cookie).map(|state| &mut *state)
    }
}

/// The verdict of a socket that the agent has said nothing about.
pub const UNKNOWN: Verdict = Verdict { budget: UNKNOWN_BUDGET, flags: 0 };

/// Forgets a socket that has ended; its storage goes with it.
#[inline(always)]
pub fn ended(cookie: u64) {
    if legacy() {
        let _ = SOCKETS_BY_COOKIE.remove(cookie);
    }
}
