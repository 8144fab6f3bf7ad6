//! Hostile bytes for the Dubbo decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::dubbo::Dubbo, bytes));
