//! The two hellos, which are in clear in every version (RFC 8446 sections 4.1.2, 4.1.3 and 4.2; RFC 6066 section 3; RFC 7301).
use super::names;

/// Extensions that are looked at: more than any program sends.
const MAX_EXTENSIONS: usize = 64;
/// Application protocols that are told of those that a client offers.
const MAX_OFFERED: usize = 8;
/// Longest name of a host (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

const SERVER_NAME: u16 = 0;
const APPLICATION_PROTOCOLS: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
/// `ServerHello.random` of a message that asks for another `ClientHello`: its first bytes (RFC 8446 section 4.1.3).
const RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

/// What a client says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ClientHello {
    /// Host that it wants to talk to.
    pub(super) server_name: Option<String>,
    /// Application protocols that it offers.
    pub(super) offered: Vec<String>,
}

/// What a server says.
#[derive(Debug, PartialEq)]
pub(super) struct ServerHello {
    /// Version that it chose.
    pub(super) version: u16,
    /// Application protocol that it chose, where that is in clear: before TLS 1.3.
    pub(super) chosen: Option<String>,
    /// It asks for another `ClientHello`.
    pub(super) retry: bool,
}

/// Reads a `ClientHello` without its four bytes of type and length, of which the end may be missing.
pub(super) fn client(body: &[u8]) -> Option<ClientHello> {
    let mut fields = Fields(body);
    fields.take(2 + 32)?;
    fields.short()?;
    fields.long()?;
    fields.short()?;
    let mut hello = ClientHello::default();
    extensions(&mut fields, |kind, data| match kind {
        SERVER_NAME => {
            // A list of one name, of the kind zero.
            let name = data.get(5..).unwrap_or_default();
            hello.server_name = Some(name).filter(|name| is_host(name)).map(text);
        }
        APPLICATION_PROTOCOLS => hello.offered = protocols(data),
        _ => {}
    });
    Some(hello)
}

/// Reads a `ServerHello` in the same way.
pub(super) fn server(body: &[u8]) -> Option<ServerHello> {
    let mut fields = Fields(body);
    let (version, random) = (fields.number()?, fields.take(32)?);
    fields.short()?;
    fields.take(2 + 1)?;
    let mut hello = ServerHello { version, chosen: None, retry: random.starts_with(&RETRY) };
    extensions(&mut fields, |kind, data| match (kind, data) {
        (SUPPORTED_VERSIONS, [high, low]) => hello.version = u16::from_be_bytes([*high, *low]),
        (APPLICATION_PROTOCOLS, data) => hello.chosen = protocols(data).pop(),
        _ => {}
    });
    names::version(hello.version)?;
    Some(hello)
}

fn extensions(fields: &mut Fields<'_>, mut each: impl FnMut(u16, &[u8])) {
    if fields.number().is_none() {
        return;
    }
    for _ in 0..MAX_EXTENSIONS {
        let Some((kind, data)) = fields.number().and_then(|kind| Some((kind, fields.long()?))) else { return };
        each(kind, data);
    }
}

/// The names in an extension for application protocols.
fn protocols(data: &[u8]) -> Vec<String> {
    let mut fields = Fields(data.get(2..).unwrap_or_default());
    let names = std::iter::from_fn(|| fields.short()).take(MAX_OFFERED);
    // Values that mean nothing keep servers used to such (RFC 8701).
    names.filter(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic)).map(text).collect()
}

fn is_host(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Fields one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// Bytes behind one byte that says how many.
    fn short(&mut self) -> Option<&'a [u8]> {
        let len = *self.take(1)?.first()?;
        self.take(usize::from(len))
    }

    /// Bytes behind two bytes that say how many.
    fn long(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::from(len))
    }
}
