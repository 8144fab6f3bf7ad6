//! The table of commands: their names, and where each says which collection it is about.

/// Where a command names its collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Nowhere.
    None,
    /// In its first value, if that is a text.
    First,
    /// In the field `collection`, as its first value is the number of a cursor.
    Field,
}

/// What a command is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Its name, as the servers' manual writes it.
    pub(super) name: &'static str,
    /// Where its collection stands.
    pub(super) target: Target,
    /// Whether it only asks if, or what, the server is: no span.
    pub(super) idle: bool,
}

/// Commands about a collection, the frequent ones first.
const COLLECTIONS: [&str; 24] = [
    "find",
    "insert",
    "update",
    "delete",
    "aggregate",
    "findAndModify",
    "count",
    "distinct",
    "create",
    "createIndexes",
    "dropIndexes",
    "listIndexes",
    "drop",
    "killCursors",
    "collStats",
    "collMod",
    "mapReduce",
    "validate",
    "compact",
    "reIndex",
    "convertToCapped",
    "cloneCollectionAsCapped",
    "planCacheClear",
    "createSearchIndexes",
];
/// Commands that ask whether the server is there.
const IDLE: [&str; 3] = ["hello", "isMaster", "ping"];
/// Other commands.
const OTHERS: [&str; 56] = [
    "commitTransaction",
    "abortTransaction",
    "endSessions",
    "startSession",
    "refreshSessions",
    "killSessions",
    "killAllSessions",
    "killAllSessionsByPattern",
    "saslStart",
    "saslContinue",
    "authenticate",
    "logout",
    "getnonce",
    "buildInfo",
    "connectionStatus",
    "connPoolStats",
    "currentOp",
    "dbHash",
    "dbStats",
    "dropDatabase",
    "explain",
    "features",
    "filemd5",
    "fsync",
    "fsyncUnlock",
    "getCmdLineOpts",
    "getDefaultRWConcern",
    "getLastError",
    "getLog",
    "getParameter",
    "setParameter",
    "hostInfo",
    "killOp",
    "listCollections",
    "listCommands",
    "listDatabases",
    "profile",
    "renameCollection",
    "replSetGetStatus",
    "replSetGetConfig",
    "replSetInitiate",
    "replSetStepDown",
    "rolesInfo",
    "usersInfo",
    "createUser",
    "updateUser",
    "dropUser",
    "createRole",
    "grantRolesToUser",
    "serverStatus",
    "shutdown",
    "top",
    "whatsmyuri",
    "bulkWrite",
    "shardCollection",
    "enableSharding",
];

/// The command of that name. Servers take some of them in lower case too.
pub(super) fn find(key: &[u8]) -> Option<Command> {
    let named = |names: &[&'static str]| names.iter().find(|name| name.as_bytes().eq_ignore_ascii_case(key)).copied();
    let command = |target, idle| move |name| Command { name, target, idle };
    named(&COLLECTIONS)
        .map(command(Target::First, false))
        .or_else(|| named(&["getMore"]).map(command(Target::Field, false)))
        .or_else(|| named(&IDLE).map(command(Target::None, true)))
        .or_else(|| named(&OTHERS).map(command(Target::None, false)))
}
