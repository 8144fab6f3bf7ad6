//! The table of commands: the first byte of a client's packet, its name, and what kind of answer it gets.

/// What answers a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing does, and it says nothing of a statement: no span.
    Nothing,
    /// One packet.
    One,
    /// Packets until the authentication has ended.
    Login,
    /// Result sets, or one packet.
    Results,
    /// A description of what was prepared.
    Prepared,
    /// Rows, or definitions of columns, until their end.
    Rows,
    /// A stream of what was changed.
    Replication,
}

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Its name in the protocol.
    pub(super) name: &'static str,
    /// What answers it.
    pub(super) answer: Answer,
    /// Its shortest and longest payload, the first byte included.
    pub(super) lengths: (u32, u32),
}

/// The first bytes that this module's users tell apart.
pub(super) const QUIT: u8 = 0x01;
pub(super) const INIT_DB: u8 = 0x02;
pub(super) const QUERY: u8 = 0x03;
pub(super) const CREATE_DB: u8 = 0x05;
pub(super) const DROP_DB: u8 = 0x06;
pub(super) const PING: u8 = 0x0e;
pub(super) const CHANGE_USER: u8 = 0x11;
pub(super) const PREPARE: u8 = 0x16;
pub(super) const EXECUTE: u8 = 0x17;
pub(super) const CLOSE: u8 = 0x19;
pub(super) const RESET_CONNECTION: u8 = 0x1f;
pub(super) const BULK_EXECUTE: u8 = 0xfa;

/// Longest name of a database or table: 64 characters, of four bytes at most.
pub(super) const MAX_NAME: u32 = 256;

/// The command that a packet with this first byte is.
pub(super) fn find(code: u8) -> Option<Command> {
    use Answer::{Login, Nothing, One, Prepared, Replication, Results, Rows};
    const ANY: u32 = u32::MAX;
    let (name, answer, lengths) = match code {
        QUIT => ("COM_QUIT", Nothing, (1, 1)),
        INIT_DB => ("COM_INIT_DB", One, (1, 1 + MAX_NAME)),
        QUERY => ("COM_QUERY", Results, (1, ANY)),
        0x04 => ("COM_FIELD_LIST", Rows, (2, 2 + 2 * MAX_NAME)),
        CREATE_DB => ("COM_CREATE_DB", One, (2, 1 + MAX_NAME)),
        DROP_DB => ("COM_DROP_DB", One, (2, 1 + MAX_NAME)),
        0x07 => ("COM_REFRESH", One, (2, 2)),
        0x08 => ("COM_SHUTDOWN", One, (1, 2)),
        0x09 => ("COM_STATISTICS", One, (1, 1)),
        0x0a => ("COM_PROCESS_INFO", Results, (1, 1)),
        0x0c => ("COM_PROCESS_KILL", One, (5, 5)),
        0x0d => ("COM_DEBUG", One, (1, 1)),
        PING => ("COM_PING", One, (1, 1)),
        CHANGE_USER => ("COM_CHANGE_USER", Login, (4, 0xffff)),
        0x12 => ("COM_BINLOG_DUMP", Replication, (11, 1024)),
        0x15 => ("COM_REGISTER_SLAVE", One, (18, 1024)),
        PREPARE => ("COM_STMT_PREPARE", Prepared, (1, ANY)),
        EXECUTE => ("COM_STMT_EXECUTE", Results, (10, ANY)),
        0x18 => ("COM_STMT_SEND_LONG_DATA", Nothing, (7, ANY)),
        CLOSE => ("COM_STMT_CLOSE", Nothing, (5, 5)),
        0x1a => ("COM_STMT_RESET", One, (5, 5)),
        0x1b => ("COM_SET_OPTION", One, (3, 3)),
        0x1c => ("COM_STMT_FETCH", Rows, (9, 9)),
        0x1e => ("COM_BINLOG_DUMP_GTID", Replication, (11, ANY)),
        RESET_CONNECTION => ("COM_RESET_CONNECTION", One, (1, 1)),
        BULK_EXECUTE => ("COM_STMT_BULK_EXECUTE", Results, (7, ANY)),
        _ => return None,
    };
    Some(Command { name, answer, lengths })
}
