//! Programs of the JVM: their jars by Maven, and the virtual machine that runs them.
use crate::program::{command, run};
use crate::rig::Rig;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A small virtual machine, which is there soon.
const SMALL: [&str; 3] = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

/// The class path of the jars that `tests/programs/NAME/pom.xml` names, all of them with fixed versions, in a directory below the target
/// directory. The first time they are fetched; does nothing the second time.
pub fn jars(name: &str) -> String {
    // Tests of one process may ask at the same time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let (into, list): (PathBuf, PathBuf) = (target.join("jars").join(name), root.join("tests/programs").join(name).join("pom.xml"));
    let (stamp, wanted) = (into.join("installed"), fs::read_to_string(&list).expect("the list of jars"));
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return format!("{}/*", into.display());
    }
    let _ = fs::remove_dir_all(&into);
    let mut fetch = command("mvn", &["--quiet", "--batch-mode", "dependency:copy-dependencies", "--file"]);
    fetch.arg(list).arg(format!("-DoutputDirectory={}", into.display()));
    run(fetch);
    fs::write(stamp, wanted).expect("a note of what is installed");
    format!("{}/*", into.display())
}

/// The class path of a program of `tests/programs/NAME`, which is compiled into the rig's directory, and of its jars.
pub fn classes(rig: &Rig, name: &str, source: &str) -> String {
    let (jars, into) = (jars(name), rig.file(&format!("{name}-classes")).display().to_string());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name).join(source).display().to_string();
    run(command("javac", &["-cp", &jars, "-d", &into, &source]));
    format!("{jars}:{into}")
}

/// Arguments of `java` for a class, or a file of source, with its own arguments.
pub fn java<'a>(class_path: &'a str, main: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], &["-cp", class_path, main], args].concat()
}
