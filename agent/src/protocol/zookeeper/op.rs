//! Operations and errors by their numbers, and where in a request its path is (`ZooDefs.OpCode` and `KeeperException.Code` of Apache
//! `ZooKeeper` 3.9, and its record definitions).
use super::jute;
use std::borrow::Cow;

/// A connection becomes a session: not an operation that a client sends, but what the first message is.
pub(super) const CREATE_SESSION: i32 = -10;
pub(super) const EXISTS: i32 = 3;
pub(super) const PING: i32 = 11;
pub(super) const MULTI: i32 = 14;
pub(super) const MULTI_READ: i32 = 22;
pub(super) const CLOSE_SESSION: i32 = -11;
/// The result of an operation of several that failed.
pub(super) const ERROR: i32 = -1;

/// A node that is not there.
pub(super) const NO_NODE: i32 = -101;
/// What becomes of the operations behind one that failed.
pub(super) const RUNTIME_INCONSISTENCY: i32 = -2;
/// The session is not known any more.
pub(super) const SESSION_EXPIRED: i32 = -112;

/// The name of an operation that clients send.
pub(super) fn name(op: i32) -> Option<&'static str> {
    Some(match op {
        1 => "create",
        2 => "delete",
        EXISTS => "exists",
        4 => "getData",
        5 => "setData",
        6 => "getACL",
        7 => "setACL",
        8 => "getChildren",
        9 => "sync",
        PING => "ping",
        12 => "getChildren2",
        13 => "check",
        MULTI => "multi",
        15 => "create2",
        16 => "reconfig",
        17 => "checkWatches",
        18 => "removeWatches",
        19 => "createContainer",
        20 => "deleteContainer",
        21 => "createTTL",
        MULTI_READ => "multiRead",
        100 => "auth",
        101 => "setWatches",
        102 => "sasl",
        103 => "getEphemerals",
        104 => "getAllChildrenNumber",
        105 => "setWatches2",
        106 => "addWatch",
        107 => "whoAmI",
        CREATE_SESSION => "createSession",
        CLOSE_SESSION => "closeSession",
        _ => return None,
    })
}

/// Whether the request begins with a path.
pub(super) fn has_path(op: i32) -> bool {
    matches!(op, 1..=9 | 12 | 13 | 15 | 17..=21 | 103 | 104 | 106)
}

/// The name of an error; `None` if there was none. A code that is not in this table is `_OTHER`.
pub(super) fn error(code: i32) -> Option<Cow<'static, str>> {
    let name = match code {
        0 => return None,
        -1 => "SYSTEMERROR",
        RUNTIME_INCONSISTENCY => "RUNTIMEINCONSISTENCY",
        -3 => "DATAINCONSISTENCY",
        -4 => "CONNECTIONLOSS",
        -5 => "MARSHALLINGERROR",
        -6 => "UNIMPLEMENTED",
        -7 => "OPERATIONTIMEOUT",
        -8 => "BADARGUMENTS",
        -12 => "UNKNOWNSESSION",
        -13 => "NEWCONFIGNOQUORUM",
        -14 => "RECONFIGINPROGRESS",
        -100 => "APIERROR",
        NO_NODE => "NONODE",
        -102 => "NOAUTH",
        -103 => "BADVERSION",
        -108 => "NOCHILDRENFOREPHEMERALS",
        -110 => "NODEEXISTS",
        -111 => "NOTEMPTY",
        SESSION_EXPIRED => "SESSIONEXPIRED",
        -113 => "INVALIDCALLBACK",
        -114 => "INVALIDACL",
        -115 => "AUTHFAILED",
        -118 => "SESSIONMOVED",
        -119 => "NOTREADONLY",
        -120 => "EPHEMERALONLOCALSESSION",
        -121 => "NOWATCHER",
        -122 => "REQUESTTIMEOUT",
        -123 => "RECONFIGDISABLED",
        -124 => "SESSIONCLOSEDREQUIRESASLAUTH",
        -125 => "QUOTAEXCEEDED",
        -127 => "THROTTLEDOP",
        _ => "_OTHER",
    };
    Some(name.into())
}

/// Steps over what follows the path in an operation that may be one of several.
fn skip_rest(op: i32, bytes: &mut &[u8]) -> Option<()> {
    match op {
        // Data, who may do what, and the kind of node, which may have a time to live.
        1 | 15 | 19 | 21 => {
            jute::buffer(bytes)?;
            for _ in 0..jute::int(bytes)?.max(0) {
                jute::int(bytes)?;
                jute::buffer(bytes)?;
                jute::buffer(bytes)?;
            }
            jute::int(bytes)?;
            if op == 21 {
                jute::long(bytes)?;
            }
        }
        5 => {
            jute::buffer(bytes)?;
            jute::int(bytes)?;
        }
        // A version.
        2 | 13 => {
            jute::int(bytes)?;
        }
        // Whether to watch.
        4 | 8 => {
            jute::take(bytes, 1)?;
        }
        _ => return None,
    }
    Some(())
}

/// The head of an operation, or of a result, of several: its number, and its error. `None` at the end.
fn next(bytes: &mut &[u8]) -> Option<(i32, i32)> {
    let op = jute::int(bytes)?;
    let done = jute::take(bytes, 1)? != [0];
    let error = jute::int(bytes)?;
    (!done).then_some((op, error))
}

/// Operations with their paths that are sent as one: `each` gets them in order. Whether all of them were there.
pub(super) fn several<'a>(mut bytes: &'a [u8], mut each: impl FnMut(&'static str, &'a str)) -> bool {
    let mut walk = || -> Option<()> {
        while let Some((op, _)) = next(&mut bytes) {
            each(name(op)?, jute::path(&mut bytes)?);
            skip_rest(op, &mut bytes)?;
        }
        Some(())
    };
    walk().is_some() && bytes.is_empty()
}

/// The error that made several operations fail, from the results of them.
pub(super) fn error_of_several(mut bytes: &[u8]) -> Option<Cow<'static, str>> {
    while let Some((ERROR, _)) = next(&mut bytes) {
        let code = jute::int(&mut bytes)?;
        if code != 0 && code != RUNTIME_INCONSISTENCY {
            return error(code);
        }
    }
    None
}
