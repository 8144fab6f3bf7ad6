//! Where the runtime and the standard library of each version keep what the walks read, on 64-bit machines: distances in bytes within
//! structures that are the same in every program built with that version.

/// Distances in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `g.goid`.
    pub goid: i32,
    /// `g.parentGoid`; older versions do not remember it.
    pub parent: Option<i32>,
    /// `g.gopc`.
    pub gopc: i32,
    /// `g.startpc`.
    pub startpc: i32,
    /// `m.curg`.
    pub curg: i32,
    /// `m.p`.
    pub p: i32,
    /// `m.oldp`.
    pub oldp: i32,
    /// `p.goidcache`, which `p.goidcacheend` follows.
    pub goidcache: i32,
    /// `hchan.recvq.first`.
    pub recvq: i32,
    /// `sudog.c`.
    pub sudog_c: i32,
    /// `net/http.requestAndChan.ch`.
    pub answer: i32,
}

/// `g.stack.hi`.
pub const STACK_HI: i32 = 8;
/// `g.m`.
pub const M: i32 = 48;
/// `hchan.qcount`.
pub const QCOUNT: i32 = 0;
/// `hchan.dataqsiz`.
pub const CAPACITY: i32 = 8;
/// `hchan.buf`.
pub const BUF: i32 = 16;
/// `sudog.g`.
pub const SUDOG_G: i32 = 0;
/// `net/http.persistConn.reqch`.
pub const REQUESTS: i32 = 128;
/// `respHeaderRecv` of the stream of an HTTP/2 client.
pub const HEADERS: i32 = 248;
/// `rws` of the response of an HTTP/2 server.
pub const RESPONSE_STATE: i32 = 0;
/// Its `stream`.
pub const STREAM: i32 = 0;
/// Its `id`.
pub const STREAM_ID: i32 = 8;

/// How far below the end of its stack a goroutine's first frame begins: 32 bytes are left free, then comes the address of
/// `runtime.goexit` (`runtime.newproc1`).
pub const FIRST_FRAME: i64 = 40;

/// Layouts by minor version of Go 1.
const LAYOUTS: &[(std::ops::RangeInclusive<u32>, Layout)] = &[
    (18..=20, Layout { parent: None, gopc: 296, startpc: 312, ..GO_1_21 }),
    (21..=22, GO_1_21),
    (23..=24, Layout { goid: 160, parent: Some(280), gopc: 288, startpc: 304, goidcache: 376, recvq: 64, answer: 8, ..GO_1_21 }),
    (25..=25, Layout { curg: 184, p: 200, oldp: 216, goidcache: 376, recvq: 64, answer: 8, ..GO_1_21 }),
    (26..=26, Layout { parent: Some(280), gopc: 288, startpc: 304, curg: 184, recvq: 64, sudog_c: 88, answer: 8, ..GO_1_21 }),
];

const GO_1_21: Layout = Layout {
    goid: 152,
    parent: Some(272),
    gopc: 280,
    startpc: 296,
    curg: 192,
    p: 208,
    oldp: 224,
    goidcache: 384,
    recvq: 56,
    sudog_c: 80,
    answer: 16,
};

impl Layout {
    /// The layout of a version as the build information states it: `go1.26.8`, perhaps with more words. `None` if it is not known.
    #[must_use]
    pub fn of(version: &str) -> Option<Self> {
        let minor = Self::minor(version)?;
        LAYOUTS.iter().find(|(minors, _)| minors.contains(&minor)).map(|(_, layout)| *layout)
    }

    /// The minor version.
    pub fn minor(version: &str) -> Option<u32> {
        version.strip_prefix("go1.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_1_18_to_1_26_have_a_layout_and_others_none() {
        let goid = |version| Layout::of(version).map(|layout| layout.goid);
        assert_eq!(["go1.18", "go1.22.12", "go1.24.9 X:boringcrypto", "go1.26rc1"].map(goid), [152, 152, 160, 152].map(Some));
        assert_eq!(["", "go1.17.13", "go1.99", "devel go1.27-abc", "go1.x"].map(goid), [None; 5]);
    }
}
