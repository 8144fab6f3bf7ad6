//! Two rules that need no runtime's help, run on the events that wirespan recorded: what one would get without its rules.
//!
//! They use wirespan's own stages up to the exchange, so that all see the same bytes, threads and times, and differ in nothing but the
//! rule. Everything is read first and judged afterwards, in the order of time: a read is often told late, with the next segment.
use super::label::Label;
use super::score::{Links, Owner, Said};
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use wirespan::capture::event::{Event, Nanos, Read, SocketId};
use wirespan::capture::recording::{Entry, Reader, RecordingError};
use wirespan::capture::wire::Decoder;
use wirespan::exchange::{Exchange, ExchangeId, Exchanges, Progress};
use wirespan::flow::stream::seq_distance;
use wirespan::flow::{Flow, Signal};
use wirespan::protocol::PROTOCOLS;
use wirespan::protocol::attribute::Value;

/// What a call's owner is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The field's: a slot for each thread holds the request that it read last. The first thing that the thread sends empties it.
    OneSlot,
    /// The request that the thread read last, or the one that the last answer it read belongs to, unless it has been answered. The first
    /// call on a connection is that of the moment at which it was opened.
    LastRead,
}

/// What a recording holds, as far as the rules need it.
#[derive(Default)]
pub struct Recorded {
    exchanges: HashMap<ExchangeId, Box<Exchange>>,
    reads: Vec<Read>,
}

/// What threads did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Read from a socket, up to a sequence number.
    Read(SocketId, u32),
    /// Opened a connection.
    Opened(SocketId),
    /// Sent a call, or the first byte of an answer.
    Sent(ExchangeId),
}

impl Recorded {
    /// Reads a recording.
    pub fn read(file: &Path) -> Result<Self, RecordingError> {
        let mut reader = Reader::new(BufReader::new(File::open(file)?))?;
        let (mut decoder, mut flow, mut exchanges) = (Decoder::new(), Flow::new(PROTOCOLS, false), Exchanges::new(true));
        let mut recorded = Self::default();
        let mut now = 0;
        while let Some(entry) = reader.next_entry()? {
            let Entry::Record(record) = entry else { continue };
            decoder.decode(record, &mut |event| {
                if let Event::Segment(segment) = &event {
                    now = segment.at;
                }
                // What is of no use to the stages is none to the rules.
                let _ = flow.event(&event, &mut |signal| recorded.signal(signal, &mut exchanges));
            });
            flow.take_verdicts().for_each(drop);
        }
        flow.finish(&mut |signal| recorded.signal(signal, &mut exchanges));
        exchanges.finish(now, &mut |progress| recorded.progress(progress));
        Ok(recorded)
    }

    fn signal(&mut self, signal: Signal, exchanges: &mut Exchanges) {
        if let Signal::Read(read) = &signal {
            self.reads.push(*read);
        }
        exchanges.signal(signal, &mut |progress| self.progress(progress));
    }

    fn progress(&mut self, progress: Progress) {
        if let Progress::Done(exchange) = progress {
            self.exchanges.insert(exchange.id, exchange);
        }
    }

    /// What the rule says of it.
    #[must_use]
    pub fn links(&self, rule: Rule) -> Links {
        let owners = self.owners(rule);
        let mut links = Links::default();
        for exchange in self.exchanges.values() {
            match label(exchange) {
                Some(Label::Request(request)) if !exchange.client => drop(links.requests.insert(request)),
                Some(Label::Call(call)) if exchange.client => {
                    let owner = owners.get(&exchange.id).and_then(|owner| self.exchanges.get(owner));
                    let (owner, rule) = match owner.map(|owner| label(owner)) {
                        Some(Some(Label::Request(request))) => (Owner::Request(request), "taken"),
                        Some(_) => (Owner::Unexported, "taken"),
                        None => (Owner::Nobody, "none"),
                    };
                    links.calls.push(Said { call, owner, rule: rule.to_owned() });
                }
                _ => {}
            }
        }
        links
    }

    /// The calls that the rule gives to a request.
    fn owners(&self, rule: Rule) -> HashMap<ExchangeId, ExchangeId> {
        let sockets = self.by_socket();
        let mut threads: HashMap<u32, ExchangeId> = HashMap::new();
        let mut opened: HashMap<SocketId, ExchangeId> = HashMap::new();
        let mut owners = HashMap::new();
        for (at, tid, step) in self.steps(&sockets) {
            match step {
                Step::Read(socket, upto) => {
                    let Some(exchange) = newest(sockets.get(&socket), upto) else { continue };
                    match (rule, exchange.client) {
                        (_, false) => drop(threads.insert(tid, exchange.id)),
                        (Rule::OneSlot, true) => {}
                        (Rule::LastRead, true) => match owners.get(&exchange.id) {
                            Some(owner) => drop(threads.insert(tid, *owner)),
                            None => drop(threads.remove(&tid)),
                        },
                    }
                }
                Step::Opened(socket) => {
                    if let Some(owner) = threads.get(&tid).filter(|_| rule == Rule::LastRead) {
                        opened.insert(socket, *owner);
                    }
                }
                Step::Sent(id) => {
                    let Some(exchange) = self.exchanges.get(&id) else { continue };
                    let owner = match rule {
                        Rule::OneSlot => threads.remove(&tid),
                        Rule::LastRead => {
                            let owner = opened.remove(&exchange.opened.socket).or_else(|| threads.get(&tid).copied());
                            owner.filter(|owner| !self.is_answered(*owner, at))
                        }
                    };
                    if let Some(owner) = owner.filter(|_| exchange.client) {
                        owners.insert(id, owner);
                    }
                }
            }
        }
        owners
    }

    fn is_answered(&self, id: ExchangeId, at: Nanos) -> bool {
        self.exchanges.get(&id).is_none_or(|exchange| exchange.answered.is_some_and(|answered| answered.at <= at))
    }

    /// The exchanges of each socket in their order.
    fn by_socket(&self) -> HashMap<SocketId, Vec<&Exchange>> {
        let mut sockets: HashMap<SocketId, Vec<&Exchange>> = HashMap::new();
        for exchange in self.exchanges.values() {
            sockets.entry(exchange.opened.socket).or_default().push(exchange);
        }
        for exchanges in sockets.values_mut() {
            exchanges.sort_by_key(|exchange| exchange.id);
        }
        sockets
    }

    /// What each thread did and when, in the order of time.
    fn steps(&self, sockets: &HashMap<SocketId, Vec<&Exchange>>) -> Vec<(Nanos, u32, Step)> {
        let mut steps: Vec<_> = self.reads.iter().map(|read| (read.at, read.thread.tid, Step::Read(read.socket, read.upto))).collect();
        for exchange in self.exchanges.values() {
            let sent = if exchange.client { Some(exchange.asked) } else { exchange.answered };
            let sent = sent.and_then(|sent| Some((sent.at, sent.sender?.thread.tid, Step::Sent(exchange.id))));
            steps.extend(sent);
        }
        for opened in sockets.values().filter_map(|exchanges| exchanges.first()).map(|exchange| &exchange.opened) {
            steps.extend(opened.opener.filter(|_| opened.fresh).map(|opener| (opened.at, opener.thread.tid, Step::Opened(opened.socket))));
        }
        steps.sort_unstable();
        steps
    }
}

/// The exchange whose request (server) or answer (client) somebody had read who had read a socket up to there.
fn newest<'a>(exchanges: Option<&Vec<&'a Exchange>>, upto: u32) -> Option<&'a Exchange> {
    let begins = |exchange: &Exchange| if exchange.client { exchange.answered } else { Some(exchange.asked) };
    exchanges?.iter().rev().copied().find(|exchange| begins(exchange).is_some_and(|first| seq_distance(upto, first.seq) > 0))
}

/// What the exchange is, by its request.
fn label(exchange: &Exchange) -> Option<Label> {
    let text = |key: &str| {
        exchange.request.attributes.iter().find_map(|attribute| match &attribute.value {
            Value::Text(text) if attribute.key == key => Some(text.as_ref()),
            _ => None,
        })
    };
    Label::read(["url.path", "db.query.text", "rpc.method"].into_iter().find_map(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::label::Call;
    use std::sync::Arc;
    use wirespan::capture::event::{Opened, Role, Sender, Thread};
    use wirespan::flow::stream::Point;
    use wirespan::protocol::attribute::Attribute;
    use wirespan::protocol::{Kind, Request};
    use wirespan::semconv::URL_PATH;

    const ONLY: Thread = Thread { pid: 1, tid: 1 };

    fn point(at: Nanos) -> Point {
        Point { at, seq: at as u32, ack: 0, sender: Some(Sender { thread: ONLY, last_read: None }), srtt_us: 0, retransmits: 0 }
    }

    /// An exchange on a socket of its own, asked and answered at these times; sequence numbers are times.
    fn exchange(id: u64, path: &str, asked: Nanos, answered: Nanos) -> (ExchangeId, Box<Exchange>) {
        let (nobody, id) = (([127, 0, 0, 1], 1).into(), ExchangeId(id));
        let client = path.starts_with("/b/");
        let opened = Opened {
            at: 0,
            socket: SocketId(id.0),
            local: nobody,
            remote: nobody,
            role: Role::Unknown,
            fresh: false,
            cgroup: 0,
            opener: None,
            comm: [0; 16],
        };
        let attributes = vec![Attribute::both(URL_PATH, path.to_owned())];
        let request = Request { attributes, ..Request::new(Kind::Service, "") };
        let exchange = Exchange {
            id,
            opened: Arc::new(opened),
            client,
            pushed: false,
            protocol: "http",
            request,
            response: None,
            asked: point(asked),
            answered: Some(point(answered)),
            content: None,
            ended: None,
            read: None,
            connect: None,
            unanswered: None,
            over: answered,
            truncated: false,
        };
        (id, Box::new(exchange))
    }

    /// The one thread read from a socket, everything that had come by then.
    fn read(at: Nanos, socket: u64) -> Read {
        Read { at, socket: SocketId(socket), upto: at as u32, thread: ONLY }
    }

    fn owners(recorded: &Recorded, rule: Rule) -> Vec<(String, Owner)> {
        let mut said: Vec<_> = recorded
            .links(rule)
            .calls
            .into_iter()
            .map(|Said { call: Call { request, number }, owner, .. }| (format!("{request}/{number}"), owner))
            .collect();
        said.sort_by(|a, b| a.0.cmp(&b.0));
        said
    }

    fn of(call: &str, owner: &str) -> (String, Owner) {
        (call.to_owned(), Owner::Request(owner.to_owned()))
    }

    #[test]
    fn a_slot_is_empty_after_the_first_call_and_restored_by_its_answer_only_where_the_rule_restores() {
        let recorded = Recorded {
            exchanges: [exchange(1, "/w/m1", 10, 90), exchange(2, "/b/m1/1", 30, 40), exchange(3, "/b/m1/2", 60, 70)].into(),
            reads: vec![read(20, 1), read(50, 2), read(80, 3)],
        };
        assert_eq!(owners(&recorded, Rule::OneSlot), [of("m1/1", "m1"), ("m1/2".to_owned(), Owner::Nobody)]);
        assert_eq!(owners(&recorded, Rule::LastRead), [of("m1/1", "m1"), of("m1/2", "m1")]);
    }

    #[test]
    fn a_loop_that_reads_two_requests_first_deceives_both_rules_and_an_answered_request_only_one() {
        let recorded = Recorded {
            exchanges: [
                exchange(1, "/w/m1", 10, 90),
                exchange(2, "/w/m2", 11, 50),
                exchange(3, "/b/m1/1", 30, 80),
                exchange(4, "/b/m2/1", 60, 70),
            ]
            .into(),
            reads: vec![read(20, 1), read(21, 2), read(55, 2)],
        };
        assert_eq!(owners(&recorded, Rule::OneSlot), [of("m1/1", "m2"), of("m2/1", "m2")]);
        assert_eq!(owners(&recorded, Rule::LastRead), [of("m1/1", "m2"), ("m2/1".to_owned(), Owner::Nobody)]);
    }
}
