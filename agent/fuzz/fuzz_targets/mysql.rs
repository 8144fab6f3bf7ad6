//! Hostile bytes for the `MySQL` decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::mysql::MySql, bytes));
