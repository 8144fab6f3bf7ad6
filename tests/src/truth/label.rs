//! What requests and calls carry so that the truth is in their bytes: read from what wirespan says of them, after it has said it.
//!
//! A request is `/w/ID`. Its calls are `/b/ID/NUMBER` over HTTP, the method `/b.ID/NUMBER` of gRPC, `GET b:ID:NUMBER` to Redis and a
//! comment `/* b:ID:NUMBER */` in SQL. wirespan knows nothing of this.

/// Where request ids begin: those that count, those of the warm-up, and calls that no request caused.
pub const MEASURED: &str = "m";
/// See [`MEASURED`].
pub const WARM_UP: &str = "u";
/// See [`MEASURED`]: these do not count, and come more than once.
pub const STUDIED: &str = "s";
/// See [`MEASURED`].
pub const BACKGROUND: &str = "bg";

/// A call of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The request that caused it.
    pub request: String,
    /// Which of that request's calls it is.
    pub number: u32,
}

/// What a path or a command is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// A request to the workload.
    Request(String),
    /// A call of the workload.
    Call(Call),
}

impl Label {
    /// Reads a path such as `/w/m12` or `/b/m12/1`, a method such as `b.m12/1`, a Redis command such as `GET b:m12:1`, or a query that
    /// ends with `/* b:m12:1 */`.
    #[must_use]
    pub fn read(target: &str) -> Option<Self> {
        let call = |rest: &str, separator| {
            let (request, number) = rest.split_once(separator)?;
            Some(Self::Call(Call { request: request.to_owned(), number: number.parse().ok()? }))
        };
        if let Some(request) = target.strip_prefix("/w/") {
            return Some(Self::Request(request.to_owned()));
        }
        let method = target.strip_prefix('/').unwrap_or(target);
        if let Some(rest) = target.strip_prefix("/b/").or_else(|| method.strip_prefix("b.")) {
            return call(rest, '/');
        }
        let command = target.split_at_checked("GET b:".len()).filter(|(name, _)| name.eq_ignore_ascii_case("GET b:"));
        let query = || target.split_once("/* b:")?.1.strip_suffix(" */");
        call(command.map(|(_, rest)| rest).or_else(query)?, ':')
    }
}

impl Call {
    /// Whether no request caused it.
    #[must_use]
    pub fn is_background(&self) -> bool {
        self.request.starts_with(BACKGROUND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_calls_are_read_from_paths_methods_commands_and_queries() {
        let call = Some(Label::Call(Call { request: "m12".into(), number: 2 }));
        assert_eq!(Label::read("/w/u7"), Some(Label::Request("u7".into())));
        assert_eq!(Label::read("/b/m12/2"), call);
        for other in ["/b.m12/2", "b.m12/2", "GET b:m12:2", "get b:m12:2", "SELECT 1 /* b:m12:2 */"] {
            assert_eq!(Label::read(other), call, "{other}");
        }
        for other in ["", "/", "/b/m12", "/b/m12/x", "PING", "CLIENT SETINFO"] {
            assert_eq!(Label::read(other), None, "{other}");
        }
    }
}
