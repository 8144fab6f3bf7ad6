//! Many requests at once.
use crate::rig::Rig;

/// Asks for every path once, `concurrency` at a time, each with a connection of its own, and panics unless each is answered with 200.
///
/// curl's own parallelism keeps connections; a process for each request would measure the starting of processes.
pub fn ask_for_all(rig: &Rig, base: &str, paths: impl IntoIterator<Item = String>, concurrency: usize) {
    let mut config = String::from("silent\nshow-error\nfail\nparallel\nparallel-immediate\nmax-time = 60\n");
    config.push_str(&format!("parallel-max = {concurrency}\n"));
    for path in paths {
        config.push_str(&format!("url = \"{base}{path}\"\noutput = \"/dev/null\"\n"));
    }
    let file = rig.file("curl.conf");
    std::fs::write(&file, config).expect("curl's list");
    rig.run("curl", &["--config", &file.display().to_string()]);
}
