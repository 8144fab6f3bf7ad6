//! What each word of a link means, in sentences.
use super::candidates::Refused;
use crate::causality::class::{Class, Habit, PROOF_ANSWERED, PROOF_OVERLAPPING};
use crate::causality::grounds::Standing;
use crate::causality::link::{Evidence, Reason};

/// What the evidence of a link is.
pub(super) fn evidence(evidence: Evidence) -> String {
    match evidence {
        Evidence::Header(format) => format!("the request names its parent, in a header of the format {}", format.name()),
        Evidence::Wire => "the same request was seen at the client's end of the connection".to_owned(),
        Evidence::Rendezvous => "the agent of another node, where the client is, told of the request".to_owned(),
        Evidence::Connect => "the connection was opened while its thread worked on the request".to_owned(),
        Evidence::Thread => "its thread had read the request, and works on one at a time".to_owned(),
        Evidence::Loop => "its loop had read the request in the same round".to_owned(),
        Evidence::Task => "its task, or one that waited for it, sent the response".to_owned(),
        Evidence::Goroutine => "its goroutine, or one that waited for it, sent the response".to_owned(),
        Evidence::Activation => {
            "one callback of its event loop read the request and sent the call, or read its answer and sent the response".to_owned()
        }
        Evidence::Tunnel => "its process hands bytes on, and had one unfinished request with exactly these".to_owned(),
        Evidence::Message => "the broker was given this message by it".to_owned(),
        Evidence::None(why) => reason(why).to_owned(),
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Root => "nothing was going on that could have caused it",
        Reason::Concurrent => "several requests could have caused it",
        Reason::Handoff => "another thread or task works on whatever caused it",
        Reason::Gap => "part of the evidence was not seen",
        Reason::NoAdapter => "its runtime moves work between threads or rounds in a way that is not understood yet",
        Reason::Audit => "what is read in its process's memory is not what it was taken for",
        Reason::Conflict => "what was seen before it and after it, or its content, do not agree",
        Reason::Timeout => "the evidence did not come in time",
        Reason::Untrusted => "the request names a trace, but comes from where no header is believed",
        Reason::TraceOnly => "the request names a trace and no span",
        Reason::Sdk => "the client's process traces itself, and the request does not name its span",
    }
}

/// Why a request was not taken for the cause of a call.
pub(super) fn refused(refused: Refused) -> String {
    match refused {
        Refused::NotRead => "nobody had read it yet".to_owned(),
        Refused::OtherThread(thread) => format!("thread {}/{} had read it, and another one sent this", thread.pid, thread.tid),
        Refused::Unseen => "who read it was not seen".to_owned(),
        Refused::NotLast => "its thread has read something else since".to_owned(),
        Refused::Unsure(why) => format!("its thread had read it last, but {}", reason(why)),
    }
}

/// How a process works.
pub(super) fn standing(standing: Standing) -> String {
    let habit = match standing.habit {
        Habit::Open => "a program that may have a thread for each request",
        Habit::IoLoop => "a loop that works on what it read last",
        Habit::Doubtful => "a program that may be a loop",
        Habit::Migrating => "a runtime that moves work between threads or rounds",
    };
    let Standing { answered, overlapping, .. } = standing;
    let class = match standing.class {
        Class::Unproven => "not proven",
        Class::ThreadPerRequest => "a thread for each request, proven",
        Class::Other => "no thread for each request, proven",
    };
    format!(
        "{habit}; {class}: {answered} requests with known reader and answerer, of {PROOF_ANSWERED}; {overlapping} overlapping, of \
         {PROOF_OVERLAPPING}"
    )
}
