//! The way through the kernel from a socket to the number with which a process polls it: distances, from the kernel's own type information.
//!
//! `struct sock` has a queue of those that wait for it; `epoll`'s entry in it belongs to an item that holds the number.
use crate::capture::btf::{Btf, KERNEL_BTF, LARGEST_BTF};
use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;

/// Distances in structures of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polling {
    /// From `sock` to the address of its `socket_wq`.
    pub queue: i32,
    /// From `socket_wq` to its `wait_queue_head`.
    pub head: i32,
    /// From `wait_queue_head` to the address of the first entry's link.
    pub first: i32,
    /// From an entry's link to the `whead` of the `eppoll_entry` around it: the `wait_queue_head` that it is in.
    pub back: i32,
    /// From an entry's link to the `base` of the `eppoll_entry` around it: its `epitem`.
    pub item: i32,
    /// From `epitem` to the number that the process gave.
    pub number: i32,
}

impl Polling {
    /// Those of the running kernel, found once; `None` if it does not say.
    pub fn of_this_kernel() -> Option<Self> {
        static FOUND: OnceLock<Option<Polling>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let mut bytes = Vec::new();
            File::open(KERNEL_BTF).ok()?.take(LARGEST_BTF).read_to_end(&mut bytes).ok()?;
            Self::find(&Btf::parse(&bytes).ok()?)
        })
    }

    fn find(btf: &Btf<'_>) -> Option<Self> {
        let at = |structure, field| btf.offset(structure, field).and_then(|distance| i32::try_from(distance).ok());
        let link = at("eppoll_entry", "wait.entry")?;
        Some(Self {
            queue: at("sock", "sk_wq")?,
            head: at("socket_wq", "wait")?,
            first: at("wait_queue_head", "head")?,
            back: at("eppoll_entry", "whead")? - link,
            item: at("eppoll_entry", "base")? - link,
            number: at("epitem", "event.data")?,
        })
    }
}
