//! A Python with the real OpenTelemetry SDK and its instrumentation.
use crate::program::{command, run};
use crate::servers::PYTHON;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The interpreter of a virtual environment below the target directory with what `tests/programs/requirements.txt` names, all of it with
/// fixed versions. The first time it is installed, which takes a minute; does nothing the second time.
pub fn with_opentelemetry() -> PathBuf {
    // Tests of one process may ask at the same time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let (into, list) = (target.join("python-opentelemetry"), root.join("tests/programs/requirements.txt"));
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
