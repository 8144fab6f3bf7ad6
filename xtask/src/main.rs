//! `cargo xtask COMMAND`: what building, running and testing wirespan needs beside cargo.
//!
//! Turns a fresh clone on a Debian 12 machine into a built, running or tested wirespan. It never ships: nothing here is part of the agent.
mod bench;
mod build;
mod child;
mod debian;
mod layout;
mod lint;
mod run;
mod setup;
mod test;
mod truth;
mod vm;

use anyhow::{Result, bail};
use layout::Layout;
use setup::Purpose;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  run [-- ARGS]    set up what is missing, build, start wirespan (without ARGS: the live view)
  build            set up what is missing, build the kernel side and the agent
  test             set up what is missing, build, run every check and test; the last line is the sum
  vm [SERIES...]   build, then try the agent on other kernels in QEMU (all of xtask/kernels.txt, or those named, such as 6.12)
  lint             formatting, clippy on both sides, cargo-deny where it is installed
  bench            measure what tracing costs
  truth [NAME...]  measure how many links are right and how many wrong (--short, --replay, --help)
  setup            install what all of these need, and nothing else

WIRESPAN_BIN=FILE lets `vm` try another agent binary than the one it would build.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = args.split_first() else {
        println!("{HELP}");
        return Ok(ExitCode::from(2));
    };
    let layout = Layout::find()?;
    match command.as_str() {
        "run" => run::run(&layout, rest),
        "build" => {
            setup::ensure(Purpose::Build, &layout)?;
            let agent = build::everything(&layout)?;
            child::say(&format!("built {}", agent.display()));
            Ok(ExitCode::SUCCESS)
        }
        "test" => Ok(test::run(&layout)),
        "vm" => vm::command(&layout, rest),
        "lint" => lint::command(&layout),
        "bench" => bench::run(&layout, rest),
        "truth" => truth::run(&layout, rest),
        "setup" => {
            setup::ensure(Purpose::Test, &layout)?;
            child::say("everything needed is installed");
            Ok(ExitCode::SUCCESS)
        }
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no command `{other}`\n\n{HELP}"),
    }
}
