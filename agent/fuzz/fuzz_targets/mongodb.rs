//! Hostile bytes for the `MongoDB` decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::mongodb::MongoDb, bytes));
