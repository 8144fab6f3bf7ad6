//! Debian packages of suites that this machine does not install from, each suite in an apt state of its own.
//!
//! Uses the mirror that the machine already uses, and the signatures that apt checks for every suite. Never changes the machine's
//! own package sources, and installs nothing.
use crate::child::{self, say};
use crate::layout::Layout;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The keys of Debian's archive, as its own package installs them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite's packages.
pub struct Suite {
    dir: PathBuf,
}

impl Suite {
    /// Fetches the suite's list of packages and checks its signature.
    pub fn open(suite: &str, layout: &Layout) -> Result<Self> {
        let mirror = mirror()?;
        let dir = layout.cache.join("apt").join(suite);
        for part in ["lists/partial", "archives/partial", "packages"] {
            fs::create_dir_all(dir.join(part)).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        fs::write(dir.join("sources.list"), format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))?;
        let suite_state = Self { dir };
        say(&format!("reading the packages of Debian {suite}"));
        let update = child::run(suite_state.apt("apt-get").args(["--quiet=2", "update"]));
        update.with_context(|| format!("the mirror {mirror} does not give a list of the packages of {suite}"))?;
        Ok(suite_state)
    }

    /// Downloads a package, in the newest version unless one is named, and gives the file. apt checks its hash.
    pub fn download(&self, package: &str, version: Option<&str>) -> Result<PathBuf> {
        let wanted = version.map_or_else(|| package.to_owned(), |version| format!("{package}={version}"));
        let place = self.dir.join("packages").join(&wanted);
        // Only this package is in it afterwards, whatever apt calls the file.
        fs::remove_dir_all(&place).ok();
        fs::create_dir_all(&place)?;
        child::run(self.apt("apt-get").args(["--quiet=2", "download", &wanted]).current_dir(&place))?;
        let file = fs::read_dir(&place)?.next().with_context(|| format!("apt-get downloaded no file for {wanted}"))?;
        Ok(file?.path())
    }

    /// The versions of a package that the suite offers, newest first.
    pub fn versions(&self, package: &str) -> Result<Vec<String>> {
        let text = child::output(self.apt("apt-cache").args(["madison", package]))?;
        Ok(text.lines().filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).collect())
    }

    /// The packages that `package` depends on and whose names begin with `prefix`.
    pub fn depends(&self, package: &str, prefix: &str) -> Result<Vec<String>> {
        let text = child::output(self.apt("apt-cache").args(["depends", package]))?;
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut option = |name: &str, value: &str| {
            command.args(["--option", &format!("{name}={value}")]);
        };
        let path = |part: &str| self.dir.join(part).display().to_string();
        option("Dir::Etc::sourcelist", &path("sources.list"));
        option("Dir::Etc::sourceparts", "-");
        option("Dir::State::lists", &path("lists"));
        option("Dir::State::status", "/dev/null");
        option("Dir::Cache", &self.dir.display().to_string());
        option("APT::Architecture", "amd64");
        option("APT::Architectures", "amd64");
        // The cache may lie in a home directory that apt's own user cannot enter.
        option("APT::Sandbox::User", "root");
        // A mirror that is not kept fresh still has what it signed, and old is what is asked for here.
        option("Acquire::Check-Valid-Until", "false");
        option("Acquire::Languages", "none");
        option("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false");
        command.stdin(Stdio::null());
        command
    }
}

/// The mirror of Debian's main archive that this machine installs from.
fn mirror() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or("bookworm").trim_matches('"');
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let files = std::iter::once(Path::new("/etc/apt/sources.list").to_owned()).chain(parts);
    let found = files.filter_map(|file| fs::read_to_string(file).ok()).find_map(|text| mirror_in(&text, codename));
    found.with_context(|| format!("no package source in /etc/apt has Debian {codename}: other suites are fetched from the same mirror"))
}

/// The address of a source that offers exactly the suite `codename`, in either format of apt's sources (`sources.list(5)`).
fn mirror_in(text: &str, codename: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let one_line = lines.clone().filter_map(|line| line.strip_prefix("deb ")).find_map(|line| {
        // Options stand in brackets before the address and may contain spaces.
        let line = line.trim_start();
        let line = line.strip_prefix('[').map_or(Some(line), |rest| rest.split_once(']').map(|(_, line)| line))?;
        let mut words = line.split_whitespace();
        let address = words.next()?;
        (words.next()? == codename).then(|| address.to_owned())
    });
    one_line.or_else(|| {
        // Stanzas are divided by empty lines; a comment may stand inside one.
        let lines: Vec<&str> = lines.collect();
        lines.split(|line| line.is_empty()).find_map(|stanza| {
            let field = |name: &str| stanza.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let offers = field("Suites:")?.split_whitespace().any(|suite| suite == codename);
            offers.then(|| field("URIs:")?.split_whitespace().next().map(str::to_owned))?
        })
    })
}

#[cfg(test)]
mod tests {
    use super::mirror_in;

    #[test]
    fn the_mirror_is_the_source_of_the_suite_itself_not_of_its_security_updates() {
        let stanzas = "Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\n\n\
            Types: deb\n# as of spring\nURIs: http://mirror.example/debian http://second.example/debian\nSuites: bookworm bookworm-updates\n";
        assert_eq!(mirror_in(stanzas, "bookworm").as_deref(), Some("http://mirror.example/debian"));
        assert_eq!(mirror_in(stanzas, "trixie"), None);
    }

    #[test]
    fn the_mirror_is_found_in_one_line_sources() {
        let lines = "# deb http://old.example/debian bookworm main\ndeb http://mirror.example/security bookworm-security main\n\
            deb [arch=amd64 signed-by=/a.gpg] http://mirror.example/debian bookworm main contrib\n";
        assert_eq!(mirror_in(lines, "bookworm").as_deref(), Some("http://mirror.example/debian"));
        assert_eq!(mirror_in("deb [broken", "bookworm"), None);
    }
}
