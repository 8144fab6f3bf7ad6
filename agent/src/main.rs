//! The `wirespan` binary: parses the command line and does what it says.
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(wirespan::command::main(wirespan::cli::Cli::parse()))
}
