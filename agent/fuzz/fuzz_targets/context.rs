//! Hostile headers for the readers of trace context and baggage.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::context::testing::fuzz(bytes));
