//! Hostile bytes for the FastCGI decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::fastcgi::FastCgi, bytes));
