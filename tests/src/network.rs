//! Two network namespaces with a cable between them.
use crate::program::{command, run};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Address of the namespace [`Network::client`], of those set aside for benchmarks (RFC 2544).
pub const CLIENT: &str = "198.18.0.1";
/// Address of the namespace [`Network::server`].
pub const SERVER: &str = "198.18.0.2";

/// Two namespaces, gone at its end.
#[derive(Debug)]
pub struct Network {
    /// Name of the one with the address [`CLIENT`].
    pub client: String,
    /// Name of the one with the address [`SERVER`].
    pub server: String,
}

impl Network {
    /// Makes both, and a pair of virtual Ethernet devices between them.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("wirespan-{}-{number}-{end}", process::id());
        let network = Self { client: name("client"), server: name("server") };
        for namespace in [&network.client, &network.server] {
            ip(&["netns", "add", namespace]);
        }
        ip(&["link", "add", "eth", "netns", &network.client, "type", "veth", "peer", "name", "eth", "netns", &network.server]);
        for (namespace, address) in [(&network.client, CLIENT), (&network.server, SERVER)] {
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", "eth"]);
            for device in ["eth", "lo"] {
                ip(&["-n", namespace, "link", "set", device, "up"]);
            }
        }
        network
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.client, &self.server] {
            let _ = command("ip", &["netns", "delete", namespace]).status();
        }
    }
}

/// Runs `ip`.
pub(crate) fn ip(args: &[&str]) {
    run(command("ip", args));
}
