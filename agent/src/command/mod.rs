//! What the commands do: open a source, run the pipeline, end with the accounting. The thin shell around the pure stages.
mod adapters;
mod capture;
mod doctor;
mod explain;
mod links;
mod live;
mod policy;
mod recording;
mod run;
mod session;

use crate::accounting::Accounting;
use crate::cli::{Cli, Command, exit};
use clap::CommandFactory;
use std::fmt;
use std::io::Write;

/// Why a command ended early: the sentence for a person, and the exit status.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    sentence: String,
}

impl Failure {
    fn new(status: u8, error: impl fmt::Display) -> Self {
        Self { status, sentence: error.to_string() }
    }
}

/// Does what the command line asks and gives the exit status.
#[must_use]
pub fn main(cli: Cli) -> u8 {
    let done = match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(options) => run::run(&options),
        Command::Pcap(options) => capture::pcap(&options),
        Command::Record(options) => recording::record(&options),
        Command::Replay(options) => recording::replay(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::Doctor(options) => {
            doctor::doctor(options);
            Ok(())
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "wirespan", &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => exit::DONE,
        Err(Failure { status, sentence }) => {
            eprintln!("wirespan: {sentence}");
            status
        }
    }
}

/// Prints the accounting on standard error, whole lines only.
fn account(accounting: &Accounting) {
    let _ = writeln!(std::io::stderr().lock(), "{accounting}");
}
