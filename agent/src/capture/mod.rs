//! Where events come from: the kernel, a capture file, a recorded event file. One stream for everything after.
mod attach_error;
pub mod btf;
pub mod cgroup;
pub mod doctor;
pub mod event;
pub mod hooks;
pub mod kernel;
pub mod memory;
pub mod offsets;
pub mod pcap;
pub mod privilege;
pub mod recording;
mod walked;
pub mod wire;
