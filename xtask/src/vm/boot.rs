//! One test machine from power-on to power-off.
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a machine may take. Emulated ones boot and trace in 20 to 40 seconds where a CPU is free; the rest is for a busy host.
const LIMIT: Duration = Duration::from_mins(2);

/// How many of the console's last lines are shown when a machine fails.
const TAIL: usize = 30;

/// Boots `image` with `initramfs` on a `cpu` of QEMU's and gives what `init` wrote to the second serial port. The logs stay in `dir`.
pub fn boot(dir: &Path, cpu: &str, image: &Path, initramfs: &Path) -> Result<String> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let (console, seen) = (dir.join("console.log"), dir.join("seen.log"));
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-machine", "q35,accel=tcg", "-cpu", cpu, "-m", "1024", "-smp", "2", "-no-reboot"]);
    qemu.args(["-nodefaults", "-display", "none", "-nic", "none", "-monitor", "none"]);
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    qemu.arg("-serial").arg(format!("file:{}", seen.display()));
    qemu.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1"]);
    let machine = qemu.stdin(Stdio::null()).spawn().context("cannot start qemu-system-x86_64")?;
    let in_time = wait(machine, LIMIT).context("cannot wait for qemu-system-x86_64")?;
    let text = fs::read(&seen).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    if !in_time || !text.contains("=== end\n") {
        let what = if in_time { "stopped before its end" } else { "was not done in time" };
        bail!("the machine {what}; {} ends with:\n{}", console.display(), tail(&console));
    }
    Ok(text)
}

/// Waits for the end, or ends it: gives whether it ended by itself.
fn wait(mut machine: Child, limit: Duration) -> Result<bool> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if machine.try_wait()?.is_some() {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(200));
    }
    machine.kill()?;
    machine.wait()?;
    Ok(false)
}

fn tail(console: &Path) -> String {
    let text = fs::read(console).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n")
}
