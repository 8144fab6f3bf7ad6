//! Hostile bytes for the DNS decoder, as a connection and as a datagram.
#![no_main]
use wirespan::protocol::{Protocol as _, dns::Dns, testing};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    testing::fuzz(&Dns, bytes);
    let _ = Dns.datagram(bytes);
});
