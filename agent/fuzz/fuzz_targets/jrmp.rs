//! Hostile bytes for the JRMP decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::jrmp::Jrmp, bytes));
