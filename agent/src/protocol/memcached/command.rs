//! The table of commands: what each is called, and what it means for the bytes that follow it and for its answer.
//!
//! Commands of the binary protocol have the names of the text protocol, where there is one.

/// What a command is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A read: so many arguments, then keys.
    Read(u8),
    /// A value follows, whose length is the fourth argument.
    Store,
    /// A change of one key, with at least so many arguments, the key among them.
    Change(u8),
    /// `mg`.
    MetaRead,
    /// `ms`: a value follows, whose length is the second argument.
    MetaStore,
    /// The other meta commands that have a key.
    Meta,
    /// `mn` and the binary no-op: ends what is quiet, or asks whether the server is there.
    Noop,
    /// Anything that concerns no key.
    Other,
    /// No answer, and the connection ends.
    Quit,
    /// The answer is a log without end.
    Watch,
}

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Its name.
    pub(super) name: &'static str,
    /// How it is written with one key, or with none if it has none.
    pub(super) text: &'static str,
    /// What it is like.
    pub(super) form: Form,
}

const fn command(name: &'static str, text: &'static str, form: Form) -> Command {
    Command { name, text, form }
}

/// All commands, the frequent ones first.
pub(super) static COMMANDS: [Command; 36] = [
    command("get", "get ?", Form::Read(0)),
    command("set", "set ?", Form::Store),
    command("gets", "gets ?", Form::Read(0)),
    command("mg", "mg ?", Form::MetaRead),
    command("ms", "ms ?", Form::MetaStore),
    command("md", "md ?", Form::Meta),
    command("ma", "ma ?", Form::Meta),
    command("mn", "mn", Form::Noop),
    command("noop", "noop", Form::Noop),
    command("delete", "delete ?", Form::Change(1)),
    command("incr", "incr ?", Form::Change(2)),
    command("decr", "decr ?", Form::Change(2)),
    command("touch", "touch ?", Form::Change(2)),
    command("cas", "cas ?", Form::Store),
    command("add", "add ?", Form::Store),
    command("replace", "replace ?", Form::Store),
    command("append", "append ?", Form::Store),
    command("prepend", "prepend ?", Form::Store),
    command("gat", "gat ?", Form::Read(1)),
    command("gats", "gats ?", Form::Read(1)),
    command("me", "me ?", Form::Meta),
    command("version", "version", Form::Other),
    command("stats", "stats", Form::Other),
    command("flush_all", "flush_all", Form::Other),
    command("verbosity", "verbosity", Form::Other),
    command("quit", "quit", Form::Quit),
    command("watch", "watch", Form::Watch),
    command("cache_memlimit", "cache_memlimit", Form::Other),
    command("slabs", "slabs", Form::Other),
    command("lru", "lru", Form::Other),
    command("lru_crawler", "lru_crawler", Form::Other),
    command("extstore", "extstore", Form::Other),
    command("shutdown", "shutdown", Form::Quit),
    command("config", "config", Form::Other),
    command("sasl_list_mechs", "sasl_list_mechs", Form::Other),
    command("sasl_auth", "sasl_auth", Form::Other),
];

/// A line that is no command: servers answer it with `ERROR`.
pub(super) static UNKNOWN: Command = command("memcached", "?", Form::Other);

/// The command of that name, in lower case as servers want it.
pub(super) fn find(word: &[u8]) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name.as_bytes() == word)
}

impl Command {
    /// Whether its answer is one of the meta protocol's two letters.
    pub(super) fn is_meta(&self) -> bool {
        matches!(self.form, Form::MetaRead | Form::MetaStore | Form::Meta)
    }

    /// Whether it looks for keys.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.form, Form::Read(_) | Form::MetaRead)
    }
}
