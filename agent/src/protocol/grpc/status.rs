//! Status codes of gRPC: numbers, HTTP statuses and HTTP/2 error codes become names, and errors of the side that they are errors of.

/// A status, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u8);

/// Names by number (`statuscodes.md` of the gRPC project).
pub const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Status {
    pub(super) const CANCELLED: Self = Self(1);
    pub(super) const UNKNOWN: Self = Self(2);
    pub(super) const DEADLINE_EXCEEDED: Self = Self(4);
    const PERMISSION_DENIED: Self = Self(7);
    const RESOURCE_EXHAUSTED: Self = Self(8);
    pub(super) const UNIMPLEMENTED: Self = Self(12);
    const INTERNAL: Self = Self(13);
    const UNAVAILABLE: Self = Self(14);
    const DATA_LOSS: Self = Self(15);
    const UNAUTHENTICATED: Self = Self(16);

    /// Reads a `grpc-status`; a number that has no name is `UNKNOWN`, as clients take it.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let number: u32 = std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()?;
        Some(u8::try_from(number).ok().filter(|number| usize::from(*number) < NAMES.len()).map_or(Self::UNKNOWN, Self))
    }

    /// What a client makes of a response that is not gRPC's (`http-grpc-status-mapping.md`).
    pub(super) fn of_http(status: u16) -> Self {
        match status {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    /// What a client makes of a stream that was reset (`PROTOCOL-HTTP2.md`, "HTTP2 Transport Mapping").
    pub(super) fn of_reset(code: u32) -> Self {
        match code {
            0x7 => Self::UNAVAILABLE,
            0x8 => Self::CANCELLED,
            0xb => Self::RESOURCE_EXHAUSTED,
            0xc => Self::PERMISSION_DENIED,
            _ => Self::INTERNAL,
        }
    }

    pub(super) fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }

    /// Whether it is an error of the client's span.
    pub(super) fn is_client_error(self) -> bool {
        self.0 != 0
    }

    /// Whether it is an error of the server's span: the others are the caller's doing.
    pub(super) fn is_server_error(self) -> bool {
        [Self::UNKNOWN, Self::DEADLINE_EXCEEDED, Self::UNIMPLEMENTED, Self::INTERNAL, Self::UNAVAILABLE, Self::DATA_LOSS].contains(&self)
    }
}
