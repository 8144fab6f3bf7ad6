//! A plan carried out, and the look at the machine that the plan is made from.
use super::needs::{Sign, Source};
use super::plan::Plan;
use crate::child::{self, say};
use crate::debian::Suite;
use crate::layout::Layout;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// A script by which Debian asks whether a package may start its service. A machine that builds a tracer did not ask for a web server.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// Whether a sign of something is seen.
pub fn is_there(sign: &Sign, layout: &Layout) -> bool {
    match *sign {
        Sign::Program(name) => child::find(name).is_some(),
        Sign::File(path) => Path::new(path).is_file(),
        Sign::Cached(path) => layout.cache.join(path).is_file(),
        Sign::Says([program, args @ ..], text) => {
            let mut command = if *program == "cargo" { child::cargo(&layout.root) } else { Command::new(program) };
            let output = command.args(args).stdin(Stdio::null()).output();
            output.is_ok_and(|output| output.status.success() && String::from_utf8_lossy(&output.stdout).contains(text))
        }
        Sign::Says([], _) => false,
    }
}

/// Refuses, in a sentence, where the plan cannot work.
pub fn may_install(plan: &Plan) -> Result<()> {
    if !plan.needs_root() {
        return Ok(());
    }
    let missing = plan.packages.join(" ");
    if child::find("apt-get").is_none() {
        bail!("this machine has no apt-get; wirespan builds on Debian 12. Missing here: {}", plan.reasons.join(", "));
    }
    if fs::metadata("/proc/self").context("cannot read /proc")?.uid() != 0 {
        bail!("installing packages needs root. Run `apt-get install --no-install-recommends {missing}` as root, or this command once");
    }
    Ok(())
}

/// Carries out a plan.
pub fn execute(plan: &Plan, layout: &Layout) -> Result<()> {
    if !plan.packages.is_empty() {
        install_packages(&plan.packages, &plan.units)?;
    }
    plan.rest.iter().try_for_each(|source| install(source, layout))
}

fn install_packages(packages: &[&str], units: &[&str]) -> Result<()> {
    child::run(apt_get().arg("update"))?;
    let policy = ServicePolicy::forbid_starting()?;
    child::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))?;
    drop(policy);
    // The policy keeps them from starting now; on a machine with systemd they would start at the next boot.
    if !units.is_empty() && child::find("systemctl").is_some() {
        child::run(Command::new("systemctl").args(["disable", "--quiet"]).args(units))?;
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Somebody else's apt-get may hold the lock for a while. Progress bars and questions have no reader here.
    command.args(["--quiet=2", "--option=DPkg::Lock::Timeout=600", "--option=Dpkg::Use-Pty=0"]);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// While it lives, packages do not start services. A policy that was there before is left as it is: it already says something.
struct ServicePolicy {
    ours: bool,
}

impl ServicePolicy {
    fn forbid_starting() -> Result<Self> {
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(SERVICE_POLICY);
        match file {
            Ok(mut file) => {
                std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n").context("cannot write the service policy")?;
                Ok(Self { ours: true })
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error).with_context(|| format!("cannot create {SERVICE_POLICY}")),
        }
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(SERVICE_POLICY).is_err() {
            say(&format!("cannot remove {SERVICE_POLICY}: services will not start until you do"));
        }
    }
}

fn install(source: &Source, layout: &Layout) -> Result<()> {
    match *source {
        Source::Debian(_) | Source::Service { .. } => Ok(()),
        Source::Component(name) => {
            say(&format!("installing rustup's {name}"));
            let installed = child::run(Command::new("rustup").args(["component", "add", name]).stdin(Stdio::null()));
            installed.with_context(|| format!("this toolchain has no {name}, and rustup cannot add it"))
        }
        Source::Unpacked { suite, packages, dir } => {
            say(&format!("unpacking {} from {suite}", packages.join(" ")));
            let suite = Suite::open(suite, layout)?;
            let into = layout.cache.join(dir);
            for package in packages {
                let deb = suite.download(package, None)?;
                child::run(Command::new("dpkg-deb").arg("--extract").args([&deb, &into]))?;
            }
            Ok(())
        }
        Source::Crate { name, features, llvm, dir } => {
            say(&format!("compiling {name}"));
            let mut cargo = child::cargo(&layout.root);
            cargo.args(["install", "--quiet", "--locked", name, "--no-default-features", "--features", features]);
            cargo.arg("--root").arg(layout.cache.join(dir));
            child::run(cargo.env("LLVM_PREFIX", llvm).env("CARGO_TARGET_DIR", layout.target.join("tools")))
        }
    }
}
