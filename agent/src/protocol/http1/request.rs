//! A request's head becomes a [`Request`] and what its response needs to know. Of its headers only those named here are looked at;
//! credentials never leave.
use super::authority::{Authority, cut, first_client};
use super::framing::Framing;
use super::head::{LONGEST_METHOD, Version, is_plain, is_token, lines, version};
use crate::protocol::attribute::Attribute;
use crate::protocol::context::{Carried, Finder};
use crate::protocol::grpc::Call;
use crate::protocol::search::{Search, System};
use crate::protocol::{Kind, Request, redact, telemetry};
use crate::semconv;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

/// Methods that a span may be named by, as the semantic conventions list them.
const KNOWN_METHODS: &[&str] = &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY"];
/// Bytes of an attribute's text that are kept: no tool shows more, and one URL must not outweigh a thousand spans.
const LONGEST_TEXT: usize = 8 * 1024;
/// Longest scheme of an absolute target.
const LONGEST_SCHEME: usize = 16;

/// The stream on which a request is answered that asks to go on with HTTP/2 (RFC 7540 section 3.2), if the server agrees.
const UPGRADED: u64 = 1;

/// What a response needs to know of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The response may have a body.
    Content,
    /// The response has none.
    Head,
    /// A response of success makes the connection a tunnel.
    Tunnel,
    /// The response may have a body, or be the beginning of HTTP/2.
    Upgrade,
    /// The response may have a body, or be the beginning of a WebSocket.
    WebSocket,
}

/// What the request of a response was, where its body says something of that.
#[derive(Debug)]
pub(super) enum About {
    /// A call of gRPC-Web.
    Call(Box<Call>),
    /// What a search server would understand.
    Search(Box<Search>),
}

/// A request line (RFC 9112 section 3).
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    method: &'a str,
    target: Target<'a>,
    version: &'static str,
}

/// A request target (RFC 9112 section 3.2).
#[derive(Debug, PartialEq)]
pub(in crate::protocol) enum Target<'a> {
    /// Path and query.
    Origin(&'a [u8]),
    /// Scheme, authority, path and query.
    Absolute(&'a str, Authority<'a>, &'a [u8]),
    /// Where a tunnel shall lead.
    Authority(Authority<'a>),
    /// The server itself.
    Asterisk,
}

impl<'a> Line<'a> {
    /// Reads a complete request line, without its end.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.split(|b| *b == b' ');
        let (method, target, Version::Whole(version)) = (parts.next()?, parts.next()?, version(parts.next()?)?) else { return None };
        let plain = is_method(method) && !method.is_empty() && parts.next().is_none() && is_plain(target);
        let method = std::str::from_utf8(method).ok().filter(|_| plain)?;
        Some(Self { method, target: Target::read(target, method == "CONNECT")?, version })
    }

    /// Whether an unfinished line can become a request line.
    pub(super) fn is_prefix(line: &[u8]) -> bool {
        let mut parts = line.split(|b| *b == b' ');
        let method = parts.next().is_some_and(is_method) && line.first() != Some(&b' ');
        let target = parts
            .next()
            .is_none_or(|target| is_plain(target) && target.first().is_none_or(|b| b"/*[".contains(b) || b.is_ascii_alphanumeric()));
        let version = parts.next().is_none_or(|part| version(part).is_some());
        method && target && version && parts.next().is_none()
    }

    /// What a response needs to know.
    pub(super) fn asked(&self) -> Asked {
        match self.method {
            "HEAD" => Asked::Head,
            "CONNECT" => Asked::Tunnel,
            _ => Asked::Content,
        }
    }
}

impl<'a> Target<'a> {
    /// The target that the pseudo-header fields of HTTP/2 say (RFC 9113 section 8.3.1); `None` if they say none.
    pub(in crate::protocol) fn of_fields(
        method: &str,
        scheme: Option<&'a [u8]>,
        authority: Option<&'a [u8]>,
        path: Option<&'a [u8]>,
    ) -> Option<Self> {
        let authority = authority.and_then(Authority::read);
        if let ("CONNECT", None) = (method, path) {
            return authority.map(Self::Authority);
        }
        let path = path.filter(|path| is_plain(path))?;
        let scheme = scheme.map_or(Some("http"), |scheme| std::str::from_utf8(scheme).ok());
        match (path, authority, scheme) {
            (b"*", ..) => Some(Self::Asterisk),
            ([b'/', ..], Some(authority), Some(scheme @ ("http" | "https"))) => Some(Self::Absolute(scheme, authority, path)),
            ([b'/', ..], ..) => Some(Self::Origin(path)),
            _ => None,
        }
    }

    fn read(target: &'a [u8], tunnel: bool) -> Option<Self> {
        match target {
            [b'/', ..] => Some(Self::Origin(target)),
            b"*" => Some(Self::Asterisk),
            _ if tunnel => Authority::read(target).map(Self::Authority),
            _ => {
                let colon = target.iter().take(LONGEST_SCHEME + 1).position(|b| *b == b':')?;
                let (scheme, rest) = target.split_at_checked(colon)?;
                let rest = rest.strip_prefix(b"://")?;
                let scheme = std::str::from_utf8(scheme).ok().filter(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric()))?;
                let (authority, path) = rest.split_at(rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len()));
                Some(Self::Absolute(scheme, Authority::read(authority)?, path))
            }
        }
    }
}

impl Target<'_> {
    /// Path and query, if it has any.
    fn path(&self) -> &[u8] {
        match self {
            Self::Origin(path) | Self::Absolute(_, _, path) => path,
            Self::Authority(_) | Self::Asterisk => b"",
        }
    }
}

/// Whether an `Upgrade` asks for a protocol.
fn asks_for(value: Option<&[u8]>, wanted: &[u8]) -> bool {
    value.is_some_and(|value| value.split(|b| *b == b',').any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(wanted)))
}

fn is_method(bytes: &[u8]) -> bool {
    bytes.len() <= LONGEST_METHOD && bytes.iter().all(|b| is_token(*b))
}

/// Reads a head that begins with a request line. `None` if it is no request, or no peer can agree on where it ends.
///
/// `server` stands in for a missing `Host`, and is known to be this `search` server. Of an unfinished head, `framing` must be given the
/// lines that follow.
pub(super) fn read(
    head: &[u8],
    framing: &mut Framing,
    server: SocketAddr,
    search: Option<System>,
) -> Option<(Request, Asked, Option<About>)> {
    let mut lines = lines(head);
    let line = Line::read(lines.next()?)?;
    let mut fields = Fields::default();
    for text in lines {
        if let Some((name, value)) = framing.line(text).ok()? {
            fields.keep(name, value);
        }
    }
    let path = if let Target::Origin(path) = line.target { Some(path) } else { None };
    let mut about = None;
    let mut request = if let Some(mut call) = fields.content_type.and_then(|kind| Call::read(kind, path, None)) {
        let request = call.request(&fields, line.version);
        // What the client sends is stepped over, and not counted.
        call.sent.lose();
        about = Some(About::Call(Box::new(call)));
        request
    } else {
        let mut request = describe(line.method, Some(&line.target), &fields, line.version, server);
        if let Some(asked) = path.and_then(|path| Search::read(line.method, path, search.is_some())) {
            Search::conceal(&mut request);
            if let Some(system) = search {
                asked.describe(system, &mut request);
            }
            about = Some(About::Search(Box::new(asked)));
        }
        request
    };
    let mut asked = line.asked();
    if asked == Asked::Content && asks_for(fields.upgrade, b"h2c") {
        asked = Asked::Upgrade;
        request.correlation = Some(UPGRADED);
    } else if asked == Asked::Content && asks_for(fields.upgrade, b"websocket") {
        asked = Asked::WebSocket;
    }
    Some((request, asked, about))
}

/// What any version of HTTP says of a request: names, attributes, context. Without a target, where it goes is not known.
pub(in crate::protocol) fn describe(
    method: &str,
    target: Option<&Target<'_>>,
    fields: &Fields<'_>,
    version: &'static str,
    server: SocketAddr,
) -> Request {
    let mut attributes = Vec::with_capacity(11);
    let known = KNOWN_METHODS.iter().find(|known| **known == method).copied();
    attributes.push(Attribute::both(semconv::HTTP_REQUEST_METHOD, known.unwrap_or("_OTHER")));
    if known.is_none() {
        attributes.push(Attribute::both(semconv::HTTP_REQUEST_METHOD_ORIGINAL, method.to_owned()));
    }
    match target {
        Some(target) => address(target, fields.host, server, &mut attributes),
        None => fields.server(&mut attributes),
    }
    if let Some(agent) = fields.user_agent {
        attributes.push(Attribute::server(semconv::USER_AGENT_ORIGINAL, bounded(readable(agent).into_owned())));
    }
    if let Some(client) = first_client(fields.forwarded, fields.x_forwarded_for) {
        attributes.push(Attribute::server(semconv::CLIENT_ADDRESS, client.to_string()));
    }
    attributes.push(Attribute::both(semconv::NETWORK_PROTOCOL_VERSION, version));
    Request {
        attributes,
        carried: fields.carried(),
        exports: target.is_some_and(|target| telemetry::is_trace_export(method, target.path())),
        ..Request::new(Kind::Service, known.unwrap_or("HTTP"))
    }
}

/// The values of the headers that are looked at.
#[derive(Default)]
pub(in crate::protocol) struct Fields<'a> {
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    forwarded: Option<&'a [u8]>,
    x_forwarded_for: Option<&'a [u8]>,
    context: Finder,
    upgrade: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Takes a header, in the order of the request; whoever wants to know of another one is told here.
    pub(in crate::protocol) fn keep(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("host") {
            self.host.get_or_insert(value);
        } else if is("user-agent") {
            self.user_agent.get_or_insert(value);
        } else if is("forwarded") {
            self.forwarded.get_or_insert(value);
        } else if is("x-forwarded-for") {
            self.x_forwarded_for.get_or_insert(value);
        } else if is("content-type") {
            self.content_type.get_or_insert(value);
        } else if is("upgrade") {
            self.upgrade.get_or_insert(value);
        } else {
            self.context.header(name, value);
        }
    }

    /// The value of `Host`.
    pub(in crate::protocol) fn host(&self) -> Option<&'a [u8]> {
        self.host
    }

    /// The trace context in them.
    pub(in crate::protocol) fn carried(&self) -> Option<Arc<Carried>> {
        self.context.carried()
    }

    /// The attributes of the server that `Host` names.
    pub(in crate::protocol) fn server(&self, attributes: &mut Vec<Attribute>) {
        if let Some(Authority { host, port, .. }) = self.host.and_then(Authority::read) {
            attributes.push(Attribute::both(semconv::SERVER_ADDRESS, host.to_owned()));
            attributes.push(Attribute::both(semconv::SERVER_PORT, i64::from(port.unwrap_or(80))));
        }
    }
}

/// The attributes that say where the request goes.
fn address(target: &Target<'_>, host: Option<&[u8]>, server: SocketAddr, attributes: &mut Vec<Attribute>) {
    let host = host.and_then(Authority::read);
    let (scheme, authority, rest) = match target {
        Target::Origin(rest) => ("http", host, *rest),
        Target::Absolute(scheme, authority, rest) => (*scheme, Some(*authority), *rest),
        Target::Authority(authority) => ("http", Some(*authority), &b""[..]),
        Target::Asterisk => ("http", host, &b""[..]),
    };
    let usual = ["http", "https"].into_iter().find(|usual| scheme.eq_ignore_ascii_case(usual));
    let scheme = usual.map_or_else(|| Cow::Owned(scheme.to_ascii_lowercase()), Cow::Borrowed);
    let rest = readable(rest);
    let rest = cut(&rest, b'#').map_or(&*rest, |(rest, _)| rest);
    let (path, query) = cut(rest, b'?').map_or((rest, None), |(path, query)| (path, Some(redact::query(query))));
    let written = match authority {
        Some(authority) => Cow::Borrowed(authority.text),
        None if server.port() == 80 && server.is_ipv6() => Cow::Owned(format!("[{}]", server.ip())),
        None if server.port() == 80 => Cow::Owned(server.ip().to_string()),
        None => Cow::Owned(server.to_string()),
    };
    let mut full = String::with_capacity(16 + written.len() + rest.len());
    if !matches!(target, Target::Authority(_)) {
        full.extend([&*scheme, "://"]);
    }
    if authority.is_some_and(|authority| authority.credentials) {
        full.push_str(redact::USERINFO);
    }
    full.extend([&*written, path]);
    if let Some(query) = &query {
        full.extend(["?", query]);
    }
    attributes.push(Attribute::client(semconv::URL_FULL, bounded(full)));
    attributes.push(Attribute::server(
        semconv::URL_PATH,
        match (target, path) {
            (Target::Asterisk, _) => "*".to_owned(),
            (Target::Absolute(..), "") => "/".to_owned(),
            _ => bounded(path.to_owned()),
        },
    ));
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        attributes.push(Attribute::server(semconv::URL_QUERY, bounded(query.into_owned())));
    }
    let default_port = if scheme == "https" { 443 } else { 80 };
    attributes.push(Attribute::server(semconv::URL_SCHEME, scheme));
    if let Some(Authority { host, port, .. }) = authority {
        attributes.push(Attribute::both(semconv::SERVER_ADDRESS, host.to_owned()));
        attributes.push(Attribute::both(semconv::SERVER_PORT, i64::from(port.unwrap_or(default_port))));
    }
}

/// Bytes as text; what is none is replaced. Nearly all is, and finding that out costs a fraction of looking for what to replace.
fn readable(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// At most [`LONGEST_TEXT`] bytes of a text.
fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    text
}
