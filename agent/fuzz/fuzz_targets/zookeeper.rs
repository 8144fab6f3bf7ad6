//! Hostile bytes for the ZooKeeper decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::zookeeper::ZooKeeper, bytes));
