//! Hostile bytes for the Thrift decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::thrift::Thrift, bytes));
