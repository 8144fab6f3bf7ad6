//! Hostile bytes for the HTTP/2 decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::http2::Http2, bytes));
