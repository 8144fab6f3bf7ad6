//! Hostile bytes for the HTTP/1 decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::http1::Http1, bytes));
