//! An executable and what a process has mapped become the runtime that the process is, and what that says about its threads.
//!
//! Pure: the facts come from [`super::binary`] and [`super::process`]. A process may lie about itself; the worst result is that
//! its own links are orphans, or wrong.
use super::binary::Binary;
use super::program::Interpreter;
use serde::{Deserialize, Serialize};

/// A runtime, as far as it decides how requests are linked to calls and what language is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Runtime {
    /// nginx: one loop that runs a handler from a read to the next.
    Nginx,
    /// nginx with Lua: coroutines and timers in the same loop.
    NginxLua,
    /// Node.js.
    Node,
    /// Deno.
    Deno,
    /// Bun.
    Bun,
    /// Go.
    Go,
    /// Rust with the tokio runtime.
    Tokio,
    /// Rust without it.
    Rust,
    /// Python with an event loop: asyncio (also with uvloop) or gevent loaded, and an epoll instance for it.
    PythonAsyncio,
    /// Python without one.
    Python,
    /// A JVM.
    Java,
    /// Ruby.
    Ruby,
    /// PHP.
    Php,
    /// .NET.
    DotNet,
    /// Perl.
    Perl,
    /// Erlang or Elixir.
    Beam,
    /// Machine code of another kind.
    Native,
    /// The executable could not be read, or not to its end yet.
    Unknown,
}

/// What a runtime says about links by thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classification {
    /// A loop whose calls follow from the last read of its thread.
    KnownLoop,
    /// A loop that runs several requests in one thread, or units that move between threads: a link by thread needs an adapter.
    NoAdapter,
    /// Perhaps such a loop: a library for one is loaded, or the executable could not be read. Behaviour has to prove threads first.
    Doubtful,
    /// Nothing speaks against links by thread.
    NoObjection,
}

impl Runtime {
    /// What this runtime says about links by thread.
    #[must_use]
    pub fn classification(self) -> Classification {
        match self {
            Self::Nginx => Classification::KnownLoop,
            Self::NginxLua | Self::Node | Self::Deno | Self::Bun | Self::Go | Self::Tokio | Self::DotNet | Self::Beam => {
                Classification::NoAdapter
            }
            // Another thread may run the loop, for something that has nothing to do with requests.
            Self::PythonAsyncio | Self::Unknown => Classification::Doubtful,
            Self::Rust | Self::Python | Self::Java | Self::Ruby | Self::Php | Self::Perl | Self::Native => Classification::NoObjection,
        }
    }

    /// `telemetry.sdk.language`, in the words of the conventions where they have one. C has none and is reported with C++.
    #[must_use]
    pub fn language(self) -> Option<&'static str> {
        Some(match self {
            Self::Nginx | Self::NginxLua | Self::Native => "cpp",
            Self::Node => "nodejs",
            Self::Deno | Self::Bun => "javascript",
            Self::Go => "go",
            Self::Tokio | Self::Rust => "rust",
            Self::PythonAsyncio | Self::Python => "python",
            Self::Java => "java",
            Self::Ruby => "ruby",
            Self::Php => "php",
            Self::DotNet => "dotnet",
            Self::Perl => "perl",
            Self::Beam => "erlang",
            Self::Unknown => return None,
        })
    }

    /// `process.runtime.name`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Node => "nodejs",
            Self::Deno => "deno",
            Self::Bun => "bun",
            Self::Go => "go",
            Self::Tokio => "tokio",
            Self::PythonAsyncio | Self::Python => "cpython",
            Self::Java => "jvm",
            Self::Ruby => "ruby",
            Self::Php => "php",
            Self::DotNet => ".NET",
            Self::Perl => "perl",
            Self::Beam => "BEAM",
            Self::Nginx | Self::NginxLua | Self::Rust | Self::Native | Self::Unknown => return None,
        })
    }

    /// Whether a library loaded later can change the answer.
    #[must_use]
    pub fn may_change(self) -> bool {
        matches!(self, Self::Python | Self::Native | Self::Nginx | Self::Rust | Self::Unknown)
    }
}

/// Libraries that tell a runtime, found among the files that a process has mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a set of independent findings")]
pub struct Mapped {
    /// An event loop of Python: `_asyncio`, uvloop, gevent.
    pub asyncio: bool,
    /// `libpython`.
    pub python: bool,
    /// `libjvm.so`.
    pub java: bool,
    /// `libnode`.
    pub node: bool,
    /// `libruby`.
    pub ruby: bool,
    /// `libphp`.
    pub php: bool,
    /// `libcoreclr.so`.
    pub dotnet: bool,
    /// `libluajit` or nginx's Lua module.
    pub lua: bool,
}

impl Mapped {
    /// Reads lines of `/proc/PID/maps` (`proc_pid_maps(5)`).
    #[must_use]
    pub fn parse(maps: &[u8]) -> Self {
        let mut found = Self::default();
        let mut last: &[u8] = &[];
        for line in maps.split(|&b| b == b'\n') {
            // A path is the only thing in a line with a slash: a device number has none.
            let Some(at) = line.iter().position(|&b| b == b'/') else { continue };
            let path = line.get(at..).unwrap_or_default();
            if path == last {
                continue;
            }
            last = path;
            let file = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
            let has = |part: &[u8]| memchr::memmem::find(path, part).is_some();
            found.asyncio |=
                file.starts_with(b"_asyncio.") || (memchr::memmem::find(file, b".so").is_some() && (has(b"/uvloop/") || has(b"/gevent/")));
            found.python |= file.starts_with(b"libpython");
            found.java |= file.starts_with(b"libjvm.so");
            found.node |= file.starts_with(b"libnode.so");
            found.ruby |= file.starts_with(b"libruby");
            found.php |= file.starts_with(b"libphp");
            found.dotnet |= file.starts_with(b"libcoreclr.so");
            found.lua |= file.starts_with(b"libluajit") || file.starts_with(b"ngx_http_lua_module");
        }
        found
    }
}

/// Recognises a runtime from the executable's file name, its content, and what is mapped, which is asked for where it matters.
/// `polls` says whether the process has an epoll instance; it is asked only for a Python with asyncio built in or loaded, because a
/// running loop needs one. A program with an epoll instance for another reason is then called a loop, which costs links and never makes a
/// wrong one.
#[must_use]
pub fn recognise(executable: &str, binary: Option<&Binary>, mapped: impl FnOnce() -> Mapped, polls: impl FnOnce() -> bool) -> Runtime {
    let content = binary.cloned().unwrap_or_default();
    if content.go.is_some() {
        return Runtime::Go;
    }
    match Interpreter::of(executable) {
        // PyPy's asyncio is Python code: nothing of it is mapped.
        Some(Interpreter::Python) if executable.starts_with("pypy") => return python(true, mapped(), polls),
        Some(Interpreter::Python | Interpreter::Uwsgi) => return python(content.asyncio, mapped(), polls),
        Some(Interpreter::Node) => return Runtime::Node,
        Some(Interpreter::Deno) => return if executable.starts_with("bun") { Runtime::Bun } else { Runtime::Deno },
        Some(Interpreter::Java) => return Runtime::Java,
        Some(Interpreter::Ruby) => return Runtime::Ruby,
        Some(Interpreter::Php | Interpreter::PhpFpm) => return Runtime::Php,
        Some(Interpreter::DotNet) => return Runtime::DotNet,
        Some(Interpreter::Perl) => return Runtime::Perl,
        Some(Interpreter::Beam) => return Runtime::Beam,
        Some(Interpreter::Shell) | None => {}
    }
    let mapped = mapped();
    if content.nginx && (executable.contains("nginx") || executable.contains("openresty")) {
        return if content.openresty || mapped.lua { Runtime::NginxLua } else { Runtime::Nginx };
    }
    match () {
        () if mapped.java => Runtime::Java,
        () if mapped.dotnet => Runtime::DotNet,
        () if content.node || mapped.node => Runtime::Node,
        () if mapped.python => python(content.asyncio, mapped, polls),
        () if mapped.ruby => Runtime::Ruby,
        () if mapped.php => Runtime::Php,
        () if content.tokio => Runtime::Tokio,
        () if content.rust => Runtime::Rust,
        () if binary.is_some() => Runtime::Native,
        () => Runtime::Unknown,
    }
}

/// A library for loops says nothing yet: clients such as redis-py import asyncio into programs that only use threads.
fn python(built_in: bool, mapped: Mapped, polls: impl FnOnce() -> bool) -> Runtime {
    if (mapped.asyncio || built_in) && polls() { Runtime::PythonAsyncio } else { Runtime::Python }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> bool {
        false
    }

    #[test]
    fn runtimes_are_recognised_by_name_content_and_libraries() {
        let plain = Binary::default();
        let mapped = Mapped::default();
        let go = Binary { go: Some("go1.26.8".to_owned()), ..plain.clone() };
        let nginx = Binary { nginx: true, ..plain.clone() };
        let openresty = Binary { nginx: true, openresty: true, ..plain.clone() };
        let tokio = Binary { rust: true, tokio: true, ..plain.clone() };
        let node = Binary { node: true, ..plain.clone() };
        let builtin = Binary { asyncio: true, ..plain.clone() };
        for (executable, binary, mapped, expected) in [
            ("nginx", Some(&nginx), mapped, Runtime::Nginx),
            ("nginx-debug", Some(&nginx), mapped, Runtime::Nginx),
            ("nginx", Some(&nginx), Mapped { lua: true, ..mapped }, Runtime::NginxLua),
            ("nginx", Some(&openresty), mapped, Runtime::NginxLua),
            ("nginx", Some(&plain), mapped, Runtime::Native),
            ("haproxy", Some(&nginx), mapped, Runtime::Native),
            ("nginx", Some(&go), mapped, Runtime::Go),
            ("node", Some(&plain), mapped, Runtime::Node),
            ("orders", Some(&node), mapped, Runtime::Node),
            ("python3.11", Some(&plain), mapped, Runtime::Python),
            ("python3.11", Some(&plain), Mapped { asyncio: true, ..mapped }, Runtime::Python),
            ("python3.13", Some(&builtin), mapped, Runtime::Python),
            ("uwsgi", Some(&plain), Mapped { python: true, ..mapped }, Runtime::Python),
            ("orders", Some(&tokio), mapped, Runtime::Tokio),
            ("Orders", Some(&plain), Mapped { dotnet: true, ..mapped }, Runtime::DotNet),
            ("orders", Some(&plain), Mapped { java: true, ..mapped }, Runtime::Java),
            ("java", None, mapped, Runtime::Java),
            ("bash", Some(&plain), mapped, Runtime::Native),
            ("redis-server", Some(&plain), mapped, Runtime::Native),
            ("redis-server", None, mapped, Runtime::Unknown),
        ] {
            assert_eq!(recognise(executable, binary, || mapped, none), expected, "{executable} {binary:?} {mapped:?}");
        }
        assert_eq!(recognise("python3.13", Some(&builtin), || mapped, || true), Runtime::PythonAsyncio);
        let loaded = Mapped { python: true, asyncio: true, ..mapped };
        assert_eq!(recognise("python3.11", Some(&plain), || loaded, || true), Runtime::PythonAsyncio);
        assert_eq!(recognise("granian", Some(&tokio), || loaded, || true), Runtime::PythonAsyncio);
        assert_eq!(recognise("pypy3.10", Some(&plain), || mapped, || true), Runtime::PythonAsyncio);
        assert_eq!(recognise("python3.13", Some(&plain), || mapped, || true), Runtime::Python);
    }

    #[test]
    fn libraries_are_found_in_maps_and_hostile_lines_are_not_believed_to_be_paths() {
        let maps = b"55d0-55d1 r--p 00000000 fe:00 1 /usr/bin/python3.11\n\
            7f00-7f01 r-xp 00000000 fe:00 2 /usr/lib/python3.11/lib-dynload/_asyncio.cpython-311-x86_64-linux-gnu.so\n\
            7f00-7f01 r-xp 00000000 fe:00 2 /opt/libjvm.so.d/x (deleted)\n[heap]\nlibruby\n\xff\xfe/";
        assert_eq!(Mapped::parse(maps), Mapped { asyncio: true, ..Mapped::default() });
        let maps = b"7f-80 r-xp 0 0:0 2 /v/site-packages/uvloop/loop.cpython-312-x86_64-linux-gnu.so\n7f-80 r--p 0 0:0 2 /usr/lib/jvm/lib/server/libjvm.so";
        assert_eq!(Mapped::parse(maps), Mapped { asyncio: true, java: true, ..Mapped::default() });
    }
}
