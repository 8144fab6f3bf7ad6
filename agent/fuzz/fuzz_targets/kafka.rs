//! Hostile bytes for the Kafka decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::kafka::Kafka, bytes));
