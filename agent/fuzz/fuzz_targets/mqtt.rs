//! Hostile bytes for the MQTT decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::mqtt::Mqtt, bytes));
