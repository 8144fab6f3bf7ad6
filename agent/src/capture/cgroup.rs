//! Where the cgroup v2 hierarchy is, and which of its directories the packet programs attach to.
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The mounts that this process sees.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Why there is no cgroup to attach to.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The list of mounts could not be read.
    #[error("cannot read {MOUNTS}: {0}")]
    Mounts(#[source] io::Error),
    /// There is no cgroup v2 hierarchy.
    #[error("no cgroup v2 hierarchy is mounted; mount one with: mount -t cgroup2 none /sys/fs/cgroup")]
    NotMounted,
    /// The path that was asked for is not a directory of the hierarchy.
    #[error("{path} is not a directory of the cgroup v2 hierarchy at {root}; it must be absolute below it, or relative to it")]
    NotInside {
        /// What was asked for.
        path: PathBuf,
        /// Where the hierarchy is mounted.
        root: PathBuf,
    },
}

/// Finds the directory of the cgroup v2 hierarchy that `path` names, the root of the hierarchy without a path.
pub fn directory(path: Option<&Path>) -> Result<PathBuf, CgroupError> {
    let root = root_in(&std::fs::read(MOUNTS).map_err(CgroupError::Mounts)?).ok_or(CgroupError::NotMounted)?;
    let Some(path) = path else { return Ok(root) };
    let inside = resolve(&root, path).filter(|directory| directory.is_dir());
    inside.ok_or_else(|| CgroupError::NotInside { path: path.to_owned(), root })
}

/// The mount point of the cgroup v2 hierarchy in the text of a `mountinfo` file (proc(5)). Where it is mounted more than once, the
/// mount that shows most of it, and of those the first: a container with a cgroup namespace sees the host's, mounted into it, as a
/// mount of `/..`.
#[must_use]
pub fn root_in(mountinfo: &[u8]) -> Option<PathBuf> {
    let mut best: Option<(isize, PathBuf)> = None;
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let (Some(shown), Some(mount)) = (fields.by_ref().nth(3), fields.next()) else { continue };
        // Optional fields end with a lone dash; the type of the file system follows.
        if fields.by_ref().find(|field| *field == b"-").is_none() || fields.next() != Some(b"cgroup2") {
            continue;
        }
        let above = shown.split(|byte| *byte == b'/').filter(|part| *part == b"..").count();
        let shown = if above > 0 { -above.cast_signed() } else { unescaped(shown).len().cast_signed() };
        if best.as_ref().is_none_or(|(least, _)| shown < *least) {
            best = Some((shown, PathBuf::from(OsStr::from_bytes(&unescaped(mount)))));
        }
    }
    best.map(|(_, mount)| mount)
}

/// `path` below `root`: absolute below it already, else relative to it, with or without a leading slash as `/proc/PID/cgroup` has it.
fn resolve(root: &Path, path: &Path) -> Option<PathBuf> {
    if path.components().any(|component| component == Component::ParentDir) {
        return None;
    }
    let relative = path.strip_prefix(root).or_else(|_| path.strip_prefix("/")).unwrap_or(path);
    Some(root.join(relative))
}

/// Undoes the octal escapes of white space and backslashes.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match (value, after.get(3..)) {
            (Some(byte), Some(following)) => (plain.push(byte), rest = following).1,
            _ => (plain.push(*first), rest = after).1,
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:10 master:2 - cgroup2 cgroup2 rw
";

    #[test]
    fn the_hierarchy_is_found_where_it_is_mounted() {
        let pure = b"29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(root_in(pure), Some("/sys/fs/cgroup".into()));
        assert_eq!(root_in(HYBRID), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(root_in(b"25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\nshort line\n"), None);
    }

    #[test]
    fn a_mount_of_a_part_is_second_choice_and_escapes_are_undone() {
        let text = b"1 2 0:26 /kubepods/pod1 /pod rw - cgroup2 cgroup2 rw\n2 2 0:26 / /mnt/with\\040space rw - cgroup2 none rw\n";
        assert_eq!(root_in(text), Some("/mnt/with space".into()));
    }

    #[test]
    fn the_hosts_hierarchy_inside_a_container_is_first_choice() {
        let text = b"1 2 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n2 2 0:26 /../.. /host/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(root_in(text), Some("/host/cgroup".into()));
    }

    #[test]
    fn a_path_is_absolute_below_the_root_or_relative_to_it() {
        let root = Path::new("/sys/fs/cgroup");
        let names = ["/sys/fs/cgroup/system.slice", "system.slice", "/system.slice", "..", "/sys/fs/cgroup/../x"];
        let expected = Some(PathBuf::from("/sys/fs/cgroup/system.slice"));
        let found = names.map(|path| resolve(root, Path::new(path)));
        assert_eq!(found, [expected.clone(), expected.clone(), expected, None, None]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = root_in(&text);
        }
    }
}
