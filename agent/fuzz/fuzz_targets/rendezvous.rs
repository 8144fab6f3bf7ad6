//! Hostile content of the store that agents meet at.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::rendezvous::entry::fuzz(bytes));
