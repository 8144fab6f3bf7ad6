//! A span with what is behind it, for a person who asks why.
use crate::capture::event::{Closed, Nanos, Opened, Read};
use crate::causality::Linked;
use crate::causality::grounds::Grounds;
use crate::causality::link::Evidence;
use crate::enrich::span::Span;
use crate::exchange::ExchangeId;
use crate::flow::stream::Point;
use std::sync::Arc;

/// A span with what is behind it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The span.
    pub span: Span,
    /// How its parent was found.
    pub evidence: Evidence,
    /// What it tells of.
    pub behind: Behind,
}

/// What a span tells of.
#[derive(Clone, Debug)]
pub enum Behind {
    /// An exchange.
    Exchange(Facts),
    /// A connection that could not be made.
    FailedConnect(Opened, Closed),
}

/// The events of an exchange, and why it has its place.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which.
    pub id: ExchangeId,
    /// Its process, if known.
    pub pid: Option<u32>,
    /// Whether this end is the client's.
    pub client: bool,
    /// Its socket.
    pub opened: Arc<Opened>,
    /// First byte of the request.
    pub asked: Point,
    /// First byte of the response.
    pub answered: Option<Point>,
    /// Who read the request (server) or the response (client).
    pub read: Option<Read>,
    /// When it was over.
    pub over: Nanos,
    /// Why it has its place.
    pub grounds: Option<Box<Grounds>>,
}

impl Facts {
    pub(super) fn of(linked: &Linked) -> Self {
        let Linked { exchange, pid, grounds, .. } = linked;
        Self {
            id: exchange.id,
            pid: *pid,
            client: exchange.client,
            opened: Arc::clone(&exchange.opened),
            asked: exchange.asked,
            answered: exchange.answered,
            read: exchange.read,
            over: exchange.over,
            grounds: grounds.clone(),
        }
    }
}
