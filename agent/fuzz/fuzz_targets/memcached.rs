//! Hostile bytes for the Memcached decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::memcached::Memcached, bytes));
