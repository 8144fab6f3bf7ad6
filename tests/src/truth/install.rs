//! What the workloads' programs need, installed once with fixed versions below the target directory: a virtual environment, modules,
//! jars, compiled servers. Says what it installs; does nothing the second time.
use super::directory;
use crate::program::{command, run};
use crate::root;
use crate::servers::PYTHON;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One kind of programs, with a directory in `tests/truth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A virtual environment.
    Python,
    /// Node's modules.
    Node,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
        }
    }

    /// The files on which what is installed depends.
    fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["requirements.txt"],
            Self::Node => &["package.json", "package-lock.json"],
        }
    }

    /// Where the programs' sources are.
    #[must_use]
    pub fn sources(self) -> PathBuf {
        root().join("tests/truth").join(self.name())
    }

    /// Installs what is missing and gives the directory that it is in.
    #[must_use]
    pub fn installed(self) -> PathBuf {
        // Tests of one process may ask at the same time.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let into = directory().join("programs").join(self.name());
        let stamp = into.join("installed");
        let read = |input: &&str| fs::read_to_string(self.sources().join(input)).unwrap_or_else(|error| panic!("{input}: {error}"));
        let wanted: String = self.inputs().iter().map(read).collect();
        if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
            return into;
        }
        eprintln!("truth: installing what the {} workloads need", self.name());
        let _ = fs::remove_dir_all(&into);
        fs::create_dir_all(&into).expect("a directory for programs");
        match self {
            Self::Python => self.install_python(&into),
            Self::Node => self.install_node(&into),
        }
        fs::write(stamp, wanted).expect("a note of what is installed");
        into
    }

    fn install_python(self, into: &Path) {
        run(with(command(PYTHON, &["-m", "venv"]), [into]));
        let pip = into.join("bin/pip").display().to_string();
        run(with(command(&pip, &["install", "--quiet", "--requirement"]), [self.sources().join("requirements.txt")]));
    }

    fn install_node(self, into: &Path) {
        for input in self.inputs() {
            fs::copy(self.sources().join(input), into.join(input)).expect("a copy of the lock file");
        }
        let mut npm = command("npm", &["ci", "--no-audit", "--no-fund", "--silent"]);
        npm.current_dir(into);
        run(npm);
    }
}

fn with<S: AsRef<OsStr>>(mut command: Command, args: impl IntoIterator<Item = S>) -> Command {
    command.args(args);
    command
}
