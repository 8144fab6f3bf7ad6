//! A small driver for tests of decoders: conversations become messages, however their bytes are cut. It keeps to the contract of
//! [`Decoder`] as [`crate::flow`] does, and asserts that the decoder keeps to it too; it knows no times and no segments.
use super::{Decoder, Guess, Head, More, Protocol, Side, Step, Take};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

/// Where the server of every test listens.
pub const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2)), 8080);

/// A message; offsets count the bytes of its side.
#[derive(Debug, PartialEq)]
pub struct Message {
    /// Who sent it.
    pub side: Side,
    /// Offset of its first byte.
    pub start: u64,
    /// Offset behind its last byte; `None` if it never ended.
    pub end: Option<u64>,
    /// What it is; `None` if that was never known.
    pub head: Option<Head>,
}

/// What was said of a message behind its head: by whom, and what.
pub type Said = (Side, More);

/// What a decoder made of a conversation.
#[derive(Debug, Default, PartialEq)]
pub struct Transcript {
    /// Messages in the order in which they began.
    pub messages: Vec<Message>,
    /// What the connection became.
    pub left: Option<&'static str>,
    /// Times that a side's bytes were not understood.
    pub invalid: usize,
}

#[derive(Default)]
struct Lane {
    pending: Vec<u8>,
    taken: u64,
    skip: u64,
    ends_after_skip: bool,
    dropping: bool,
    /// The open message, if the protocol has one at a time.
    open: Option<usize>,
    /// The open messages otherwise.
    streams: BTreeMap<u64, usize>,
    /// Whom the bytes to skip belong to.
    stream: u64,
}

/// Feeds pieces as they come on the wire; consecutive pieces of one side are one turn. Then both sides finish, the client first.
pub fn run(decoder: &mut dyn Decoder, pieces: &[(Side, &[u8])]) -> Transcript {
    run_with_more(decoder, pieces).0
}

/// The same, with what was said behind the heads.
pub fn run_with_more(decoder: &mut dyn Decoder, pieces: &[(Side, &[u8])]) -> (Transcript, Vec<Said>) {
    let mut transcript = Transcript::default();
    let mut more = Vec::new();
    let mut lanes = [Lane::default(), Lane::default()];
    let mut last = None;
    for &(side, bytes) in pieces {
        let lane = &mut lanes[side as usize];
        lane.dropping &= last == Some(side);
        last = Some(side);
        lane.pending.extend_from_slice(bytes);
        lane.drive(side, decoder, false, &mut transcript, &mut more);
    }
    for side in [Side::Client, Side::Server] {
        lanes[side as usize].drive(side, decoder, true, &mut transcript, &mut more);
    }
    (transcript, more)
}

impl Lane {
    fn drive(&mut self, side: Side, decoder: &mut dyn Decoder, finished: bool, transcript: &mut Transcript, more: &mut Vec<Said>) {
        while transcript.left.is_none() {
            let here = self.skip.min(self.pending.len() as u64);
            self.pending.drain(..here as usize);
            self.taken += here;
            self.skip -= here;
            if self.skip == 0 && std::mem::take(&mut self.ends_after_skip) {
                self.close(transcript);
            }
            if self.dropping {
                self.taken += self.pending.len() as u64;
                self.pending.clear();
            }
            if self.skip > 0 || (self.pending.is_empty() && (!finished || self.open.is_none())) {
                return;
            }
            match decoder.decode(side, &self.pending, finished) {
                Step::More => return,
                Step::Leave(name) => transcript.left = Some(name),
                Step::Invalid => {
                    transcript.invalid += 1;
                    self.open = None;
                    self.dropping = true;
                    decoder.lost(side);
                }
                Step::Take(take) => {
                    assert!(take.used > 0 || take.end, "a step without progress: {take:?}");
                    self.stream = take.stream;
                    if take.stream != 0 {
                        self.take_one_of_many(side, take, transcript, more);
                        continue;
                    }
                    if take.start {
                        assert!(self.open.is_none(), "a message within a message: {take:?}");
                        self.open = Some(transcript.messages.len());
                        transcript.messages.push(Message { side, start: self.taken, end: None, head: None });
                    }
                    if let Some(head) = take.head {
                        let message = self.open.and_then(|open| transcript.messages.get_mut(open)).expect("a head outside of a message");
                        assert!(message.head.replace(*head).is_none(), "a second head");
                    }
                    if let Some(said) = take.more {
                        let headed = self.open.and_then(|open| transcript.messages.get(open)).is_some_and(|message| message.head.is_some());
                        assert!(headed, "more of a message without a head");
                        more.push((side, *said));
                    }
                    self.skip = take.used;
                    self.ends_after_skip = take.end;
                }
            }
        }
    }

    fn take_one_of_many(&mut self, side: Side, take: Take, transcript: &mut Transcript, more: &mut Vec<Said>) {
        match take.head.map(|head| *head) {
            Some(head) => {
                assert!(take.start, "a head without a beginning");
                self.streams.insert(take.stream, transcript.messages.len());
                transcript.messages.push(Message { side, start: self.taken, end: None, head: Some(head) });
            }
            None => assert!(!take.start, "a beginning without a head"),
        }
        more.extend(take.more.map(|more| (side, *more)));
        self.skip = take.used;
        self.ends_after_skip = take.end;
    }

    fn close(&mut self, transcript: &mut Transcript) {
        if self.stream != 0 {
            // Who got no head has nothing to end.
            let message = self.streams.remove(&self.stream).and_then(|open| transcript.messages.get_mut(open));
            if let Some(message) = message {
                message.end = Some(self.taken);
            }
            return;
        }
        let message = self.open.take().and_then(|open| transcript.messages.get_mut(open)).expect("an end outside of a message");
        message.end = Some(self.taken);
    }
}

/// Gives hostile bytes to everything in a protocol that takes bytes. Each piece is introduced by one byte: its lowest bit says who
/// sends, the others how many bytes follow. Must neither panic nor loop.
pub fn fuzz(protocol: &dyn Protocol, input: &[u8]) {
    for side in [Side::Client, Side::Server] {
        let _: Guess = protocol.detect(side, input);
    }
    let mut pieces = Vec::new();
    let mut rest = input;
    while let Some((&lead, tail)) = rest.split_first() {
        let (piece, tail) = tail.split_at(tail.len().min(usize::from(lead >> 1)));
        pieces.push((if lead & 1 == 0 { Side::Client } else { Side::Server }, piece));
        rest = tail;
    }
    for joined in [false, true] {
        run(protocol.decoder(SERVER, joined).as_mut(), &pieces);
        for side in [Side::Client, Side::Server] {
            run(protocol.decoder(SERVER, joined).as_mut(), &[(side, input)]);
        }
    }
}
