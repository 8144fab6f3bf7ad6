//! Hostile bytes for the AMQP 1.0 decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::amqp1::Amqp1, bytes));
