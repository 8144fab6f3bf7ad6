//! The sockets that a process polls, from `/proc`: which structure of the runtime's stands behind each, and which it accepted.
//!
//! tokio registers a socket with the address of the socket's `ScheduledIo` as the number that `epoll` gives back (since 1.30; before
//! that, a number of its own), and `/proc/PID/fdinfo` shows those numbers (`proc_pid_fdinfo(5)`).
use crate::adapter::process::Process;
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::Path;

/// Descriptors that are looked at.
const MAX_DESCRIPTORS: usize = 64 * 1024;
/// Most that is read of one list of sockets, bytes: 50,000 sockets.
const LIST: u64 = 8 << 20;
/// Epoll instances that are looked at: a process has one a runtime, and a copy of its descriptor.
const MAX_POLLS: usize = 64;
/// Sockets that are given: a sample is enough.
const MAX_SOCKETS: usize = 512;

/// A socket that the runtime polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polled {
    /// The number with which it was registered.
    pub token: u64,
    /// It was accepted; else the process made the connection.
    pub accepted: bool,
}

/// The connections that a process polls now.
pub fn polled(process: &Process) -> Vec<Polled> {
    let mut inodes = FxHashMap::default();
    let mut polls = Vec::new();
    for (descriptor, target) in process.descriptors().take(MAX_DESCRIPTORS) {
        if target == Path::new("anon_inode:[eventpoll]") {
            polls.push(descriptor);
        } else if let Some(inode) = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()) {
            inodes.insert(descriptor, inode);
        }
    }
    let text = |name: &str| process.proc_file(name, LIST).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let connections = connections(&[text("net/tcp"), text("net/tcp6")]);
    let mut seen = FxHashSet::default();
    let targets = polls.iter().take(MAX_POLLS).flat_map(|poll| targets(&text(&format!("fdinfo/{poll}"))));
    let sockets = targets.filter_map(|(descriptor, token)| {
        let accepted = *connections.get(inodes.get(&descriptor)?)?;
        seen.insert(token).then_some(Polled { token, accepted })
    });
    sockets.take(MAX_SOCKETS).collect()
}

/// What an epoll instance watches: descriptors and their numbers.
fn targets(info: &str) -> Vec<(u32, u64)> {
    let target = |line: &str| {
        let mut fields = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        let descriptor = fields.next()?.parse().ok()?;
        let mut fields = fields.skip_while(|field| *field != "data:");
        Some((descriptor, u64::from_str_radix(fields.nth(1)?, 16).ok()?))
    };
    info.lines().filter_map(target).collect()
}

/// Established connections by inode, and whether they were accepted: whether somebody listens on their local port.
fn connections(lists: &[String]) -> FxHashMap<u64, bool> {
    // The fields of a line: number, local address, remote address, state, queues, timer, retransmits, user, timeout, inode.
    let socket = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let port = u16::from_str_radix(fields.next()?.rsplit_once(':')?.1, 16).ok()?;
        let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
        Some((port, state, fields.nth(5)?.parse().ok()?))
    };
    let sockets: Vec<(u16, u8, u64)> = lists.iter().flat_map(|list| list.lines().filter_map(socket)).collect();
    let (established, listening) = (1, 10);
    let ports: FxHashSet<u16> = sockets.iter().filter(|socket| socket.1 == listening).map(|socket| socket.0).collect();
    sockets.iter().filter(|socket| socket.1 == established).map(|(port, _, inode)| (*inode, ports.contains(port))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_polled_is_read_from_proc() {
        let info = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\ntfd:        9 events: 8000201d data:     7f33f0000dc0  pos:0 ino:2a0f sdev:8\n\
            tfd:        3 events: 80000019 data:                0  pos:0 ino:40d sdev:f\ntfd: x events: 1 data: 1\n";
        assert_eq!(targets(info), [(9, 0x7f33_f000_0dc0), (3, 0)]);
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0\n\
            \x20  1: 0100007F:1F90 0100007F:D1A0 01 00000000:00000000 02:000006D0 00000000     0        0 101 2 0 20 4 30 10 -1\n\
            \x20  2: 0100007F:A1F2 0100007F:1F91 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0 20 4 30 10 -1\n\
            \x20  3: 0100007F:A1F4 0100007F:1F91 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0\n";
        let expected: FxHashMap<u64, bool> = [(101, true), (102, false)].into_iter().collect();
        assert_eq!(connections(&[list.to_owned(), String::new()]), expected);
    }
}
