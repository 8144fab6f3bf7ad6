//! The pinned kernels: read from `kernels.txt`, fetched from Debian's archive, kept in the cache.
use crate::child::{self, say};
use crate::debian::Suite;
use crate::layout::Layout;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file with the pins, as it is named to people.
const PINS: &str = "xtask/kernels.txt";

/// One line of `kernels.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The first two numbers of its release, such as `6.12`.
    pub series: String,
    /// The Debian suite that has it.
    suite: String,
    /// The package with the image.
    package: String,
    /// The package's version.
    version: String,
    /// The SHA-256 of the package file, in hexadecimal.
    sha256: String,
    /// QEMU's `-cpu`.
    pub cpu: String,
}

/// The pinned kernels, or those whose series are named.
pub fn pinned(series: &[String]) -> Result<Vec<Kernel>> {
    let all = parse(include_str!("../../kernels.txt"))?;
    if let Some(unknown) = series.iter().find(|name| !all.iter().any(|kernel| kernel.series == **name)) {
        let known: Vec<_> = all.iter().map(|kernel| kernel.series.as_str()).collect();
        bail!("no kernel {unknown} is pinned in {PINS}; there are {}", known.join(", "));
    }
    Ok(all.into_iter().filter(|kernel| series.is_empty() || series.contains(&kernel.series)).collect())
}

fn parse(text: &str) -> Result<Vec<Kernel>> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let kernels = lines.map(|(at, line)| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let words: Result<[String; 6], _> = words.try_into();
        let Ok([series, suite, package, version, sha256, cpu]) = words else {
            bail!("{PINS}, line {}: expected series, suite, package, version, SHA-256 and CPU", at + 1);
        };
        Ok(Kernel { series, suite, package, version, sha256, cpu })
    });
    kernels.collect()
}

impl Kernel {
    /// The kernel's image, from the cache or else from the archive.
    ///
    /// A package file with the pinned version has the pinned hash, or it is an error. Where the suite has moved on, what it has now is
    /// tried instead, and the line to write into the file is said: a test of an old commit must not fail because Debian moved.
    pub fn fetch(&self, layout: &Layout) -> Result<PathBuf> {
        let kernels = layout.cache.join("kernels");
        let image = kernels.join(format!("{}_{}", self.package, self.version));
        if image.is_file() {
            return Ok(image);
        }
        let suite = Suite::open(&self.suite, layout).with_context(|| format!("the suite of kernel {} in {PINS}", self.series))?;
        let (deb, image) = if suite.versions(&self.package)?.contains(&self.version) {
            let deb = suite.download(&self.package, Some(&self.version))?;
            let found = sha256(&deb)?;
            if found != self.sha256 {
                bail!("{} {} has SHA-256 {found}, but {PINS} says {}", self.package, self.version, self.sha256);
            }
            (deb, image)
        } else {
            let (package, version) = self.offered_now(&suite)?;
            let deb = suite.download(&package, Some(&version))?;
            let line = [&self.series, &self.suite, &package, &version, &sha256(&deb)?, &self.cpu].map(String::as_str).join(" ");
            say(&format!(
                "Debian {} no longer has {} {}; trying its present kernel. Pin it in {PINS}: {line}",
                self.suite, self.package, self.version
            ));
            (deb, kernels.join(format!("{package}_{version}")))
        };
        fs::create_dir_all(&kernels)?;
        extract(&deb, &image).with_context(|| format!("cannot unpack {}", deb.display()))?;
        Ok(image)
    }

    /// The package and version that the suite's own default kernel has now. In newer suites that package is empty and depends on one
    /// with the image, called `linux-binary-...`.
    fn offered_now(&self, suite: &Suite) -> Result<(String, String)> {
        let newest = suite.depends("linux-image-cloud-amd64", "linux-image-")?.pop();
        let image = newest.with_context(|| {
            format!("Debian {} has no kernel {} {} and no other: choose another suite in {PINS}", self.suite, self.package, self.version)
        })?;
        let package = suite.depends(&image, "linux-binary-")?.pop().unwrap_or(image);
        let version = suite.versions(&package)?.into_iter().next();
        Ok((package.clone(), version.with_context(|| format!("Debian {} has no {package}", self.suite))?))
    }
}

/// Takes the one image out of a package: `boot/vmlinuz-RELEASE`, in newer ones `usr/lib/modules/RELEASE/vmlinuz`.
fn extract(deb: &Path, image: &Path) -> Result<()> {
    let scratch = image.with_extension("unpacked");
    fs::remove_dir_all(&scratch).ok();
    child::run(Command::new("dpkg-deb").arg("--extract").args([deb, &scratch]))?;
    let found = child::output(Command::new("find").arg(&scratch).args(["-type", "f", "-name", "vmlinuz*"]))?;
    let found = found.lines().next().context("there is no vmlinuz in it")?;
    // The name appears only when the file is whole: that it exists means that it can be used.
    fs::rename(found, image)?;
    fs::remove_dir_all(&scratch)?;
    Ok(())
}

fn sha256(file: &Path) -> Result<String> {
    let line = child::output(Command::new("sha256sum").arg(file))?;
    Ok(line.split_whitespace().next().context("sha256sum said nothing")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_kernels_cover_the_series_that_the_design_names() {
        let kernels = pinned(&[]).unwrap();
        let series: Vec<_> = kernels.iter().map(|kernel| kernel.series.as_str()).collect();
        assert!(["5.10", "6.1", "6.12"].iter().all(|needed| series.contains(needed)), "{series:?}");
        for kernel in kernels {
            assert!(kernel.version.starts_with(&format!("{}.", kernel.series)), "{kernel:?}");
            assert!(kernel.package.ends_with("-cloud-amd64"), "{kernel:?}");
            assert_eq!((kernel.sha256.len(), kernel.sha256.chars().all(|digit| digit.is_ascii_hexdigit())), (64, true), "{kernel:?}");
        }
    }

    #[test]
    fn a_line_is_a_pin_and_a_broken_one_is_named() {
        let kernel = |series: &str| Kernel {
            series: series.into(),
            suite: "sid".into(),
            package: "linux".into(),
            version: "1-1".into(),
            sha256: "ab".into(),
            cpu: "max".into(),
        };
        assert_eq!(parse("# why\n\n7.2 sid  linux 1-1 ab max\n7.3 sid linux 1-1 ab max\n").unwrap(), [kernel("7.2"), kernel("7.3")]);
        let error = parse("7.2 sid linux 1-1 ab max\n7.3 sid linux 1-1 ab\n").unwrap_err();
        assert_eq!(error.to_string(), "xtask/kernels.txt, line 2: expected series, suite, package, version, SHA-256 and CPU");
    }

    #[test]
    fn an_unknown_series_is_answered_with_the_known_ones() {
        let error = pinned(&["2.6".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("no kernel 2.6 is pinned in xtask/kernels.txt; there are 5.10, "), "{error}");
    }
}
