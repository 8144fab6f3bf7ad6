//! Hostile bytes for the AMQP 0-9-1 decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::amqp::Amqp, bytes));
