//! `cargo xtask test`: every check and test there is, added up in one line.
//!
//! A part that fails does not stop the next, except the build, without which there is nothing to test.
use crate::child::{self, say};
use crate::layout::Layout;
use crate::setup::{self, Purpose};
use crate::{build, lint, vm};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

/// The tests that load programs into this machine's kernel, and so run one after the other.
const END_TO_END: &str = "wirespan-tests";

/// Runs everything. The last line on standard output is `N passed, N failed`.
pub fn run(layout: &Layout) -> ExitCode {
    let mut sum = Sum::default();
    let built = setup::ensure(Purpose::Test, layout).and_then(|()| build::everything(layout));
    if sum.check("build", built.map(drop)) {
        lint::run(layout, &mut sum);
        sum.cargo_test("tests", cargo_test(layout).args(["--workspace", "--exclude", END_TO_END]));
        sum.cargo_test("end-to-end tests", cargo_test(layout).args(["--package", END_TO_END, "--", "--test-threads=1"]));
        vm::run(layout, &[], &layout.agent(), &mut sum);
    }
    sum.report()
}

/// `cargo test` that goes on after a failing program, with what the tests need: the released agent, and programs that set-up unpacked.
fn cargo_test(layout: &Layout) -> Command {
    let mut cargo = child::cargo(&layout.root);
    cargo.args(["test", "--no-fail-fast"]);
    cargo.env("WIRESPAN_BIN", layout.agent()).env("PATH", child::path_with(&setup::unpacked_programs(layout)));
    // Debian's Go stays at its own release unless told otherwise.
    cargo.env("GOTOOLCHAIN", "auto");
    cargo
}

/// How many tests and checks passed and failed so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sum {
    passed: u64,
    failed: u64,
}

impl Sum {
    /// Counts one check by its result and says so; gives whether it passed.
    pub fn check(&mut self, what: &str, result: Result<()>) -> bool {
        match result {
            Ok(()) => {
                self.passed += 1;
                say(&format!("{what}: passed"));
                true
            }
            Err(error) => {
                self.failed += 1;
                say(&format!("{what}: FAILED: {error:#}"));
                false
            }
        }
    }

    /// Runs `cargo test`, shows what it prints, and adds up its results. A run that fails although no test did counts as one failure:
    /// it did not compile, or a test program died.
    fn cargo_test(&mut self, what: &str, command: &mut Command) {
        let before = self.failed;
        let run = self.count_results(command);
        if run.is_err() && self.failed > before {
            return;
        }
        if run.is_err() {
            self.check(what, run);
        }
    }

    fn count_results(&mut self, command: &mut Command) -> Result<()> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
        let output = BufReader::new(child.stdout.take().context("cargo has no output")?);
        for line in output.split(b'\n') {
            let line = line.context("cannot read what the tests print")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            if let Some((passed, failed)) = result_line(&line) {
                self.passed += passed;
                self.failed += failed;
            }
        }
        let status = child.wait().context("cannot wait for cargo")?;
        anyhow::ensure!(status.success(), "cargo test ended with {status}");
        Ok(())
    }

    /// Prints the sum as the last line and gives the exit status that belongs to it.
    pub fn report(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Reads `test result: ok. 5 passed; 0 failed; ...` as the test harness prints it at the end of each program.
fn result_line(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let passed = counts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = counts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(script: &str) -> Sum {
        let mut sum = Sum::default();
        sum.cargo_test("tests", Command::new("sh").args(["-c", script]));
        sum
    }

    #[test]
    fn results_of_all_test_programs_are_added_up() {
        let ok = "echo 'test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s'";
        let bad = "echo 'test result: FAILED. 2 passed; 3 failed; 0 ignored'";
        assert_eq!(sum_of(&format!("{ok}; {ok}")), Sum { passed: 24, failed: 0 });
        assert_eq!(sum_of(&format!("{ok}; {bad}; exit 101")), Sum { passed: 14, failed: 3 });
    }

    #[test]
    fn a_test_program_that_does_not_compile_or_dies_is_one_failure() {
        assert_eq!(sum_of("echo 'error: could not compile'; exit 101"), Sum { passed: 0, failed: 1 });
        assert_eq!(sum_of("kill -9 $$"), Sum { passed: 0, failed: 1 });
    }

    #[test]
    fn lines_that_only_look_like_results_are_not_counted() {
        for line in
            ["test result: ok", "test result: ok. many passed; 0 failed", "running 3 tests", "  test result: ok. 1 passed; 0 failed"]
        {
            assert_eq!(result_line(line), None, "{line}");
        }
    }
}
