//! The two sockets of a connection over loopback find each other.
//!
//! What leaves one arrives at the other, unchanged and at once: it is told once, when it leaves, and the arrival follows from it. So the
//! kernel side writes two records for an exchange where it would write four, in the very moment in which both programs wait for it.
use crate::capture::event::{Opened, SocketId};
use rustc_hash::FxHashMap;
use std::net::SocketAddr;

/// Sockets on loopback whose other end was not seen yet, by their own end and the other.
#[derive(Default)]
pub(super) struct Loopback {
    alone: FxHashMap<(SocketAddr, SocketAddr), SocketId>,
}

impl Loopback {
    /// A socket appeared: its other end, if that is known. Each end finds the other once.
    pub(super) fn opened(&mut self, opened: &Opened) -> Option<SocketId> {
        let Opened { local, remote, socket, .. } = *opened;
        if !is_loopback(local, remote) {
            return None;
        }
        let other = self.alone.remove(&(remote, local));
        if other.is_none() {
            self.alone.insert((local, remote), socket);
        }
        other
    }

    /// A socket ended.
    pub(super) fn closed(&mut self, opened: &Opened) {
        if is_loopback(opened.local, opened.remote) {
            self.alone.remove(&(opened.local, opened.remote));
        }
    }
}

/// Whether packets between these never leave the host, nor the network namespace: to a loopback address, or to the sender's own.
fn is_loopback(local: SocketAddr, remote: SocketAddr) -> bool {
    remote.ip().is_loopback() || local.ip() == remote.ip()
}
