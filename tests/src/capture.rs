//! tcpdump, while a test's traffic flows.
use crate::program::{Program, command};
use crate::rig::Rig;
use crate::wait::wait_until;
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    program: Program,
    file: PathBuf,
    messages: PathBuf,
}

impl Capture {
    /// Starts tcpdump for these ports of the loopback interface, and waits until it captures.
    pub fn start(rig: &Rig, ports: &[u16]) -> Self {
        let filter = ports.iter().map(|port| format!("tcp port {port}")).collect::<Vec<_>>().join(" or ");
        Self::start_with(rig, command("tcpdump", &["-i", "lo"]), &filter)
    }

    /// The same of the device `eth` of a network namespace, with everything that passes it.
    pub fn start_in(rig: &Rig, namespace: &str) -> Self {
        Self::start_with(rig, command("ip", &["netns", "exec", namespace, "tcpdump", "-i", "eth"]), "tcp")
    }

    fn start_with(rig: &Rig, mut tcpdump: Command, filter: &str) -> Self {
        let (file, messages) = (rig.file("capture.pcap"), rig.file("tcpdump.err"));
        // `-Z root`: it would otherwise become a user who may not write here.
        tcpdump.args(["-n", "-Z", "root", "-B", "16384", "-U", "-w"]).arg(&file).arg(filter);
        tcpdump.stderr(File::create(&messages).expect("a file for messages"));
        let program = Program::start(tcpdump);
        let capture = Self { program, file, messages };
        wait_until("tcpdump captures", || capture.messages().contains("listening on"));
        capture
    }

    /// Ends it and gives the file. Panics if the kernel dropped packets.
    pub fn stop(mut self) -> PathBuf {
        // What has passed the interface is not in the file yet: tcpdump reads its buffer block by block.
        let size = || fs::metadata(&self.file).map_or(0, |file| file.len());
        let mut before = 0;
        wait_until("the capture has been written", || {
            std::thread::sleep(std::time::Duration::from_millis(1200));
            std::mem::replace(&mut before, size()) == size()
        });
        self.program.end(Signal::INT);
        let said = self.messages();
        assert!(said.contains("\n0 packets dropped by kernel"), "{said}");
        self.file
    }

    fn messages(&self) -> String {
        fs::read_to_string(&self.messages).unwrap_or_default()
    }
}
