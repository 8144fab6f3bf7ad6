//! Pythons with packages of fixed versions: the real OpenTelemetry SDK and its instrumentation, and the clients of brokers.
use crate::program::{command, run};
use crate::servers::PYTHON;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The interpreter of a virtual environment with what `tests/programs/requirements.txt` names.
pub fn with_opentelemetry() -> PathBuf {
    with("requirements.txt", "python-opentelemetry")
}

/// The same with the clients of brokers that `tests/programs/brokers.txt` names.
pub fn with_brokers() -> PathBuf {
    with("brokers.txt", "python-brokers")
}

/// The same with the client of `OpenSearch`.
pub fn with_opensearch() -> PathBuf {
    with("search/requirements.txt", "python-opensearch")
}

/// The interpreter of a virtual environment `name` below the target directory with what a list in `tests/programs` names, all of it with
/// fixed versions. The first time it is installed, which takes a minute; does nothing the second time.
fn with(list: &str, name: &str) -> PathBuf {
    // Tests of one process may ask at the same time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let (into, list) = (target.join(name), root.join("tests/programs").join(list));
    let (interpreter, stamp) = (into.join("bin/python3"), into.join("installed"));
    let wanted = fs::read_to_string(&list).expect("the requirements");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return interpreter;
    }
    let _ = fs::remove_dir_all(&into);
    let text = |path: &Path| path.display().to_string();
    run(command(PYTHON, &["-m", "venv", &text(&into)]));
    run(command(&text(&interpreter), &["-m", "pip", "install", "--quiet", "--requirement", &text(&list)]));
    fs::write(stamp, wanted).expect("a note of what is installed");
    interpreter
}
