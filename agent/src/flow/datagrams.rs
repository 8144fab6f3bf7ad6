//! Datagrams that ask and answer become the signals that exchanges are made of: one conversation, with a socket number of its own, for each
//! question of each socket. Pure: no clock, no I/O.
//!
//! A question that is sent again, to whomever, is still the same one: how often shows in [`Point::retransmits`]. Nothing tells when
//! somebody stops waiting, so a question that got no answer in the time that resolvers wait is given up. Datagrams carry no number that both
//! ends share, as the bytes of a connection do: where both are seen here, they find each other by who asked, and the number is made up.
use super::stream::Point;
use super::{DropCause, Signal};
use crate::capture::event::{Closed, Datagram, Direction, End, Nanos, Opened, Role, SocketId};
use crate::protocol::{self, Abort, Head, More, Protocol, Response, Side};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::sync::Arc;

/// Questions without an answer at once: as many as a busy resolver has, at about 200 bytes each. More are not followed.
const MAX_ASKED: usize = 32 * 1024;
/// How long resolvers wait for an answer before they ask again or give up: that of the C library unless configured (resolv.conf(5)), and
/// longer than others.
const PATIENCE: Nanos = 5_000_000_000;

/// Who asked, and under which number: at the client's end its socket is enough, and stays the same where addresses are translated. At the
/// server's end many may ask the same socket.
type Key = (SocketId, Option<SocketAddr>, u64);

/// A question at one end.
struct Asked {
    socket: SocketId,
    subject: u64,
    first: Point,
    again: u32,
    last: Nanos,
}

/// A question as both ends know it.
struct Wire {
    number: u64,
    at: Nanos,
    /// Ends that have it: the client's, the server's.
    taken: [bool; 2],
}

/// The questions of one source.
#[derive(Default)]
pub(super) struct Datagrams {
    asked: FxHashMap<Key, Asked>,
    wires: FxHashMap<(SocketAddr, u64, u64), Wire>,
    made: u64,
}

impl Datagrams {
    /// Takes a datagram and says what follows from it.
    pub(super) fn take(
        &mut self,
        datagram: &Datagram<'_>,
        protocols: &[&'static dyn Protocol],
        out: &mut dyn FnMut(Signal),
    ) -> Result<(), DropCause> {
        let read = |protocol: &&'static dyn Protocol| Some((protocol.name(), protocol.datagram(datagram.bytes)?));
        let (name, protocol::Datagram { head, id, subject }) = protocols.iter().find_map(read).ok_or(DropCause::Ignored)?;
        let asks = matches!(head, Head::Request(_));
        let client = asks == (datagram.direction == Direction::Out);
        let key = (datagram.socket, (!client).then_some(datagram.remote), id);
        if !asks {
            let asked = self.asked.get(&key).ok_or(DropCause::Duplicate)?;
            if subject != 0 && subject != asked.subject {
                return Err(DropCause::Ignored);
            }
            let asked = self.asked.remove(&key).ok_or(DropCause::Duplicate)?;
            // It acknowledges the question, as a segment would.
            let ack = asked.first.seq.wrapping_add(1);
            let point = Point { at: datagram.at, ack, sender: datagram.sender, retransmits: asked.again, ..asked.first };
            let socket = asked.socket;
            out(Signal::Head { socket, side: Side::Server, first: point, head: Box::new(head), content: 0 });
            out(Signal::End { socket, side: Side::Server, stream: 0, last: point, truncated: false });
            out(over(socket, datagram.at));
            return Ok(());
        }
        if let Some(asked) = self.asked.get_mut(&key).filter(|asked| asked.subject == subject) {
            asked.again = asked.again.saturating_add(1);
            asked.last = datagram.at;
            return Ok(());
        }
        if let Some(old) = self.asked.remove(&key) {
            // Its number would not have been used again if anybody still waited.
            give_up(&old, datagram.at, out);
        }
        if self.asked.len() >= MAX_ASKED {
            return Err(DropCause::Ignored);
        }
        self.made += 1;
        let socket = SocketId::of_conversation(self.made);
        let number = self.number(datagram, client, id, subject);
        let first =
            Point { at: datagram.at, seq: (number >> 32) as u32, ack: number as u32, sender: datagram.sender, srtt_us: 0, retransmits: 0 };
        let Datagram { at, local, remote, cgroup, sender: opener, comm, .. } = *datagram;
        let role = if client { Role::Client } else { Role::Server };
        out(Signal::Opened(Arc::new(Opened { at, socket, local, remote, role, fresh: true, cgroup, opener, comm })));
        out(Signal::Recognised { socket, protocol: name, client, joined: false });
        out(Signal::Head { socket, side: Side::Client, first, head: Box::new(head), content: 0 });
        self.asked.insert(key, Asked { socket, subject, first, again: 0, last: at });
        Ok(())
    }

    /// Gives up questions that nobody has answered, and forgets who might have been the other end of one.
    pub(super) fn tick(&mut self, now: Nanos, out: &mut dyn FnMut(Signal)) {
        let late = |since: Nanos| now.saturating_sub(since) > PATIENCE;
        let mut gone: Vec<Asked> = self.asked.extract_if(|_, asked| late(asked.last)).map(|(_, asked)| asked).collect();
        gone.sort_unstable_by_key(|asked| asked.socket);
        for asked in gone {
            give_up(&asked, asked.last + PATIENCE, out);
        }
        self.wires.retain(|_, wire| !late(wire.at));
    }

    /// The number of a question that is seen for the first time at one end: that of the other end, if it was seen there. Otherwise a new one
    /// that does not come again anywhere.
    fn number(&mut self, datagram: &Datagram<'_>, client: bool, id: u64, subject: u64) -> u64 {
        let Datagram { at, local, remote, .. } = *datagram;
        let asker = if client { local } else { remote };
        let end = usize::from(!client);
        if let Some(wire) = self.wires.get_mut(&(asker, id, subject))
            && !std::mem::replace(&mut wire.taken[end], true)
        {
            return wire.number;
        }
        let number = FxBuildHasher.hash_one((at, asker, id, subject));
        if self.wires.len() < MAX_ASKED {
            self.wires.insert((asker, id, subject), Wire { number, at, taken: [client, !client] });
        }
        number
    }
}

/// Nobody waits for the answer any more.
fn give_up(asked: &Asked, at: Nanos, out: &mut dyn FnMut(Signal)) {
    let outcome = Response { client_error: Some("timeout".into()), server_error: Some("timeout".into()), ..Response::default() };
    let first = Point { at, sender: None, retransmits: asked.again, ..asked.first };
    out(Signal::More { socket: asked.socket, first, more: Box::new(More::Abort(Abort { outcome, late: None })) });
    out(over(asked.socket, at));
}

fn over(socket: SocketId, at: Nanos) -> Signal {
    Signal::Closed(Closed { at, socket, end: End::Finished, established: true })
}
