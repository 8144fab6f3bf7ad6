//! The streams of a connection that are open: what a response has to know of its request.
use crate::protocol::grpc::Call;

/// Streams followed at once: servers allow 100 to 250, and the memory of a hostile client is bounded.
const MOST: usize = 1024;

/// A stream with a request.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// The final response has begun.
    pub(super) answered: bool,
    /// It was said that something of it could not be read.
    pub(super) incomplete: bool,
    /// The call that it is, if it is one.
    pub(super) call: Option<Box<Call>>,
}

impl Stream {
    /// Whether it has to be said that something of it could not be read: once is enough.
    pub(super) fn misses(&mut self, something: bool) -> bool {
        something && !std::mem::replace(&mut self.incomplete, true)
    }
}

/// Open streams, oldest first.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: Vec<Stream>,
    /// The newest that was seen, open or not; zero if none was.
    pub(super) newest: u32,
}

impl Streams {
    pub(super) fn get(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.iter_mut().find(|stream| stream.id == id)
    }

    /// The only open stream, if there is one and its response has begun.
    pub(super) fn only_answered(&self) -> Option<u32> {
        match self.open.as_slice() {
            [Stream { id, answered: true, .. }] => Some(*id),
            _ => None,
        }
    }

    /// A stream begins. If there are too many, the oldest is not followed any more.
    pub(super) fn open(&mut self, stream: Stream) {
        self.newest = self.newest.max(stream.id);
        if self.open.len() >= MOST {
            self.open.remove(0);
        }
        self.open.push(stream);
    }

    /// A stream is over.
    pub(super) fn close(&mut self, id: u32) -> Option<Stream> {
        let place = self.open.iter().position(|stream| stream.id == id)?;
        Some(self.open.remove(place))
    }

    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.iter_mut()
    }
}
