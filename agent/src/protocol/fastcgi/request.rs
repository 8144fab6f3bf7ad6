//! The parameters of a request (RFC 3875 section 4.1) become a [`Request`], as if HTTP had said the same.
use super::record::pairs;
use crate::protocol::attribute::Attribute;
use crate::protocol::http1::request::{Fields, Target, describe};
use crate::protocol::{Kind, Request};
use crate::semconv;
use std::net::{IpAddr, SocketAddr};

/// Longest name of a header that is looked at.
const LONGEST_NAME: usize = 64;
/// Longest name of a script that is told.
const LONGEST_SCRIPT: usize = 1024;

/// What the parameters say.
pub(super) fn read(params: &[u8], server: SocketAddr) -> Request {
    let mut fields = Fields::default();
    let (mut method, mut uri, mut script, mut query, mut client, mut version, mut https) = (None, None, None, None, None, "1.1", false);
    for (name, value) in pairs(params) {
        match name {
            b"REQUEST_METHOD" => method = Some(value),
            b"REQUEST_URI" => uri = Some(value),
            b"SCRIPT_NAME" => script = Some(value),
            b"QUERY_STRING" => query = Some(value),
            b"REMOTE_ADDR" => client = std::str::from_utf8(value).ok().and_then(|text| text.parse::<IpAddr>().ok()),
            b"SERVER_PROTOCOL" => version = of_protocol(value),
            b"HTTPS" => https = !value.is_empty() && value != b"off",
            _ => header(name, value, &mut fields),
        }
    }
    let Some(method) = method.and_then(|method| std::str::from_utf8(method).ok()).filter(|method| is_method(method)) else {
        return Request { carried: fields.carried(), ..Request::new(Kind::Service, "fastcgi") };
    };
    let composed;
    let path = match (uri, script, query) {
        (Some(uri), ..) => Some(uri),
        (None, Some(script), Some(query)) if !query.is_empty() => {
            composed = [script, b"?", query].concat();
            Some(composed.as_slice())
        }
        (None, script, _) => script,
    };
    let scheme = if https { "https" } else { "http" };
    let target = Target::of_fields(method, Some(scheme.as_bytes()), fields.host(), path);
    let mut request = describe(method, target.as_ref(), &fields, version, server);
    if let Some(client) = client
        && request.attributes.iter().all(|attribute| attribute.key != semconv::CLIENT_ADDRESS)
    {
        request.attributes.push(Attribute::server(semconv::CLIENT_ADDRESS, client.to_string()));
    }
    let script = script.and_then(|script| std::str::from_utf8(script).ok()).filter(|script| script.len() <= LONGEST_SCRIPT);
    request.attributes.extend(script.map(|script| Attribute::both(semconv::WIRESPAN_FASTCGI_SCRIPT, script.to_owned())));
    request
}

/// A header of HTTP, written as the name of a variable.
fn header<'a>(name: &[u8], value: &'a [u8], fields: &mut Fields<'a>) {
    let mut written = [0; LONGEST_NAME];
    let name = match name {
        b"CONTENT_TYPE" => name,
        _ => name.strip_prefix(b"HTTP_").unwrap_or_default(),
    };
    let Some(place) = written.get_mut(..name.len()).filter(|place| !place.is_empty()) else { return };
    for (to, from) in place.iter_mut().zip(name) {
        *to = if *from == b'_' { b'-' } else { from.to_ascii_lowercase() };
    }
    fields.keep(place, value);
}

fn is_method(method: &str) -> bool {
    !method.is_empty() && method.len() <= 32 && method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
}

/// The version of HTTP that the web server was asked in.
fn of_protocol(protocol: &[u8]) -> &'static str {
    match protocol {
        b"HTTP/1.0" => "1.0",
        b"HTTP/2" | b"HTTP/2.0" => "2",
        b"HTTP/3" | b"HTTP/3.0" => "3",
        _ => "1.1",
    }
}
