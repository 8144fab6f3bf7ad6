//! Hostile bytes for the `PostgreSQL` decoder, and with it for the reader of statements.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirespan::protocol::testing::fuzz(&wirespan::protocol::postgresql::PostgreSql, bytes));
