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

/// The first version of Go that says who created a goroutine.
const GO_OLD: &str = "go1.21.13";

/// One kind of programs, with a directory in `tests/truth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A virtual environment.
    Python,
    /// Node's modules.
    Node,
    /// One program.
    Go,
    /// One program, with an older version of Go, stripped and position-independent.
    GoOld,
    /// One program.
    Tokio,
    /// Jars and classes.
    Java,
    /// One program, with libuv from Debian's package.
    C,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Go => "go",
            Self::GoOld => "go-old",
            Self::Tokio => "rust",
            Self::Java => "java",
            Self::C => "c",
        }
    }

    /// The files on which what is installed depends.
    fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["requirements.txt"],
            Self::Node => &["package.json", "package-lock.json"],
            Self::Go => &["go.mod", "go.sum", "main.go", "http2.go"],
            Self::GoOld => &["go.mod", "main.go"],
            Self::Tokio => &["Cargo.toml", "Cargo.lock", "src/main.rs"],
            Self::C => &["uv.c"],
            Self::Java => {
                &["pom.xml", "src/Call.java", "src/NettyServer.java", "src/ReactorServer.java", "src/Server.java", "src/TomcatServer.java"]
            }
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
            Self::Go => {
                run(self.go_build(&into));
            }
            Self::GoOld => {
                let mut go = self.go_build(&into);
                go.args(["-buildmode=pie", "-ldflags=-s -w"]).env("GOTOOLCHAIN", GO_OLD);
                run(go);
            }
            Self::Tokio => self.install_tokio(&into),
            Self::Java => self.install_java(&into),
            Self::C => self.install_c(&into),
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

    fn go_build(self, into: &Path) -> Command {
        let mut go = with(command("go", &["build", "-trimpath", "-o"]), [into.join("server")]);
        go.current_dir(self.sources());
        go
    }

    fn install_tokio(self, into: &Path) {
        let mut cargo = with(command("cargo", &["install", "--quiet", "--locked", "--root"]), [into]);
        cargo.arg("--path").arg(self.sources());
        // The flags of the agent are not the flags of its subjects.
        cargo.env_remove("RUSTFLAGS").env("CARGO_TARGET_DIR", into.join("target"));
        run(cargo);
    }

    fn install_c(self, into: &Path) {
        let mut compiler = with(command("cc", &["-O2", "-o"]), [into.join("uv")]);
        compiler.arg(self.sources().join("uv.c")).arg("-luv");
        run(compiler);
    }

    fn install_java(self, into: &Path) {
        let mut fetch = with(command("mvn", &["--quiet", "--batch-mode", "--file"]), [self.sources().join("pom.xml")]);
        fetch.arg("dependency:copy-dependencies").arg(format!("-DoutputDirectory={}", into.join("lib").display()));
        run(fetch);
        let mut javac = with(command("javac", &["--release", "17", "-d"]), [into.join("classes")]);
        javac.arg("-cp").arg(into.join("lib/*"));
        let sources = self.inputs().iter().filter(|input| input.starts_with("src/")).map(|input| self.sources().join(input));
        run(with(javac, sources));
    }
}

fn with<S: AsRef<OsStr>>(mut command: Command, args: impl IntoIterator<Item = S>) -> Command {
    command.args(args);
    command
}
