//! The machine becomes the `host.*` and `os.*` attributes, and with a process its `service.instance.id`.
//!
//! Read once at the start. In a container that sees the host's processes, the host is told from the container by process 1.
use super::environment::clean;
use super::process::read_bounded;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Longest of the small files read here, bytes.
const FILE: u64 = 4096;
/// Longest host name, bytes (hostname(7)).
const NAME: usize = 253;
/// Name space of `service.instance.id` (semantic conventions, `service` resource).
const INSTANCE_NAMESPACE: [u8; 16] = [0x4d, 0x63, 0x00, 0x9a, 0x8d, 0x0f, 0x11, 0xee, 0xaa, 0xd7, 0x4c, 0x79, 0x6e, 0xd8, 0xe3, 0x20];

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// `host.name`; empty if unknown.
    pub name: String,
    /// `host.id`: the machine id of systemd (machine-id(5)), 32 hexadecimal digits; empty if unknown.
    pub id: String,
    /// `host.arch`, in the words of the conventions.
    pub arch: String,
    /// Random id of this boot; empty if unknown. Start times of processes count from it.
    pub boot: String,
}

impl Host {
    /// Reads the machine below `proc`, normally `/proc`. What cannot be read stays empty.
    #[must_use]
    pub fn read(proc: &Path) -> Self {
        let text = |path: &Path| read_bounded(path, FILE).map(|bytes| clean(&String::from_utf8_lossy(&bytes), NAME)).unwrap_or_default();
        let init = proc.join("1/root/etc");
        let namespace = |process: &str| std::fs::read_link(proc.join(process).join("ns/uts")).ok();
        // sysctl names the reader's UTS namespace, which is the host's only if process 1 shares it.
        let own = namespace("1").is_none_or(|of_init| namespace("self").is_none_or(|of_self| of_self == of_init));
        let name = if own { text(&proc.join("sys/kernel/hostname")) } else { text(&init.join("hostname")) };
        let is_id = |id: &String| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let id = [init.join("machine-id").as_path(), Path::new("/etc/machine-id")].map(text).into_iter().find(is_id).unwrap_or_default();
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "x86",
            other => other,
        };
        Self { name, id, arch: arch.to_owned(), boot: text(&proc.join("sys/kernel/random/boot_id")) }
    }

    /// `service.instance.id` of a process: a UUID (RFC 9562 section 5.5, version 5) of host id, process id and start time, so that
    /// it is the same however often the agent starts. `start_ticks` as in [`super::process::ProcessInfo`].
    #[must_use]
    pub fn instance_id(&self, pid: u32, start_ticks: u64) -> String {
        let host = if self.id.is_empty() { &self.name } else { &self.id };
        uuid5(&format!("{host}/{pid}/{}/{start_ticks}", self.boot))
    }
}

fn uuid5(name: &str) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(&INSTANCE_NAMESPACE);
    hash.update(name.as_bytes());
    let mut hex = hash.digest().to_string();
    hex.truncate(32);
    let variant = hex.get(16..17).and_then(|digit| u8::from_str_radix(digit, 16).ok()).map_or(8, |digit| digit & 3 | 8);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or("");
    format!("{}-{}-5{}-{variant:x}{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_are_version_5_uuids() {
        // python3 -c "import uuid; print(uuid.uuid5(uuid.UUID('4d63009a-8d0f-11ee-aad7-4c796ed8e320'), 'h/71/b/12345'))"
        let host = Host { id: "h".to_owned(), boot: "b".to_owned(), ..Host::default() };
        assert_eq!(host.instance_id(71, 12345), "4a0f3912-c965-5537-b1a1-f8f9420d2e75");
        let unnamed = Host { name: "h".to_owned(), boot: "b".to_owned(), ..Host::default() };
        assert_eq!(unnamed.instance_id(71, 12345), host.instance_id(71, 12345));
        assert_ne!(host.instance_id(71, 12346), host.instance_id(71, 12345));
    }

    #[test]
    fn this_machine_has_a_name_an_id_and_a_boot() {
        let host = Host::read(Path::new("/proc"));
        assert_eq!(host.boot.len(), 36);
        assert!(!host.name.is_empty() && (host.id.is_empty() || host.id.len() == 32));
    }
}
