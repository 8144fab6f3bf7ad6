//! Routes of HTTP requests, as far as their paths tell: what looks like the name of one thing among many becomes a placeholder.
//!
//! Nobody says which route a request took. `/orders/7f3a9c12/items/2` is taken for `/orders/{hash}/items/{id}`. Who puts words that
//! nobody can tell from others into paths makes ever more routes: from [`MAX_ROUTES`] on, new ones of that service are not told.
use super::span::{Resource, Span, SpanKind};
use crate::protocol::attribute::{Attribute, Value};
use crate::semconv;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Routes of one service, called or offered: more than people write by hand.
const MAX_ROUTES: usize = 200;
/// Services whose routes are known. Each has at most a few KiB.
const MAX_SERVICES: usize = 4096;
/// Parts of a path that are looked at; what follows is `*`.
const MAX_SEGMENTS: usize = 10;
/// Status of HTTP: there is no such thing.
const NOT_FOUND: i64 = 404;
/// A longer part of a path is no name that somebody gave.
const MAX_SEGMENT: usize = 48;
/// From so many hexadecimal digits on, with both digits and letters among them, a word is the name of one thing.
const HASH: usize = 8;
/// The same for letters of both cases mixed with digits.
const TOKEN: usize = 16;

/// The routes of services so far.
#[derive(Default)]
pub struct Routes {
    /// By service, the digests of its routes.
    known: FxHashMap<Box<str>, FxHashSet<u64>>,
    /// Requests whose route was not told, because their service has too many.
    pub untold: u64,
}

impl Routes {
    /// Adds its route to the span of an HTTP request, and to its name.
    pub fn tell(&mut self, span: &mut Span) {
        let text = |key| {
            span.attributes.iter().find(|attribute| attribute.key == key).and_then(|attribute| match &attribute.value {
                Value::Text(text) => Some(text.as_ref()),
                _ => None,
            })
        };
        // A tunnel has no path.
        if text(semconv::HTTP_REQUEST_METHOD).is_none_or(|method| method == "CONNECT") {
            return;
        }
        let (key, path) = match span.kind {
            SpanKind::Server => (semconv::HTTP_ROUTE, text(semconv::URL_PATH)),
            _ => (semconv::URL_TEMPLATE, text(semconv::URL_FULL).map(path_of)),
        };
        let Some(route) = path.filter(|path| path.starts_with('/')).map(template) else { return };
        // Whoever asks for what is not there may ask for anything.
        let missing = span.attributes.contains(&Attribute::both(semconv::HTTP_RESPONSE_STATUS_CODE, NOT_FOUND));
        if !self.is_told(&span.resource, &route, !missing) {
            self.untold += 1;
            return;
        }
        span.name = format!("{} {route}", span.name).into();
        span.attributes.push(Attribute::both(key, route.into_owned()));
    }

    /// Whether a route is known, or `may_be_new` and has room.
    fn is_told(&mut self, service: &Arc<Resource>, route: &str, may_be_new: bool) -> bool {
        let service = service.service();
        if !self.known.contains_key(service) {
            if self.known.len() >= MAX_SERVICES {
                self.known.clear();
            }
            self.known.insert(service.into(), FxHashSet::default());
        }
        let Some(routes) = self.known.get_mut(service) else { return false };
        let digest = FxBuildHasher.hash_one(route);
        routes.contains(&digest) || (may_be_new && routes.len() < MAX_ROUTES && routes.insert(digest))
    }
}

/// The path of a URL, which may have neither query nor path.
fn path_of(url: &str) -> &str {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    let path = behind.find('/').and_then(|slash| behind.get(slash..)).unwrap_or("/");
    path.split(['?', '#']).next().unwrap_or(path)
}

/// The route that a path tells of: the path itself if nothing in it looks like the name of one thing.
fn template(path: &str) -> Cow<'_, str> {
    let mut route = String::new();
    for (place, segment) in path.split('/').enumerate().skip(1) {
        if place > MAX_SEGMENTS {
            route.push_str("/*");
            break;
        }
        route.push('/');
        if segment.len() > MAX_SEGMENT || segment.contains('%') || !segment.is_ascii() {
            route.push_str("{text}");
        } else if segment.contains('@') {
            route.push_str("{email}");
        } else if is_uuid(segment) {
            route.push_str("{uuid}");
        } else if segment.len() >= TOKEN && is_mixed(segment, |byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            route.push_str("{token}");
        } else {
            words(segment, &mut route);
        }
    }
    if route == path { Cow::Borrowed(path) } else { Cow::Owned(route) }
}

/// Adds a part of a path, word by word.
fn words(segment: &str, route: &mut String) {
    let mut rest = segment;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let of_hash = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte.to_ascii_lowercase());
        if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            route.push_str("{id}");
        } else if word.len() >= HASH && word.bytes().all(of_hash) && word.bytes().any(|byte| byte.is_ascii_digit()) {
            route.push_str("{hash}");
        } else {
            route.push_str(word);
        }
        let separator = behind.chars().next();
        route.extend(separator);
        rest = behind.get(separator.map_or(0, char::len_utf8)..).unwrap_or_default();
    }
}

/// Letters of both cases and digits, or neither words nor a number: what a program made up.
fn is_mixed(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let any = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    text.bytes().all(allowed) && any(u8::is_ascii_digit) && any(u8::is_ascii_lowercase) && any(u8::is_ascii_uppercase)
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::span::Status;
    use proptest::prelude::*;

    #[test]
    fn what_names_one_thing_among_many_is_a_placeholder_and_nothing_else() {
        for (path, route) in [
            ("/", "/"),
            ("/api/v1/orders", "/api/v1/orders"),
            ("/orders/42", "/orders/{id}"),
            ("/orders/42/", "/orders/{id}/"),
            ("/orders/ORD-2024-0042.pdf", "/orders/ORD-{id}-{id}.pdf"),
            ("/users/f47ac10b-58cc-4372-a567-0e02b2c3d479/cart", "/users/{uuid}/cart"),
            ("/commits/3f2a9c1d0b", "/commits/{hash}"),
            ("/static/app.3f2a9c1d.js", "/static/app.{hash}.js"),
            ("/facade/deadbeef", "/facade/deadbeef"),
            ("/s/dQw4w9WgXcQ-8xYz_1", "/s/{token}"),
            ("/users/ada@example.org", "/users/{email}"),
            ("/search/caf%C3%A9", "/search/{text}"),
            ("/a/b/c/d/e/f/g/h/i/j/k/l", "/a/b/c/d/e/f/g/h/i/j/*"),
            ("/wirespan.Test/Unary", "/wirespan.Test/Unary"),
        ] {
            assert_eq!(template(path), route);
        }
    }

    #[test]
    fn a_url_has_a_path_even_if_it_says_none() {
        for (url, path) in [("http://shop", "/"), ("http://shop?a=/b", "/b"), ("http://shop/a/b?c=/d#e", "/a/b"), ("/a?b", "/a")] {
            assert_eq!(path_of(url), path);
        }
    }

    fn span(service: &'static str, path: &str) -> Span {
        let attributes = vec![(semconv::SERVICE_NAME.into(), service.into())];
        Span {
            resource: Arc::new(Resource { attributes }),
            trace_id: [1; 16],
            span_id: [2; 8],
            parent: None,
            trace_state: None,
            flags: 1,
            kind: SpanKind::Server,
            name: "GET".into(),
            start: 0,
            end: 0,
            attributes: vec![Attribute::both(semconv::HTTP_REQUEST_METHOD, "GET"), Attribute::both(semconv::URL_PATH, path.to_owned())],
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    #[test]
    fn a_service_has_so_many_routes_and_no_more_and_others_have_theirs() {
        let mut routes = Routes::default();
        let mut name = |service, path: &str| {
            let mut span = span(service, path);
            routes.tell(&mut span);
            span.name.into_owned()
        };
        let word =
            |number: usize| format!("/{}", number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'k')).collect::<String>());
        assert_eq!(name("shop", "/orders/1"), "GET /orders/{id}");
        let named = (0..MAX_ROUTES + 50).filter(|number| name("shop", &word(*number)) != "GET").count();
        assert_eq!(named, MAX_ROUTES - 1);
        assert_eq!(name("shop", "/orders/2"), "GET /orders/{id}");
        assert_eq!(name("stock", &word(MAX_ROUTES + 49)), format!("GET {}", word(MAX_ROUTES + 49)));
        assert_eq!(routes.untold, 51);
    }

    proptest! {
        #[test]
        fn a_route_has_the_shape_of_its_path_and_is_its_own_route(path in "(/[a-zA-Z0-9@%._~-]{0,20}){1,12}") {
            let route = template(&path).into_owned();
            prop_assert_eq!(route.split('/').count().min(MAX_SEGMENTS + 2), path.split('/').count().min(MAX_SEGMENTS + 2));
            let digits = |text: &str| text.split('/').skip(1).any(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
            prop_assert!(!digits(&route));
        }
    }
}
