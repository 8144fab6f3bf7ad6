//! A cgroup path becomes the id of the container, and the name of the systemd unit, that a process runs in.
//!
//! Pure: it reads the text of `/proc/PID/cgroup` and nothing else, and asks no container runtime. The text names what an
//! administrator or a runtime created, so it is judged by its form alone.

/// Characters of a container id of Docker, containerd, CRI-O and Podman: a SHA-256 in hexadecimal.
const ID: usize = 64;
/// Characters of the first part of a Fargate container id, `<task>-<number>`.
const FARGATE_TASK: usize = 32;

/// The path in the v2 hierarchy of a `/proc/PID/cgroup` file, else that of systemd's own v1 hierarchy, else the first one.
///
/// On a hybrid host v2 may be unused while v1 holds everything, so a bare `/` gives way to a longer path.
#[must_use]
pub fn path(cgroup_file: &str) -> Option<&str> {
    let mut lines: Vec<(&str, &str)> = cgroup_file.lines().filter_map(split).collect();
    lines.sort_by_key(|&(controllers, path)| (path == "/", rank(controllers)));
    lines.first().map(|&(_, path)| path)
}

fn rank(controllers: &str) -> u8 {
    match controllers {
        "" => 0,
        "name=systemd" => 1,
        _ => 2,
    }
}

/// `hierarchy:controllers:path` (cgroups(7)) without its first field.
fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once(':')?.1.split_once(':')
}

/// The id of the innermost container that a `/proc/PID/cgroup` file names, in any hierarchy.
#[must_use]
pub fn id(cgroup_file: &str) -> Option<&str> {
    cgroup_file.lines().filter_map(split).find_map(|(_, path)| path.rsplit('/').find_map(id_of_segment))
}

/// The id in one part of a path: bare, or as `<runtime>-<id>.scope`, or as containerd's `<slice>:<runtime>:<id>`.
fn id_of_segment(segment: &str) -> Option<&str> {
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    if let Some((task, number)) = name.split_once('-')
        && is_hex(task, FARGATE_TASK)
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        return Some(name);
    }
    let (owner, id) = name.rfind(['-', ':']).map_or(("", name), |at| (name.get(..at).unwrap_or(""), name.get(at + 1..).unwrap_or("")));
    // conmon watches a container from outside it.
    (is_hex(id, ID) && !owner.ends_with("conmon")).then_some(id)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The systemd service that a cgroup path lies in, innermost first, without `.service`; not a user's service manager.
#[must_use]
pub fn service_unit(path: &str) -> Option<&str> {
    path.rsplit('/').filter_map(|segment| segment.strip_suffix(".service")).find(|unit| !unit.starts_with("user@") && !unit.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3f1c9a0d7e5b48261f0c9a8b7d6e5f40312233445566778899aabbccddeeff00";
    const B: &str = "00ffeeddccbbaa998877665544332211403f5e6d7b8a9c0f1628b45e7d0a9c1f";

    #[test]
    fn ids_are_found_in_the_paths_of_all_runtimes() {
        let found = [
            format!("0::/system.slice/docker-{A}.scope"),
            format!("12:memory:/docker/{A}\n0::/"),
            format!("0::/docker/{A}/init.scope"),
            format!("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod9d1f.slice/cri-containerd-{A}.scope"),
            format!("11:cpu,cpuacct:/kubepods/besteffort/pod2f7c0a52-1c7f-4a40-9f3d-1b0f0d6a1f11/{A}"),
            format!("0::/kubepods.slice/kubepods-pod9d1f.slice/crio-{A}.scope/container"),
            format!("0::/system.slice/containerd.service/kubepods-burstable-pod9d1f.slice:cri-containerd:{A}"),
            format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container"),
            format!("0::/machine.slice/libpod-{A}.scope"),
            format!("9:cpuset:/ecs/cluster/0123456789abcdef0123456789abcdef/{A}"),
            format!("0::/../../kubepods-pod9d1f.slice/cri-containerd-{A}.scope"),
            format!("0::/docker/{B}/kubelet.slice/kubelet-kubepods.slice/cri-containerd-{A}.scope"),
        ];
        for file in &found {
            assert_eq!(id(file), Some(A), "{file}");
        }
        assert_eq!(id("8:pids:/ecs/0123456789abcdef0123456789abcdef-1234567890"), Some("0123456789abcdef0123456789abcdef-1234567890"));
    }

    #[test]
    fn paths_without_a_container_have_no_id() {
        let upper = A.to_uppercase();
        for file in [
            "",
            "0::/",
            "0::/system.slice/nginx.service",
            "garbage",
            "0::/user.slice/user-1000.slice/session-2.scope",
            &format!("0::/machine.slice/libpod-conmon-{A}.scope"),
            &format!("0::/x/{}", &A[1..]),
            &format!("0::/x/{upper}"),
            "4:memory:/process_api/c4a82bcdb857042f3107dfe1a424e2f9",
        ] {
            assert_eq!(id(file), None, "{file}");
        }
    }

    #[test]
    fn the_path_is_the_v2_one_unless_v2_is_unused() {
        assert_eq!(path("4:memory:/a\n1:name=systemd:/b\n0::/c"), Some("/c"));
        assert_eq!(path("4:memory:/a\n1:name=systemd:/b\n0::/"), Some("/b"));
        assert_eq!(path("4:memory:/a:b\n1:name=systemd:/\n0::/"), Some("/a:b"));
        assert_eq!(path("0::/"), Some("/"));
        assert_eq!(path("nonsense"), None);
    }

    #[test]
    fn units_are_services_and_not_the_managers_of_users() {
        assert_eq!(service_unit("/system.slice/nginx.service"), Some("nginx"));
        assert_eq!(service_unit("/system.slice/system-redis.slice/redis@a.service/worker"), Some("redis@a"));
        assert_eq!(service_unit("/user.slice/user-1000.slice/user@1000.service/app.slice/orders.service"), Some("orders"));
        assert_eq!(service_unit("/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope"), None);
        assert_eq!(service_unit("/"), None);
    }
}
