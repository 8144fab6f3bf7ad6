//! The table of commands: which arguments may be shown, and what a command changes about the replies.
//!
//! A container command and its subcommand are one name (`CONFIG GET`); an unknown subcommand leaves the container's name alone.
use super::reply::{CONFIRMATIONS, Word};
use rustc_hash::FxHashMap;
use std::sync::LazyLock;

/// Longest command word that is a name; the longest of Redis has 20 bytes.
pub(super) const MAX_WORD: usize = 32;

/// What a command means for what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// Nothing by itself: the next word belongs to the name.
    Container,
    /// A nil reply means that there was nothing to read.
    Read,
    /// `SELECT`: another database.
    Select,
    /// One of the six that are confirmed by their word.
    Subscribe(Word),
    /// `PING` and `QUIT`, which RESP2 allows while subscribed.
    WhileSubscribed,
    /// `RESET`: a connection as if it were new.
    Reset,
    /// `EXEC` and `DISCARD`: the end of a transaction.
    EndTransaction,
    /// `MONITOR`: no replies follow but a log.
    Monitor,
    /// `PSYNC` and `SYNC`: no replies follow but replication.
    Replicate,
    /// `CLIENT REPLY`: whether replies come at all.
    ClientReply,
}

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Name in capitals.
    pub(super) name: String,
    /// Which arguments may be shown, see [`SHAPES`].
    pub(super) shape: &'static str,
    /// What it means for what follows.
    pub(super) effect: Effect,
}

/// Commands by the arguments that may be shown. One letter per argument after the command's name: `k` is a key, field, channel or other
/// name and is shown, `s` is a script's digest or a function's name, `n` a number of keys with these keys behind it, `?` is hidden.
/// Letters behind `|` repeat, an ending `.` hides the last argument, and every argument without a letter is hidden.
const SHAPES: &[(&str, &str)] = &[
    (
        "",
        "ACL|CAT ACL|DELUSER ACL|DRYRUN ACL|GENPASS ACL|GETUSER ACL|HELP ACL|LIST ACL|LOAD ACL|LOG ACL|SAVE ACL|SETUSER ACL|USERS \
         ACL|WHOAMI ASKING AUTH BGREWRITEAOF BGSAVE CLIENT|CACHING CLIENT|GETNAME CLIENT|GETREDIR CLIENT|HELP CLIENT|ID CLIENT|INFO \
         CLIENT|KILL CLIENT|LIST CLIENT|NO-EVICT CLIENT|NO-TOUCH CLIENT|PAUSE CLIENT|REPLY CLIENT|SETINFO CLIENT|SETNAME \
         CLIENT|TRACKING CLIENT|TRACKINGINFO CLIENT|UNBLOCK CLIENT|UNPAUSE CLUSTER|ADDSLOTS CLUSTER|ADDSLOTSRANGE CLUSTER|BUMPEPOCH \
         CLUSTER|COUNT-FAILURE-REPORTS CLUSTER|COUNTKEYSINSLOT CLUSTER|DELSLOTS CLUSTER|DELSLOTSRANGE CLUSTER|FAILOVER \
         CLUSTER|FLUSHSLOTS CLUSTER|FORGET CLUSTER|GETKEYSINSLOT CLUSTER|HELP CLUSTER|INFO CLUSTER|KEYSLOT CLUSTER|LINKS CLUSTER|MEET \
         CLUSTER|MYID CLUSTER|MYSHARDID CLUSTER|NODES CLUSTER|REPLICAS CLUSTER|REPLICATE CLUSTER|RESET CLUSTER|SAVECONFIG \
         CLUSTER|SET-CONFIG-EPOCH CLUSTER|SETSLOT CLUSTER|SHARDS CLUSTER|SLAVES CLUSTER|SLOTS COMMAND|COUNT COMMAND|DOCS \
         COMMAND|GETKEYS COMMAND|GETKEYSANDFLAGS COMMAND|HELP COMMAND|INFO COMMAND|LIST CONFIG|HELP CONFIG|RESETSTAT CONFIG|REWRITE \
         CONFIG|SET DBSIZE DEBUG DISCARD ECHO EXEC FAILOVER FLUSHALL FLUSHDB FUNCTION|DELETE FUNCTION|DUMP FUNCTION|FLUSH \
         FUNCTION|HELP FUNCTION|KILL FUNCTION|LIST FUNCTION|LOAD FUNCTION|RESTORE FUNCTION|STATS HELLO INFO KEYS LASTSAVE \
         LATENCY|DOCTOR LATENCY|GRAPH LATENCY|HELP LATENCY|HISTOGRAM LATENCY|HISTORY LATENCY|LATEST LATENCY|RESET LOLWUT \
         MEMORY|DOCTOR MEMORY|HELP MEMORY|MALLOC-STATS MEMORY|PURGE MEMORY|STATS MIGRATE MODULE|HELP MODULE|LIST MODULE|LOAD \
         MODULE|LOADEX MODULE|UNLOAD MONITOR MULTI OBJECT|HELP PFSELFTEST PING PSYNC PUBSUB|CHANNELS PUBSUB|HELP PUBSUB|NUMPAT \
         PUBSUB|NUMSUB PUBSUB|SHARDCHANNELS PUBSUB|SHARDNUMSUB QUIT RANDOMKEY READONLY READWRITE REPLCONF REPLICAOF RESET ROLE SAVE \
         SCAN SCRIPT|DEBUG SCRIPT|EXISTS SCRIPT|FLUSH SCRIPT|HELP SCRIPT|KILL SCRIPT|LOAD SENTINEL|CKQUORUM SENTINEL|CONFIG \
         SENTINEL|FAILOVER SENTINEL|FLUSHCONFIG SENTINEL|GET-MASTER-ADDR-BY-NAME SENTINEL|IS-MASTER-DOWN-BY-ADDR SENTINEL|MASTER \
         SENTINEL|MASTERS SENTINEL|MONITOR SENTINEL|MYID SENTINEL|REMOVE SENTINEL|REPLICAS SENTINEL|RESET SENTINEL|SENTINELS \
         SENTINEL|SET SENTINEL|SLAVES SHUTDOWN SLAVEOF SLOWLOG|GET SLOWLOG|HELP SLOWLOG|LEN SLOWLOG|RESET SWAPDB SYNC TIME UNWATCH \
         WAIT WAITAOF XGROUP|HELP XINFO|HELP XREAD XREADGROUP",
    ),
    (
        "k",
        "APPEND BF.ADD BF.EXISTS BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST \
         GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE \
         GETSET HEXPIRE HEXPIREAT HEXPIRETIME HGETALL HGETDEL HGETEX HKEYS HLEN HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL \
         HRANDFIELD HSCAN HSETEX HTTL HVALS INCR INCRBY INCRBYFLOAT JSON.DEL JSON.GET JSON.SET LINDEX LINSERT LLEN LPOP LPOS LPUSH \
         LPUSHX LRANGE LREM LSET LTRIM MEMORY|USAGE MOVE OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT PERSIST PEXPIRE \
         PEXPIREAT PEXPIRETIME PFADD PSETEX PTTL PUBLISH RESTORE RESTORE-ASKING RPOP RPUSH RPUSHX SADD SCARD SELECT SET SETBIT SETEX \
         SETNX SETRANGE SISMEMBER SMEMBERS SMISMEMBER SORT SORT_RO SPOP SPUBLISH SRANDMEMBER SREM SSCAN STRLEN SUBSTR TTL TYPE VADD \
         VCARD VDIM VEMB VGETATTR VINFO VLINKS VRANDMEMBER VREM VSETATTR VSIM XADD XAUTOCLAIM XCLAIM XDEL XINFO|CONSUMERS \
         XINFO|GROUPS XINFO|STREAM XLEN XRANGE XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN \
         ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE \
         ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE",
    ),
    (
        "kk",
        "BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE HEXISTS HGET HINCRBY HINCRBYFLOAT HSETNX HSTRLEN LCS LMOVE RENAME RENAMENX RPOPLPUSH \
         SMOVE XACK XGROUP|CREATE XGROUP|CREATECONSUMER XGROUP|DELCONSUMER XGROUP|DESTROY XGROUP|SETID XPENDING ZRANGESTORE",
    ),
    ("k|k", "HDEL HMGET"),
    ("k|k?", "HMSET HSET"),
    (
        "|k",
        "BITOP CONFIG|GET DEL EXISTS MGET PFCOUNT PFMERGE PSUBSCRIBE PUNSUBSCRIBE SDIFF SDIFFSTORE SINTER SINTERSTORE SSUBSCRIBE \
         SUBSCRIBE SUNION SUNIONSTORE SUNSUBSCRIBE TOUCH UNLINK UNSUBSCRIBE WATCH",
    ),
    ("|k?", "MSET MSETNX"),
    ("|k.", "BLPOP BRPOP BZPOPMAX BZPOPMIN"),
    ("n", "LMPOP SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION"),
    ("kn", "ZDIFFSTORE ZINTERSTORE ZUNIONSTORE"),
    ("?n", "BLMPOP BZMPOP EVAL EVAL_RO"),
    ("sn", "EVALSHA EVALSHA_RO FCALL FCALL_RO"),
];

/// Every command and every container, by name.
static COMMANDS: LazyLock<FxHashMap<Vec<u8>, Command>> = LazyLock::new(|| {
    let mut all = FxHashMap::default();
    for &(shape, names) in SHAPES {
        for name in names.split_ascii_whitespace() {
            if let Some((container, _)) = name.split_once('|') {
                let command = Command { name: container.to_owned(), shape: "", effect: Effect::Container };
                all.insert(container.as_bytes().to_vec(), command);
            }
            let command = Command { name: name.replace('|', " "), shape, effect: effect(name) };
            all.insert(command.name.as_bytes().to_vec(), command);
        }
    }
    all
});

/// What the command `name` means for what follows.
fn effect(name: &str) -> Effect {
    let confirmation = CONFIRMATIONS.iter().zip(0..).find(|(word, _)| word.eq_ignore_ascii_case(name));
    match name {
        "GET" | "GETEX" | "GETDEL" | "HGET" | "LINDEX" | "ZSCORE" | "ZRANK" | "ZREVRANK" | "DUMP" | "JSON.GET" => Effect::Read,
        "SELECT" => Effect::Select,
        "PING" | "QUIT" => Effect::WhileSubscribed,
        "RESET" => Effect::Reset,
        "EXEC" | "DISCARD" => Effect::EndTransaction,
        "MONITOR" => Effect::Monitor,
        "PSYNC" | "SYNC" => Effect::Replicate,
        "CLIENT|REPLY" => Effect::ClientReply,
        _ => confirmation.map_or(Effect::None, |(_, word)| Effect::Subscribe(Word::Confirmation(word))),
    }
}

/// Whether `word` could be a command's name: short, and of the characters that names are made of.
pub(super) fn is_name(word: &[u8]) -> bool {
    word.len() <= MAX_WORD
        && word.first().is_some_and(u8::is_ascii_alphabetic)
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// The command that `word` names in any case, together with `sub` if it is a container; and how many words its name has.
pub(super) fn find(word: &[u8], sub: Option<&[u8]>) -> Option<(&'static Command, usize)> {
    let mut buffer = [0; 2 * MAX_WORD + 1];
    let name = buffer.get_mut(..word.len()).filter(|_| is_name(word))?;
    name.copy_from_slice(word);
    name.make_ascii_uppercase();
    let command = COMMANDS.get(&*name)?;
    let sub = sub.filter(|sub| command.effect == Effect::Container && is_name(sub));
    let both = sub.and_then(|sub| {
        let name = buffer.get_mut(..word.len() + 1 + sub.len())?;
        let (_, tail) = name.split_at_mut_checked(word.len())?;
        tail.iter_mut().zip([b' '].iter().chain(sub)).for_each(|(to, from)| *to = from.to_ascii_uppercase());
        COMMANDS.get(&*name)
    });
    Some(both.map_or((command, 1), |both| (both, 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_one_group_and_are_short() {
        let mut names: Vec<&str> = SHAPES.iter().flat_map(|(_, names)| names.split_ascii_whitespace()).collect();
        assert!(names.iter().flat_map(|name| name.split('|')).all(|word| is_name(word.as_bytes())));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_container_takes_its_subcommand_into_its_name() {
        let found = |word: &str, sub: Option<&str>| {
            find(word.as_bytes(), sub.map(str::as_bytes)).map(|(command, words)| (command.name.as_str(), words))
        };
        assert_eq!(found("get", Some("SET")), Some(("GET", 1)));
        assert_eq!(found("config", Some("get")), Some(("CONFIG GET", 2)));
        assert_eq!(found("Config", Some("hunter2")), Some(("CONFIG", 1)));
        assert_eq!(found("CONFIG", None), Some(("CONFIG", 1)));
        assert_eq!(found("command", Some("docs")), Some(("COMMAND DOCS", 2)));
        assert_eq!(found("config get", None), None, "a name with a space in it is no word of the protocol");
        assert_eq!(found("NOPE", None), None);
        assert_eq!(found(&"X".repeat(100), None), None);
    }
}
