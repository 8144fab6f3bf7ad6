//! The exchanges of one socket.
use super::{Begun, Counters, END_WAIT, Exchange, ExchangeId, PROOF_WAIT, Progress, READ_WAIT, RESPONSE_WAIT, Unanswered};
use crate::capture::event::{Closed, End, Nanos, Opened, Read, Role};
use crate::flow::stream::{Point, seq_distance};
use crate::protocol::{Abort, Head, More, Request, Response, Side};
use std::collections::VecDeque;
use std::sync::Arc;

/// Requests that may wait for their response on one connection: a Redis pipeline of 10,000 fits.
const MAX_PENDING: usize = 16 * 1024;

/// What only connections with messages have. Exchanges are boxed: an idle connection keeps the room of its queues.
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct Talk {
    protocol: &'static str,
    client: bool,
    /// The pairing of an older connection has not been proven yet.
    unproven: bool,
    /// No request was seen yet.
    first: bool,
    /// Requests are paired by their correlation: several responses may be open, and end in any order.
    many: bool,
    /// Bytes were lost among several open messages: pending exchanges that are marked as truncated may have ended there.
    doubtful: bool,
    pending: VecDeque<Box<Exchange>>,
    /// By side, the exchange whose response is arriving.
    answering: [Option<ExchangeId>; 2],
    /// Either side asks: exchanges do not end in the order of their bytes.
    mutual: bool,
    /// Calls that are over and wait to be read.
    unread: VecDeque<Box<Exchange>>,
    /// Exchanges that wait for the proof of their pairing.
    #[expect(clippy::vec_box, reason = "they come boxed and leave boxed")]
    held: Vec<Box<Exchange>>,
}

/// The exchanges of one socket.
pub(super) struct Conversation {
    opened: Arc<Opened>,
    reads: bool,
    established: Option<Nanos>,
    talk: Option<Box<Talk>>,
}

impl Conversation {
    pub(super) fn new(opened: Arc<Opened>, reads: bool) -> Self {
        Self { opened, reads, established: None, talk: None }
    }

    pub(super) fn established(&mut self, at: Nanos) {
        self.established = Some(at);
    }

    pub(super) fn recognised(&mut self, protocol: &'static str, client: bool, joined: bool) {
        self.talk = Some(Box::new(Talk {
            protocol,
            client,
            unproven: joined,
            first: true,
            many: false,
            doubtful: false,
            pending: VecDeque::new(),
            answering: [None; 2],
            mutual: false,
            unread: VecDeque::new(),
            held: Vec::new(),
        }));
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.talk.as_ref().is_some_and(|talk| !talk.unread.is_empty() || !talk.held.is_empty() || talk.doubtful)
    }

    #[expect(clippy::too_many_arguments, reason = "what is known of a message, and whom to tell")]
    pub(super) fn head(
        &mut self,
        side: Side,
        first: Point,
        head: Head,
        content: u64,
        next: &mut u64,
        counters: &mut Counters,
        out: &mut dyn FnMut(Progress),
    ) {
        match head {
            Head::Request(request) => self.request(side, first, request, content, next, counters, out),
            Head::Response(response) => self.response(side, first, response, counters, out),
        }
    }

    pub(super) fn more(&mut self, first: Point, more: More, out: &mut dyn FnMut(Progress)) {
        match more {
            More::Trailer(response) => self.trailer(response),
            More::Content(correlation) => {
                if let Some(exchange) = self.talk.as_deref_mut().and_then(|talk| talk.answered(correlation)) {
                    exchange.content.get_or_insert(first);
                }
            }
            More::Abort(abort) => self.abort(first, abort, out),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what is known of a request, and whom to tell")]
    fn request(
        &mut self,
        side: Side,
        asked: Point,
        request: Request,
        content: u64,
        next: &mut u64,
        counters: &mut Counters,
        out: &mut dyn FnMut(Progress),
    ) {
        let socket = &self.opened;
        let Some(talk) = self.talk.as_deref_mut() else { return };
        if talk.pending.len() >= MAX_PENDING {
            counters.too_many += 1;
            // Where answers say what they answer, some requests may never get one: a message that its consumer does not acknowledge.
            let Some(oldest) = talk.pending.pop_front_if(|_| talk.many) else { return };
            out(Progress::Lost(oldest.id));
        }
        let pushed = side == Side::Server;
        talk.mutual |= pushed;
        talk.answering[side as usize] = None;
        if request.correlation.is_some() {
            // Such a pairing needs no proof.
            talk.many = true;
            talk.unproven = false;
        }
        if talk.unproven && talk.pending.is_empty() && !talk.held.is_empty() {
            talk.proven(out);
        }
        *next += 1;
        let id = ExchangeId(*next);
        let client = talk.client != pushed;
        let first = !pushed && std::mem::take(&mut talk.first) && socket.fresh;
        let caller = if first && client { socket.opener } else { None };
        let connect = self.established.filter(|_| first && client).map(|at| at.saturating_sub(socket.at));
        let port = if pushed && !client { socket.remote.port() } else { socket.local.port() };
        let shared = talk.many && !talk.pending.is_empty();
        let message = if let [message] = &*request.messages { message.id } else { None };
        let client_address = if client { socket.local.ip() } else { socket.remote.ip() };
        let Request { kind, ref carried, exports, correlation, .. } = request;
        let (opened, socket, carried) = (Arc::clone(socket), socket.socket, carried.clone());
        out(Progress::Begun(Begun {
            id,
            socket,
            client,
            pushed,
            asked,
            opener: caller,
            shared,
            correlation,
            kind,
            content,
            carried,
            exports,
            port,
            client_address,
            message,
        }));
        let answered = request.answered;
        let exchange = Box::new(Exchange {
            id,
            opened,
            client,
            pushed,
            protocol: talk.protocol,
            request,
            response: None,
            asked,
            answered: None,
            content: None,
            ended: None,
            read: None,
            connect,
            unanswered: None,
            over: asked.at,
            truncated: false,
        });
        if answered {
            talk.pending.push_back(exchange);
        } else {
            talk.done(exchange, self.reads && pushed, out);
        }
    }

    fn response(&mut self, side: Side, point: Point, response: Response, counters: &mut Counters, out: &mut dyn FnMut(Progress)) {
        let Some(talk) = self.talk.as_deref_mut() else { return };
        talk.answering[side as usize] = None;
        let pushed = side == Side::Client;
        let found = talk.pending.iter_mut().find(|exchange| {
            exchange.pushed == pushed
                && match response.correlation {
                    Some(_) => exchange.request.correlation == response.correlation,
                    None => exchange.answered.is_none(),
                }
        });
        // Nobody answers what has not arrived: requests were lost, and this answers one of them.
        let arrived =
            |exchange: &&mut Box<Exchange>| seq_distance(point.ack, exchange.asked.seq) > 0 || exchange.request.correlation.is_some();
        let Some(exchange) = found.filter(arrived) else {
            counters.response_without_request += 1;
            if talk.unproven {
                counters.unproven += talk.held.len() as u64;
                talk.held.drain(..).for_each(|exchange| out(Progress::Lost(exchange.id)));
            }
            return;
        };
        if response.interim {
            return;
        }
        counters.idle += u64::from(response.idle);
        let also = response.also.iter().map(|correlation| Response { correlation: Some(*correlation), ..response.same() });
        let also: Vec<Response> = also.collect();
        exchange.answered = Some(point);
        exchange.request.kind = response.kind.unwrap_or(exchange.request.kind);
        exchange.response = Some(response);
        talk.answering[side as usize] = Some(exchange.id);
        out(Progress::Answered { id: exchange.id, first: point });
        for response in also {
            self.answered_at_once(pushed, point, response, out);
        }
    }

    /// An answer to several requests is over for all but the first with its first byte.
    fn answered_at_once(&mut self, pushed: bool, point: Point, response: Response, out: &mut dyn FnMut(Progress)) {
        let reads = self.reads;
        let Some(talk) = self.talk.as_deref_mut() else { return };
        let found = talk.of_stream(response.correlation, pushed).and_then(|index| talk.pending.remove(index));
        let Some(mut exchange) = found else { return };
        out(Progress::Answered { id: exchange.id, first: point });
        exchange.answered = Some(point);
        exchange.ended = Some(point);
        exchange.over = point.at;
        exchange.response = Some(response);
        talk.done(exchange, reads, out);
    }

    /// What the end of a response adds to it.
    fn trailer(&mut self, more: Response) {
        let Some(talk) = self.talk.as_deref_mut() else { return };
        if let Some(exchange) = talk.answered(more.correlation) {
            exchange.request.kind = more.kind.unwrap_or(exchange.request.kind);
            add(&mut exchange.response, more);
        }
    }

    /// One side gives an exchange up with bytes that begin at `point`; nothing if it is over already.
    fn abort(&mut self, point: Point, abort: Abort, out: &mut dyn FnMut(Progress)) {
        let reads = self.reads;
        let Some(talk) = self.talk.as_deref_mut() else { return };
        let Some(mut exchange) = talk.of_stream(abort.outcome.correlation, false).and_then(|index| talk.pending.remove(index)) else {
            return;
        };
        let took = point.at.saturating_sub(exchange.asked.at);
        let late = abort.late.filter(|(limit, _)| took >= *limit);
        add(&mut exchange.response, late.map_or(abort.outcome, |(_, outcome)| outcome));
        exchange.ended = Some(point);
        exchange.over = point.at;
        talk.done(exchange, reads, out);
    }

    /// A message ended; `stream` says which, of several.
    pub(super) fn end(
        &mut self,
        side: Side,
        stream: u64,
        last: Point,
        truncated: bool,
        counters: &mut Counters,
        out: &mut dyn FnMut(Progress),
    ) {
        let reads = self.reads;
        let Some(talk) = self.talk.as_deref_mut() else { return };
        if stream != 0 {
            let answered = talk.of_stream(Some(stream), side == Side::Client);
            // What ended was not the answer, but something that goes before it.
            let answered = answered.filter(|index| talk.pending.get(*index).is_some_and(|exchange| exchange.answered.is_some()));
            let Some(mut exchange) = answered.and_then(|index| talk.pending.remove(index)) else { return };
            exchange.ended = Some(last);
            exchange.over = last.at;
            talk.done(exchange, reads, out);
            return;
        }
        let Some(id) = talk.answering[side as usize].take() else {
            let pushed = side == Side::Server;
            if truncated && let Some(exchange) = talk.pending.iter_mut().rev().find(|exchange| exchange.pushed == pushed) {
                exchange.truncated = true;
            }
            return;
        };
        let Some(index) = talk.pending.iter().position(|exchange| exchange.id == id) else { return };
        let Some(mut exchange) = talk.pending.remove(index) else { return };
        exchange.ended = Some(last);
        exchange.over = last.at;
        exchange.truncated |= truncated;
        talk.done(exchange, reads, out);
        if truncated && side == Side::Server && !talk.many && !talk.mutual && !talk.pending.is_empty() {
            // Their answers may be among what was lost with the end of this one.
            counters.unread += talk.pending.len() as u64;
            talk.pending.drain(..).for_each(|exchange| out(Progress::Lost(exchange.id)));
            talk.unproven = true;
        }
    }

    /// Bytes of `side` could not be decoded. An answer to the only open request is still its answer, if an unknown one; otherwise the
    /// order of what follows has to be proven again.
    pub(super) fn unread(&mut self, side: Side, first: Point, last: Point, counters: &mut Counters, out: &mut dyn FnMut(Progress)) {
        let reads = self.reads;
        let Some(talk) = self.talk.as_deref_mut() else { return };
        if talk.many || talk.mutual {
            talk.lost(last);
        } else if side == Side::Client {
            talk.unproven = true;
        } else if talk.pending.len() == 1 {
            for mut exchange in std::mem::take(&mut talk.pending) {
                exchange.answered.get_or_insert(first);
                exchange.ended = Some(last);
                exchange.over = last.at;
                exchange.truncated = true;
                talk.done(exchange, reads, out);
            }
        } else if !talk.pending.is_empty() {
            counters.unread += talk.pending.len() as u64;
            talk.pending.drain(..).for_each(|exchange| out(Progress::Lost(exchange.id)));
            talk.unproven = true;
        }
    }

    pub(super) fn read(&mut self, read: Read, out: &mut dyn FnMut(Progress)) {
        let Some(talk) = self.talk.as_deref_mut() else { return };
        let covers = |exchange: &Exchange| {
            let wanted = if exchange.client { exchange.answered } else { Some(exchange.asked) };
            exchange.read.is_none() && wanted.is_some_and(|point| seq_distance(read.upto, point.seq) > 0)
        };
        // Only the oldest can be covered: both queues are in the order of the bytes, unless several messages are open at once.
        let ordered = !talk.many && !talk.mutual;
        for exchange in talk.pending.iter_mut().skip_while(|exchange| exchange.read.is_some()) {
            if covers(exchange) {
                exchange.read = Some(read);
            } else if ordered {
                break;
            }
        }
        for exchange in &mut talk.held {
            if covers(exchange) {
                exchange.read = Some(read);
            }
        }
        let mut index = 0;
        while let Some(exchange) = talk.unread.get(index) {
            if covers(exchange) {
                if let Some(mut exchange) = talk.unread.remove(index) {
                    exchange.read = Some(read);
                    out(Progress::Done(exchange));
                }
            } else if !ordered {
                index += 1;
            } else {
                break;
            }
        }
    }

    /// Tells what has waited too long.
    pub(super) fn release(&mut self, now: Nanos, counters: &mut Counters, out: &mut dyn FnMut(Progress)) {
        let reads = self.reads;
        let Some(talk) = self.talk.as_deref_mut() else { return };
        if talk.doubtful {
            talk.doubt(now, reads, counters, out);
        }
        while talk.unread.front().is_some_and(|exchange| now.saturating_sub(exchange.over) > READ_WAIT) {
            if let Some(exchange) = talk.unread.pop_front() {
                out(Progress::Done(exchange));
            }
        }
        let silent = talk.held.last().is_some_and(|exchange| now.saturating_sub(exchange.over) > PROOF_WAIT);
        if silent && talk.pending.is_empty() {
            talk.proven(out);
        }
    }

    pub(super) fn left(&mut self, counters: &mut Counters, out: &mut dyn FnMut(Progress)) {
        let Some(mut talk) = self.talk.take() else { return };
        // What follows in it did not have to wait for the connection.
        self.established = None;
        counters.left += talk.pending.len() as u64;
        talk.pending.drain(..).for_each(|exchange| out(Progress::Lost(exchange.id)));
        talk.proven(out);
        talk.unread.drain(..).for_each(|exchange| out(Progress::Done(exchange)));
    }

    pub(super) fn closed(mut self, closed: Closed, counters: &mut Counters, out: &mut dyn FnMut(Progress)) {
        let opened = &self.opened;
        if self.talk.is_none() {
            let failed = !closed.established && opened.role == Role::Client && !matches!(closed.end, End::Finished | End::ResetByUs);
            if failed {
                out(Progress::ConnectFailed { opened: **opened, closed });
            }
            return;
        }
        self.release(Nanos::MAX, counters, out);
        self.abandon(closed.end.into(), closed.at, out);
    }

    /// Tells what is still open, with the reason why it will not be answered.
    pub(super) fn abandon(&mut self, reason: Unanswered, at: Nanos, out: &mut dyn FnMut(Progress)) {
        let Some(talk) = self.talk.as_deref_mut() else { return };
        if talk.unproven {
            talk.proven(out);
        }
        for mut exchange in talk.pending.drain(..) {
            if is_idle(&exchange) {
                out(Progress::Lost(exchange.id));
                continue;
            }
            exchange.unanswered = Some(reason);
            exchange.over = at.max(exchange.asked.at);
            let nothing = exchange.response.as_ref().map_or(exchange.request.quiet, |response| response.idle);
            out(if nothing { Progress::Lost(exchange.id) } else { Progress::Done(exchange) });
        }
    }
}

/// Whether nothing came of it, or nobody knows what.
fn is_idle(exchange: &Exchange) -> bool {
    exchange.response.as_ref().map_or(exchange.request.quiet, |response| response.idle)
}

/// Adds to what is known of a response.
fn add(response: &mut Option<Response>, mut more: Response) {
    let Some(known) = response else {
        *response = Some(more);
        return;
    };
    known.attributes.append(&mut more.attributes);
    known.client_error = more.client_error.or(known.client_error.take());
    known.server_error = more.server_error.or(known.server_error.take());
    known.name = more.name.or(known.name.take());
}

impl Talk {
    /// The exchange whose answer more is said of: that with this correlation, or the one that the server is answering.
    fn answered(&mut self, correlation: Option<u64>) -> Option<&mut Box<Exchange>> {
        let answering = self.answering[Side::Server as usize];
        self.pending.iter_mut().find(|exchange| match correlation {
            Some(_) => exchange.request.correlation == correlation && !exchange.pushed,
            None => Some(exchange.id) == answering,
        })
    }

    /// Where the exchange with this correlation is, among those that the server asked for, or the client.
    fn of_stream(&self, correlation: Option<u64>, pushed: bool) -> Option<usize> {
        self.pending.iter().position(|exchange| exchange.request.correlation == correlation && exchange.pushed == pushed)
    }

    /// Bytes up to `last` were lost among several open messages. The ends of any of them may have been among these; the newest response
    /// lasted at least until then.
    fn lost(&mut self, last: Point) {
        let mut newest = true;
        for exchange in self.pending.iter_mut().rev() {
            exchange.truncated = true;
            if exchange.answered.is_some() && (newest || exchange.ended.is_none()) {
                exchange.ended = Some(last);
                newest = false;
            }
            self.doubtful = true;
        }
    }

    /// After a loss: tells what has waited too long for its end, and drops what has waited too long for a response.
    fn doubt(&mut self, now: Nanos, reads: bool, counters: &mut Counters, out: &mut dyn FnMut(Progress)) {
        let mut index = 0;
        while let Some(exchange) = self.pending.get(index) {
            let ended = exchange.ended.is_some_and(|last| now.saturating_sub(last.at) > END_WAIT);
            let silent = exchange.truncated && exchange.answered.is_none() && now.saturating_sub(exchange.asked.at) > RESPONSE_WAIT;
            if !ended && !silent {
                index += 1;
                continue;
            }
            let Some(mut exchange) = self.pending.remove(index) else { break };
            if let Some(last) = exchange.ended {
                exchange.over = last.at;
                self.done(exchange, reads, out);
            } else {
                counters.unread += 1;
                out(Progress::Lost(exchange.id));
            }
        }
        self.doubtful = self.pending.iter().any(|exchange| exchange.truncated);
    }

    /// An exchange is over; with `reads`, it waits until the answer to a call was read, or what was pushed without one.
    fn done(&mut self, exchange: Box<Exchange>, reads: bool, out: &mut dyn FnMut(Progress)) {
        let awaited = if exchange.client { exchange.answered.is_some() } else { exchange.pushed && !exchange.request.answered };
        if is_idle(&exchange) {
            out(Progress::Lost(exchange.id));
        } else if self.unproven && exchange.request.answered {
            self.held.push(exchange);
        } else if reads && awaited && exchange.read.is_none() {
            self.unread.push_back(exchange);
        } else {
            out(Progress::Done(exchange));
        }
    }

    /// The pairing has proven right.
    fn proven(&mut self, out: &mut dyn FnMut(Progress)) {
        self.unproven = false;
        self.held.drain(..).for_each(|exchange| out(Progress::Done(exchange)));
    }
}
