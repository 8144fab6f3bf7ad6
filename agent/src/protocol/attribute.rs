//! Attributes of spans: a key from [`crate::semconv`] and a value.
use std::borrow::Cow;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// Several texts. In a box, which keeps a value at 24 bytes: lists of attributes are what is moved and allocated most.
    Texts(Box<[String]>),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}
impl From<Cow<'static, str>> for Value {
    fn from(text: Cow<'static, str>) -> Self {
        Self::Text(text)
    }
}
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

/// Which spans of an exchange carry an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The client's and the server's.
    Both,
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Name, from [`crate::semconv`]: visible characters of ASCII, none of which any format has to escape.
    pub key: &'static str,
    /// Value.
    pub value: Value,
    /// Which spans carry it.
    pub on: On,
}

impl Attribute {
    /// An attribute of both spans.
    pub fn both(key: &'static str, value: impl Into<Value>) -> Self {
        Self { key, value: value.into(), on: On::Both }
    }
    /// An attribute of the client's span.
    pub fn client(key: &'static str, value: impl Into<Value>) -> Self {
        Self { key, value: value.into(), on: On::Client }
    }
    /// An attribute of the server's span.
    pub fn server(key: &'static str, value: impl Into<Value>) -> Self {
        Self { key, value: value.into(), on: On::Server }
    }
}
