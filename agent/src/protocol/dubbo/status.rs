//! Statuses of responses by their numbers (Dubbo's protocol reference).

/// The method was called, whatever came of it.
pub(super) const OK: u8 = 20;

/// The name of a status.
pub(super) fn name(status: u8) -> Option<&'static str> {
    Some(match status {
        OK => "OK",
        25 => "SERIALIZATION_ERROR",
        30 => "CLIENT_TIMEOUT",
        31 => "SERVER_TIMEOUT",
        35 => "CHANNEL_INACTIVE",
        40 => "BAD_REQUEST",
        50 => "BAD_RESPONSE",
        60 => "SERVICE_NOT_FOUND",
        70 => "SERVICE_ERROR",
        80 => "SERVER_ERROR",
        90 => "CLIENT_ERROR",
        100 => "SERVER_THREADPOOL_EXHAUSTED_ERROR",
        _ => return None,
    })
}

/// Whether it is the server's fault, as the semantic conventions see it.
pub(super) fn is_servers(status: u8) -> bool {
    matches!(status, 31 | 70 | 80 | 100)
}
