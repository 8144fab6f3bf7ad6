//! A router between network namespaces that translates the addresses and ports of both ends, and loses packets if it is told to.
//!
//! Each namespace has a TUN device `eth`: what leaves it is a packet of exactly the bytes on a wire, with its checksums and within the
//! MTU, because no offload is asked for. A thread a namespace takes packets from its device and puts them, translated, onto the others'.
//!
//! A service is reached at an address that nobody has. Its server sees the router as its client, and neither sees a port of the other.
mod table;

use crate::network::ip;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd as _;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use table::Table;
pub use table::{Counts, Weather};
use tun_rs::{DeviceBuilder, InterruptEvent, SyncDevice};

/// Longer than a packet of these devices.
const BUFFER: usize = 64 * 1024;

/// The router with its namespaces, all gone at its end.
pub struct Nat {
    namespaces: Vec<String>,
    table: Arc<Mutex<Table>>,
    stop: Arc<InterruptEvent>,
    threads: Vec<JoinHandle<()>>,
}

/// The address of a node in its namespace.
fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, node as u8 + 1, 2)
}

/// The router's address on a node's side.
fn gateway(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, node as u8 + 1, 1)
}

impl Nat {
    /// Makes a namespace for each name, and starts the router.
    pub fn between(names: &[&str], weather: Weather) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespaces: Vec<String> = names.iter().map(|name| format!("wirespan-{}-nat{number}-{name}", process::id())).collect();
        let table = Arc::new(Mutex::new(Table::new(weather)));
        let stop = Arc::new(InterruptEvent::new().expect("an event"));
        let mut nat = Self { namespaces, table, stop, threads: Vec::new() };
        let (ready, devices) = mpsc::channel();
        let mut starts = Vec::new();
        for (node, namespace) in nat.namespaces.iter().enumerate() {
            ip(&["netns", "add", namespace]);
            let (start, started) = mpsc::channel::<Arc<Vec<SyncDevice>>>();
            let (namespace, ready) = (namespace.clone(), ready.clone());
            let (table, stop) = (Arc::clone(&nat.table), Arc::clone(&nat.stop));
            starts.push(start);
            nat.threads.push(thread::spawn(move || {
                ready.send((node, device_in(&namespace))).expect("the router waits");
                if let Ok(devices) = started.recv() {
                    route(node, &devices, &table, &stop);
                }
            }));
        }
        let mut devices: Vec<_> = nat.namespaces.iter().map(|_| devices.recv().expect("a device")).collect();
        devices.sort_by_key(|(node, _)| *node);
        for (node, namespace) in nat.namespaces.iter().enumerate() {
            let (own, next) = (format!("{}/24", address(node)), gateway(node).to_string());
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
            ip(&["-n", namespace, "address", "add", &own, "dev", "eth"]);
            ip(&["-n", namespace, "link", "set", "eth", "up"]);
            ip(&["-n", namespace, "route", "add", "default", "via", &next, "dev", "eth"]);
        }
        let devices = Arc::new(devices.into_iter().map(|(_, device)| device).collect());
        for start in starts {
            start.send(Arc::clone(&devices)).expect("its thread waits");
        }
        nat
    }

    /// The namespace of a node.
    pub fn namespace(&self, node: usize) -> &str {
        &self.namespaces[node]
    }

    /// The address of a node in its own namespace, which no other node ever sees.
    pub fn address(&self, node: usize) -> Ipv4Addr {
        address(node)
    }

    /// Makes a service that listens on `port` of a node known, and gives the address at which the others reach it.
    pub fn publish(&self, node: usize, port: u16) -> SocketAddrV4 {
        let public = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, node as u8 + 1), port ^ 0x1111);
        self.table().publish(public, SocketAddrV4::new(address(node), port), node, gateway(node));
        public
    }

    /// What became of packets so far.
    pub fn counts(&self) -> Counts {
        self.table().counts()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        let _ = self.stop.trigger();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for namespace in &self.namespaces {
            let _ = crate::program::command("ip", &["netns", "delete", namespace]).status();
        }
    }
}

/// Moves this thread into a namespace and makes a device there.
fn device_in(namespace: &str) -> SyncDevice {
    let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace");
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("the namespace lets root in");
    DeviceBuilder::new().name("eth").inherit_enable_state().build_sync().expect("a TUN device")
}

/// Takes packets of a node until it is told to stop.
fn route(node: usize, devices: &[SyncDevice], table: &Mutex<Table>, stop: &InterruptEvent) {
    let mut buffer = vec![0; BUFFER];
    devices[node].set_nonblocking(true).expect("a device that does not block");
    while let Ok(length) = devices[node].recv_intr(&mut buffer, stop) {
        let packet = &mut buffer[..length];
        let routed = table.lock().unwrap_or_else(PoisonError::into_inner).route(node, packet);
        if let Some((to, copies)) = routed {
            for _ in 0..copies {
                // A full queue loses it, as on any network.
                let _ = devices[to].send(packet);
            }
        }
    }
}
