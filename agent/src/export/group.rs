//! Finished spans become the bytes of one request: gathered by resource, so that a request carries many services and each of them once.
//!
//! Never sends, never waits, and has no bound of its own: the caller looks at [`Encode::bytes`] and takes the request away in time.
use crate::enrich::span::{Resource, Span};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// One unit that leaves, in the pieces in which it was gathered: joining them would be the second time that every byte is copied.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Body(pub Vec<Vec<u8>>);

impl Body {
    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In one piece.
    #[must_use]
    pub fn joined(mut self) -> Vec<u8> {
        if self.0.len() == 1 { self.0.pop().unwrap_or_default() } else { self.0.concat() }
    }
}

/// Something that turns spans into bytes that can leave.
pub trait Encode: Send {
    /// Adds a span.
    fn push(&mut self, span: &Span);
    /// Spans added since the last [`Encode::take`].
    fn spans(&self) -> u64;
    /// Bytes that [`Encode::take`] would give, to within some hundreds per resource.
    fn bytes(&self) -> usize;
    /// Everything that was added, as one unit: a request, a line, some lines. Empty if nothing was added.
    fn take(&mut self) -> Body;
}

/// How a request that carries many resources is written.
pub trait Format: Send {
    /// Appends what stands before a resource's spans. It is kept, and used for every request that carries this resource.
    fn resource(resource: &Resource, out: &mut Vec<u8>);
    /// Appends a span to the spans of its resource; `out` is empty before the first one.
    fn span(span: &Span, out: &mut Vec<u8>);
    /// The request, from each resource's beginning and its spans, which stay where they are.
    fn request<'a>(groups: impl Iterator<Item = (&'a [u8], Vec<u8>)>) -> Body;
}

/// A resource and those of its spans that have not left yet.
struct Group {
    /// Kept alive, so that its address means this resource and no other.
    resource: Arc<Resource>,
    head: Vec<u8>,
    spans: Vec<u8>,
    /// Bytes of its spans in the last request: about as many come again.
    before: usize,
}

/// [`Encode`] for a [`Format`].
///
/// A resource is known by its address: two equal ones stand twice in a request, which OTLP allows. What is kept of a resource goes
/// when a request leaves without it, so the cache is never larger than one request.
pub struct Grouped<F> {
    groups: Vec<Group>,
    index: HashMap<usize, usize>,
    spans: u64,
    bytes: usize,
    format: PhantomData<F>,
}

impl<F> Default for Grouped<F> {
    fn default() -> Self {
        Self { groups: Vec::new(), index: HashMap::new(), spans: 0, bytes: 0, format: PhantomData }
    }
}

impl<F: Format> Encode for Grouped<F> {
    fn push(&mut self, span: &Span) {
        let address = Arc::as_ptr(&span.resource) as usize;
        let place = *self.index.entry(address).or_insert_with(|| {
            let mut head = Vec::new();
            F::resource(&span.resource, &mut head);
            self.groups.push(Group { resource: Arc::clone(&span.resource), head, spans: Vec::new(), before: 0 });
            self.groups.len() - 1
        });
        // The index only holds places of `groups`, so this always finds one.
        let Some(group) = self.groups.get_mut(place) else { return };
        debug_assert!(Arc::ptr_eq(&group.resource, &span.resource));
        if group.spans.is_empty() {
            self.bytes += group.head.len();
            // An eighth more, or every other time all of them would move once more.
            group.spans.reserve(group.before + group.before / 8);
        }
        let before = group.spans.len();
        F::span(span, &mut group.spans);
        self.bytes += group.spans.len() - before;
        self.spans += 1;
    }

    fn spans(&self) -> u64 {
        self.spans
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self) -> Body {
        if self.spans == 0 {
            return Body::default();
        }
        self.groups.retain(|group| !group.spans.is_empty());
        self.index.clear();
        let groups = self.groups.iter_mut().enumerate().map(|(place, group)| {
            self.index.insert(Arc::as_ptr(&group.resource) as usize, place);
            group.before = group.spans.len();
            let mut spans = std::mem::take(&mut group.spans);
            // Whoever bounds what waits counts bytes, not the room around them. Given back in place, it costs no copy.
            spans.shrink_to_fit();
            (group.head.as_slice(), spans)
        });
        let body = F::request(groups);
        self.spans = 0;
        self.bytes = 0;
        body
    }
}
