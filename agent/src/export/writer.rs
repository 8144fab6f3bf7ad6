//! Batches from a [`Queue`] go to a file or a terminal: one thread, because a disk, a pipe and a person with Ctrl-S can all stop a write.
//!
//! A write that fails loses its batch, counted, and the next one is tried; that it failed is said once.
use super::queue::{Abandon, Batch, Cause, Queue};
use super::sender::Notices;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The thread that writes.
pub struct Writer {
    gone: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread, which writes what comes out of `queue` until it is closed and empty. `name` is for people.
    pub fn start(queue: Arc<Queue>, mut to: Box<dyn Write + Send>, name: String, notices: Arc<Notices>) -> std::io::Result<Self> {
        let gone = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&gone);
        std::thread::Builder::new().name("wirespan-write".to_owned()).spawn(move || {
            let _abandon = Abandon(Arc::clone(&queue));
            let mut failing = false;
            while let Some(Batch { body, spans }) = queue.next_blocking() {
                // What a failed write left behind is half a line: end it, so that only that line is lost.
                let mended = if failing { to.write_all(b"\n") } else { Ok(()) };
                let written = mended.and_then(|()| body.0.iter().try_for_each(|piece| to.write_all(piece)));
                match written.and_then(|()| to.flush()) {
                    Ok(()) => {
                        failing = false;
                        queue.done(body.len(), spans, 0, Cause::WriteFailed);
                    }
                    Err(error) => {
                        queue.done(body.len(), spans, spans, Cause::WriteFailed);
                        let closed = error.kind() == ErrorKind::BrokenPipe;
                        flag.fetch_or(closed, Ordering::Relaxed);
                        if !failing && !closed {
                            notices.say(format!("{name} does not take spans ({error}); they are lost until it does"));
                        }
                        failing = true;
                    }
                }
            }
        })?;
        Ok(Self { gone })
    }

    /// Whether the reader of a pipe has gone, as after `| head`.
    pub fn reader_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}
