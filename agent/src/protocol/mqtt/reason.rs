//! Reason codes by their names (section 2.4 of version 5, section 3.2.2.3 of 3.1.1).

/// From here on, codes are errors.
pub(super) const FIRST_ERROR: u8 = 0x80;

/// Names of the errors of version 5, from [`FIRST_ERROR`] on.
const ERRORS: [&str; 35] = [
    "Unspecified error",
    "Malformed Packet",
    "Protocol Error",
    "Implementation specific error",
    "Unsupported Protocol Version",
    "Client Identifier not valid",
    "Bad User Name or Password",
    "Not authorized",
    "Server unavailable",
    "Server busy",
    "Banned",
    "Server shutting down",
    "Bad authentication method",
    "Keep Alive timeout",
    "Session taken over",
    "Topic Filter invalid",
    "Topic Name invalid",
    "Packet Identifier in use",
    "Packet Identifier not found",
    "Receive Maximum exceeded",
    "Topic Alias invalid",
    "Packet too large",
    "Message rate too high",
    "Quota exceeded",
    "Administrative action",
    "Payload format invalid",
    "Retain not supported",
    "QoS not supported",
    "Use another server",
    "Server moved",
    "Shared Subscriptions not supported",
    "Connection rate exceeded",
    "Maximum connect time",
    "Subscription Identifiers not supported",
    "Wildcard Subscriptions not supported",
];

/// Names of the codes with which a server of version 3 refuses a connection, from 1 on.
const REFUSED: [&str; 5] =
    ["Unsupported Protocol Version", "Client Identifier not valid", "Server unavailable", "Bad User Name or Password", "Not authorized"];

/// Whether version 5 has such a code.
pub(super) fn is_known(code: u8) -> bool {
    matches!(code, 0..=2 | 4 | 16..=19 | 24 | 25) || error(code).is_some()
}

/// The name of a code that is an error.
pub(super) fn error(code: u8) -> Option<&'static str> {
    ERRORS.get(usize::from(code.checked_sub(FIRST_ERROR)?)).copied()
}

/// The same for the answer to `CONNECT`, where the codes of version 3 are errors, too: those of version 5 are not that small.
pub(super) fn refused(code: u8) -> Option<&'static str> {
    let small = || REFUSED.get(usize::from(code.checked_sub(1)?)).copied();
    error(code).or_else(small)
}
