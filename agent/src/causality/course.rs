//! The course of an exchange: its request, its end, and when it is forgotten.
use super::graph::{Candidate, Forgotten, Forward, Node, Waited};
use super::ids::WireKey;
use super::meeting::Meeting;
use super::{Causality, MAX_HOLD, MEMORY, PEER_WAIT};
use crate::capture::event::{Nanos, Sender, SocketId, Thread};
use crate::exchange::{Begun, Exchange, ExchangeId};
use crate::flow::stream::Point;

impl Causality {
    /// A request was seen.
    pub(super) fn begin(&mut self, begun: Begun) {
        let Begun {
            id,
            socket,
            client,
            pushed,
            asked,
            opener,
            shared,
            correlation,
            kind,
            content,
            carried,
            exports,
            port,
            client_address,
            message,
        } = begun;
        let caller = asked.sender.or(opener).filter(|_| client);
        if let Some(caller) = caller.filter(|_| exports) {
            self.processes.at(caller.thread.pid).sdk = true;
        }
        let from = Some(client_address).filter(|_| caller.is_none());
        let header = carried.and_then(|carried| self.header(&carried, client, from));
        let distrusted = header.as_ref().is_some_and(|header| !client && !header.trusted);
        let node = Node {
            client,
            key: WireKey::from(asked),
            socket,
            content,
            kind,
            pushed,
            port,
            asked: asked.into(),
            header,
            answered: None,
            thread: caller.map(|caller| caller.thread),
            last_read: caller.and_then(|caller| caller.last_read),
            // One thread may write the frames of several, and read their answers.
            sent: caller.map_or(Forward::Nothing, |caller| self.forward(&caller, asked.at)).doubted(shared),
            shared,
            correlation,
            message,
            connected: opener.map(|opener| self.forward(&opener, asked.at)),
            backward: None,
            alone: None,
            read: None,
            done: false,
            over: asked.at,
            waited: Waited::Briefly,
            peer: None,
            link: None,
            distrusted,
            told: None,
            meeting: Meeting::None,
            request_note: None,
            answer_note: None,
            waiters: Vec::new(),
            exchange: None,
        };
        if node.header.is_none() && !pushed && !socket.is_conversation() {
            self.meetings.begin(id, asked.at, client_address);
        }
        let (thread, was_at) = (node.thread, [node.sent, node.connected.unwrap_or(Forward::Nothing)]);
        self.graph.add(id, node);
        self.note_request(id);
        self.note_message(id);
        if client {
            self.note_tunnel(id, thread, content, socket, was_at);
        } else {
            self.unfinished.entry(port).or_default().push(id);
            self.tunnels.began(id, content, socket);
        }
        self.explain_begun(id);
        self.peers_due.push_back((asked.at.saturating_add(PEER_WAIT), id));
        if let Some(peer) = self.graph.get(id).and_then(|node| node.peer) {
            self.retry.push(peer);
        }
    }

    /// Forward evidence: the request that the sender's thread had read last, or the one that its last answer belonged to.
    pub(super) fn forward(&self, sender: &Sender, at: Nanos) -> Forward {
        let Some(read) = sender.last_read else { return Forward::Nothing };
        let found = self.graph.was_read(&read).and_then(|(id, ambiguous)| Some((id, ambiguous, self.graph.get(id)?)));
        let forward = match found {
            None if at.saturating_sub(read.at) < MEMORY => Forward::Unseen,
            None => Forward::Nothing,
            Some((_, _, node)) if node.client => node.connected.unwrap_or(node.sent).doubted(node.shared),
            Some((owner, ambiguous, _)) => Forward::Owner(Candidate { owner, ambiguous }),
        };
        let over = forward.candidate().is_some_and(|candidate| self.graph.get(candidate.owner).is_none_or(|owner| owner.done));
        if over { Forward::Nothing } else { forward }
    }

    /// An exchange is over.
    pub(super) fn done(&mut self, exchange: Box<Exchange>) {
        let id = exchange.id;
        let over = exchange.over;
        let Some(node) = self.graph.get_mut(id) else { return };
        node.done = true;
        node.over = over;
        node.kind = exchange.request.kind;
        node.answered = exchange.answered.map(Into::into).or(node.answered);
        node.read = exchange.read.map(|read| (read.at, read.thread));
        let (client, content) = (node.client, node.content);
        let (asked, socket, port, read) = (node.asked.at, node.socket, node.port, node.read);
        let answer = exchange.answered;
        if !client {
            node.thread = read.map(|(_, thread)| thread).or_else(|| answer.and_then(|answer| answer.sender).map(|sender| sender.thread));
        }
        let thread = node.thread;
        let mut waiters = std::mem::take(&mut node.waiters);
        self.retry.append(&mut waiters);
        self.retry.push(id);
        self.holds_due.push_back((over.saturating_add(MAX_HOLD), id));
        self.note_answer(id);
        self.note_messages(id, &exchange);
        if let Some(node) = self.graph.get_mut(id) {
            node.exchange = Some(exchange);
        }
        if !client {
            self.tunnels.ended(id, content);
            self.served(id, socket, port, asked, over, read, thread, answer.as_ref());
        }
    }

    /// A server's exchange is over: what it teaches of its process and of the calls made for it.
    #[allow(clippy::too_many_arguments, reason = "they are the facts of one exchange, taken apart to end the borrow of its node")]
    fn served(
        &mut self,
        id: ExchangeId,
        socket: SocketId,
        port: u16,
        asked: Nanos,
        over: Nanos,
        read: Option<(Nanos, Thread)>,
        thread: Option<Thread>,
        answer: Option<&Point>,
    ) {
        if !thread.is_some_and(|thread| self.awaits_note(id, thread.pid, over)) {
            self.finished(id, port);
        }
        let Some(thread) = thread else { return };
        let answerer = answer.and_then(|answer| answer.sender).map(|sender| sender.thread);
        let process = self.processes.at(thread.pid);
        process.serves(port);
        process.worked(socket, asked, over, read, answerer);
        if let Some(answer) = answer {
            let Some(calls) = self.graph.calls_before(id, answer) else { return };
            if let Some(node) = self.graph.get_mut(id) {
                node.alone = answerer;
            }
            for call in calls {
                if let Some(node) = self.graph.get_mut(call) {
                    node.backward = Some(id);
                }
                self.retry.push(call);
            }
        }
    }

    /// A request is not waited for any more.
    pub(super) fn finished(&mut self, id: ExchangeId, port: u16) {
        if let Some(ids) = self.unfinished.get_mut(&port) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.unfinished.remove(&port);
            }
        }
    }

    /// Nothing is known of an exchange any more.
    pub(super) fn drop_node(&mut self, id: ExchangeId) {
        let Some(Forgotten { mut waiters, unfinished, distrusted }) = self.graph.remove(id) else { return };
        self.tunnels.forget(id);
        if let Some(explainer) = &mut self.explainer {
            explainer.forget(id);
        }
        if let Some((port, content)) = unfinished {
            self.tunnels.ended(id, content);
            if let Some(ids) = self.unfinished.get_mut(&port) {
                ids.retain(|other| *other != id);
            }
        }
        if let Some(trace_id) = distrusted
            && let Some(count) = self.distrusted.get_mut(&trace_id)
        {
            *count -= 1;
            if *count == 0 {
                self.distrusted.remove(&trace_id);
            }
        }
        self.retry.append(&mut waiters);
    }
}
