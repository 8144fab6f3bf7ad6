//! The beginning of a connection: what the server is, and what the client wants of it. Names of users and proofs are stepped over.
use super::packet::Cursor;

const CONNECT_WITH_DB: u32 = 1 << 3;
const COMPRESS: u32 = 1 << 5;
pub(super) const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const LENENC_AUTH: u32 = 1 << 21;
const DEPRECATE_EOF: u32 = 1 << 24;
const OPTIONAL_METADATA: u32 = 1 << 25;
const ZSTD: u32 = 1 << 26;

/// Length of what a client sends before it begins TLS.
const SSL_REQUEST: u32 = 32;

/// What a server says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// `mysql` or `mariadb`.
    pub(super) system: &'static str,
    capabilities: u32,
}

/// What changes how answers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    /// A packet of its own stands behind definitions of columns (no `CLIENT_DEPRECATE_EOF`).
    pub(super) ends: bool,
    /// Servers may leave out the definitions of columns.
    pub(super) optional_metadata: bool,
}

/// What a client answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login<'a> {
    /// It begins TLS.
    Tls,
    /// It logs in.
    In {
        /// The database that it wants, if it could be read.
        database: Option<&'a [u8]>,
        /// Both sides compress from the end of the authentication on.
        compressed: bool,
        /// What both sides can do.
        traits: Traits,
    },
}

/// A server's first packet, version 10 of the protocol.
pub(super) fn greeting(payload: &[u8]) -> Option<Greeting> {
    let mut cursor = Cursor(payload);
    if cursor.u8()? != 10 {
        return None;
    }
    let version = cursor.text()?;
    if !version.first()?.is_ascii_digit() || !version.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return None;
    }
    // Number of the connection, the first part of the challenge, and a zero.
    cursor.take(4 + 8 + 1)?;
    let low = cursor.u16()?;
    // Character set and status.
    let high = cursor.take(3).and_then(|_| cursor.u16()).unwrap_or(0);
    // MariaDB does not set the first capability, and has its name in the version.
    let mariadb = version.windows(7).any(|part| part.eq_ignore_ascii_case(b"mariadb"));
    let system = if mariadb { "mariadb" } else { "mysql" };
    Some(Greeting { system, capabilities: u32::from(low) | u32::from(high) << 16 })
}

/// A client's first packet.
pub(super) fn login(payload: &[u8], len: u32, greeting: Option<Greeting>) -> Option<Login<'_>> {
    let mut cursor = Cursor(payload);
    let wanted = cursor.u32()?;
    if wanted & PROTOCOL_41 == 0 {
        // Of before 4.1, nothing more is read.
        let traits = Traits { ends: true, optional_metadata: false };
        return Some(Login::In { database: None, compressed: false, traits });
    }
    if len == SSL_REQUEST && wanted & SSL != 0 {
        return Some(Login::Tls);
    }
    let both = wanted & greeting.map_or(u32::MAX, |greeting| greeting.capabilities);
    let compressed = both & (COMPRESS | ZSTD) != 0;
    let traits = Traits { ends: both & DEPRECATE_EOF == 0, optional_metadata: both & OPTIONAL_METADATA != 0 };
    let database = database(cursor, wanted).filter(|database| !database.is_empty());
    Some(Login::In { database, compressed, traits })
}

/// The database, behind the user's name and the proof.
fn database(mut cursor: Cursor<'_>, wanted: u32) -> Option<&[u8]> {
    // Longest packet, character set, and what is reserved.
    cursor.take(4 + 1 + 23)?;
    cursor.text()?;
    proof(&mut cursor, wanted)?;
    if wanted & CONNECT_WITH_DB == 0 {
        return None;
    }
    cursor.text()
}

fn proof(cursor: &mut Cursor<'_>, wanted: u32) -> Option<()> {
    match wanted {
        _ if wanted & LENENC_AUTH != 0 => cursor.string(),
        _ if wanted & SECURE_CONNECTION != 0 => cursor.u8().and_then(|len| cursor.take(u64::from(len))),
        _ => cursor.text(),
    }
    .map(drop)
}

/// The database that `COM_CHANGE_USER` names, behind the user's name and the proof.
pub(super) fn change_user(payload: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(payload);
    cursor.u8()?;
    cursor.text()?;
    proof(&mut cursor, SECURE_CONNECTION)?;
    cursor.text().filter(|database| !database.is_empty())
}
