//! What is known of a process becomes the name of its service.
//!
//! Pure: the text comes from [`super::process`]. The order is that of the conventions: what the process's own environment says,
//! else what it runs, else the file it was started from. The kernel's `comm` (15 bytes, often a thread's name) comes last.
use super::environment::{Environment, clean};
use super::java;
use super::program::{Interpreter, Program};
use serde::{Deserialize, Serialize};

/// Longest service name, bytes: the limit of backends that have one.
const LONGEST: usize = 255;
/// Directories above a script that are asked for a name.
const PARENTS: usize = 6;

/// How a service name was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// `OTEL_SERVICE_NAME`.
    ServiceName,
    /// `service.name` in `OTEL_RESOURCE_ATTRIBUTES`.
    ResourceAttributes,
    /// `package.json`.
    Package,
    /// What an interpreter was told to run.
    Program,
    /// The systemd unit of an interpreter that runs something without a name.
    Unit,
    /// The executable, or the applet of a multi-call executable.
    Executable,
    /// The kernel's `comm`: the executable could not be seen.
    Comm,
    /// Nothing was known.
    Unknown,
}

/// What is known of a process. All of it is text that the process could choose.
#[derive(Clone, Debug, Default)]
pub struct Clues<'a> {
    /// Path of the executable, as `/proc/PID/exe` shows it without ` (deleted)`; may be empty.
    pub executable: &'a str,
    /// Command line.
    pub args: &'a [String],
    /// Kernel's name of the main thread.
    pub comm: &'a str,
    /// Working directory; may be empty.
    pub directory: &'a str,
    /// systemd service, if it has one of its own and is in no container.
    pub unit: Option<&'a str>,
    /// `name` in the `package.json` nearest to [`Clues::package_directory`].
    pub package: Option<&'a str>,
}

/// Executables that are many programs and choose by the name they were started with.
const MULTI_CALL: &[&str] =
    &["busybox", "toybox", "coreutils", "redis-check-rdb", "redis-check-aof", "valkey-check-rdb", "valkey-check-aof"];

/// Names of scripts and modules that a thousand services have.
const GENERIC_STEMS: &[&str] = &[
    "__init__",
    "__main__",
    "app",
    "application",
    "artisan",
    "asgi",
    "celery",
    "celery_app",
    "cli",
    "config",
    "console",
    "index",
    "main",
    "manage",
    "quarkus-run",
    "run",
    "server",
    "src",
    "start",
    "wsgi",
];

/// Directories that say how a program is laid out, not which one it is.
const GENERIC_DIRECTORIES: &[&str] = &[
    "",
    "app",
    "application",
    "bin",
    "build",
    "code",
    "deployments",
    "dist",
    "home",
    "lib",
    "libs",
    "local",
    "opt",
    "out",
    "public",
    "quarkus-app",
    "root",
    "sbin",
    "script",
    "scripts",
    "srv",
    "src",
    "target",
    "tmp",
    "usr",
    "var",
    "work",
    "workdir",
    "workspace",
    "www",
];

/// Endings of scripts and archives that are not part of a name.
const EXTENSIONS: &[&str] = &[
    ".py", ".pyc", ".pyz", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx", ".rb", ".ru", ".php", ".phar", ".pl", ".psgi",
    ".sh", ".bash", ".dll", ".exe", ".jar", ".war", ".java",
];

/// The name of the service that a process is, and how it was found. Never empty.
#[must_use]
pub fn name(clues: &Clues, environment: &Environment) -> (String, Source) {
    let said = [(&environment.service_name, Source::ServiceName), (&environment.attributes_name, Source::ResourceAttributes)];
    if let Some((name, source)) = said.into_iter().find_map(|(name, source)| Some((name.as_ref()?, source))) {
        return (clean(name, LONGEST), source);
    }
    let (text, source) = clues.guess(environment);
    match clean(&text, LONGEST) {
        text if text.is_empty() => ("unknown_service".to_owned(), Source::Unknown),
        text => (text, source),
    }
}

impl Clues<'_> {
    fn guess(&self, environment: &Environment) -> (String, Source) {
        let own = self.program_name();
        let Some(interpreter) = Interpreter::of(&own.0) else { return own };
        let program = interpreter.program(self.operands(&own.0), environment);
        if let Some(package) = self.package.filter(|_| has_packages(interpreter)) {
            return (package.to_owned(), Source::Package);
        }
        let (name, directory, weak) = match program {
            Program::Name(name) => (name, String::new(), String::new()),
            // `bash <(...)` runs /dev/fd/3, `python /dev/stdin` what it is given.
            Program::Script(path) if path.starts_with("/dev/") || path.starts_with("/proc/") => Default::default(),
            Program::Script(path) => {
                let path = absolute(self.directory, &path);
                let (parent, file) = path.rsplit_once('/').unwrap_or(("", &path));
                (stem(file).to_owned(), parent.to_owned(), stem(file).to_owned())
            }
            Program::Module(module, directory) => {
                // `http.server` and its like are names as they are; alone, `server` is none.
                let tail = |part: &&str| *part != "server" && GENERIC_STEMS.contains(part);
                let kept = module.split('.').rev().skip_while(tail).count();
                let name = module.split('.').take(kept).collect::<Vec<_>>().join(".");
                let directory = directory.map_or_else(|| self.directory.to_owned(), |to| absolute(self.directory, &to));
                (name, directory, module.split('.').next().unwrap_or("").to_owned())
            }
            Program::Directory(tool) => (String::new(), self.directory.to_owned(), tool),
            Program::Anonymous => Default::default(),
        };
        if let Some(name) = specific(&name, &directory) {
            return (name.to_owned(), Source::Program);
        }
        match self.unit {
            Some(unit) => (unit.to_owned(), Source::Unit),
            None if weak.is_empty() => own,
            None => (weak, Source::Program),
        }
    }

    /// The executable's name, or what a multi-call executable was called as.
    fn program_name(&self) -> (String, Source) {
        let file = self.executable.rsplit('/').next().unwrap_or("");
        let called = self.args.first().map_or("", |word| called(word));
        let anonymous = self.executable.is_empty() || self.executable.starts_with("/memfd:");
        if (anonymous || MULTI_CALL.contains(&file)) && !called.is_empty() {
            let applet = self.args.get(1).map_or("", |word| self::called(word));
            let name = if MULTI_CALL.contains(&called) && called == file && !applet.is_empty() { applet } else { called };
            return (name.to_owned(), Source::Executable);
        }
        if file.is_empty() { (self.comm.to_owned(), Source::Comm) } else { (file.to_owned(), Source::Executable) }
    }

    /// The command line from the interpreter's name on: `busybox sh x` is `sh x`.
    fn operands(&self, program: &str) -> &[String] {
        let applet = self.args.first().is_some_and(|word| called(word) != program)
            && MULTI_CALL.contains(&self.executable.rsplit('/').next().unwrap_or(""));
        self.args.get(usize::from(applet)..).unwrap_or_default()
    }

    /// Where to look for `package.json`, and from there upwards: beside the script, else in the working directory. For programs
    /// that have packages only. A script below `node_modules` is a tool: what it runs is above.
    #[must_use]
    pub fn package_directory(&self, environment: &Environment) -> Option<String> {
        let own = self.program_name().0;
        let interpreter = Interpreter::of(&own).filter(|&interpreter| has_packages(interpreter))?;
        let Program::Script(script) = interpreter.program(self.operands(&own), environment) else { return Some(self.directory.to_owned()) };
        let path = absolute(self.directory, &script);
        let (above, _) = path.split_once("/node_modules/").or_else(|| path.rsplit_once('/'))?;
        Some(above.to_owned())
    }
}

fn has_packages(interpreter: Interpreter) -> bool {
    matches!(interpreter, Interpreter::Node | Interpreter::Deno)
}

/// The program's name in `argv[0]`: no path, no dash of a login shell, nothing of a title such as `nginx: worker process`.
fn called(word: &str) -> &str {
    let first = word.split_ascii_whitespace().next().unwrap_or("");
    first.rsplit('/').next().unwrap_or("").trim_start_matches('-').trim_end_matches(':')
}

/// `name` if it is one, else the nearest directory that is.
fn specific<'a>(name: &'a str, directory: &'a str) -> Option<&'a str> {
    if !name.is_empty() && !GENERIC_STEMS.contains(&name) {
        return Some(name);
    }
    directory.trim_end_matches('/').rsplit('/').take(PARENTS).find(|part| !GENERIC_DIRECTORIES.contains(part))
}

/// A file's name without the ending of its kind, and for archives without their version.
fn stem(file: &str) -> &str {
    let Some(ending) = EXTENSIONS.iter().find(|ending| file.len() > ending.len() && file.to_ascii_lowercase().ends_with(*ending)) else {
        return file;
    };
    let base = file.get(..file.len() - ending.len()).unwrap_or(file);
    if matches!(*ending, ".jar" | ".war") { java::without_version(base) } else { base }
}

/// `path` seen from `directory`, with `.` and `..` worked out as text.
fn absolute(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { directory };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The name of `executable` with this command line (words apart by `|`) in this directory.
    fn named(executable: &str, line: &str, directory: &str) -> String {
        let args: Vec<String> = line.split('|').map(str::to_owned).collect();
        name(&Clues { executable, args: &args, comm: "comm", directory, ..Clues::default() }, &Environment::default()).0
    }

    #[test]
    fn programs_are_named_as_people_name_them() {
        for (executable, line, directory, expected) in [
            ("/usr/sbin/nginx", "nginx: worker process", "/", "nginx"),
            ("/usr/bin/redis-server", "redis-server 127.0.0.1:6379", "/", "redis-server"),
            ("/usr/bin/redis-check-rdb", "/usr/bin/redis-server 127.0.0.1:6379", "/", "redis-server"),
            ("/usr/lib/postgresql/15/bin/postgres", "postgres: checkpointer ", "/", "postgres"),
            ("/bin/busybox", "httpd|-f", "/", "httpd"),
            ("/bin/busybox", "busybox|sh|/srv/poll.sh", "/", "poll"),
            ("/usr/bin/coreutils", "sleep|1", "/", "sleep"),
            ("/memfd:x", "/run/agent|-d", "/", "agent"),
            ("", "/opt/worker|-x", "/", "worker"),
            ("", "", "/", "comm"),
            ("/app/main", "/app/main", "/app", "main"),
            ("/usr/bin/java", "java|-jar|/app/orders-1.2.3.jar", "/", "orders"),
            ("/usr/bin/java", "java|-jar|app.jar", "/opt/billing", "billing"),
            ("/usr/bin/java", "java|-jar|/app.jar", "/", "app"),
            ("/usr/bin/java", "java|-jar|/usr/share/java/jenkins.war", "/", "jenkins"),
            ("/usr/bin/java", "java|org.springframework.boot.loader.JarLauncher", "/srv/pay", "pay"),
            ("/usr/bin/java", "java|-Xmx1g", "/srv/pay", "java"),
            ("/usr/bin/python3.11", "python3|-m|http.server|8000", "/srv/x", "http.server"),
            ("/usr/bin/python3.11", "python3|-m|shop.orders.main", "/", "shop.orders"),
            ("/usr/bin/python3.11", "/usr/bin/python3|/srv/shop/manage.py|runserver", "/", "shop"),
            ("/usr/bin/python3.11", "python3|orders.py", "/srv", "orders"),
            ("/usr/bin/python3.11", "python3|../app.py", "/srv/shop/bin", "shop"),
            ("/usr/bin/python3.11", "python3|app.py", "/app", "app"),
            ("/usr/bin/python3.11", "python3|-c|pass", "/srv/shop", "python3.11"),
            ("/usr/bin/python3.11", "python3|/usr/bin/gunicorn|shop.wsgi:app", "/", "shop"),
            ("/usr/bin/python3.11", "python3|/usr/bin/uvicorn|app.main:app", "/home/me/orders", "orders"),
            ("/usr/bin/python3.11", "python3|/usr/bin/uvicorn|main:app|--app-dir|svc/pay/src", "/opt", "pay"),
            ("/usr/bin/python3.11", "python3|/usr/bin/uvicorn|main:app", "/code", "main"),
            ("/usr/bin/python3.11", "python3|-m|celery|--app|shop.celery|worker", "/", "shop"),
            ("/usr/bin/uwsgi-core", "uwsgi|--wsgi-file|/srv/shop/wsgi.py", "/", "shop"),
            ("/usr/bin/node", "node|/srv/orders/dist/index.js", "/", "orders"),
            ("/usr/bin/node", "node|worker.mjs", "/srv/orders", "worker"),
            ("/usr/bin/node", "node|-e|1", "/srv/orders", "node"),
            ("/usr/local/bin/bun", "bun|run|./server.ts", "/srv/orders", "orders"),
            ("/usr/bin/deno", "deno|run|-A|https://example.org/chat.ts", "/", "chat"),
            ("/usr/bin/ruby3.1", "puma 6.4.0 (tcp://0.0.0.0:3000) [shop]", "/", "shop"),
            ("/usr/bin/ruby3.1", "/usr/bin/ruby|bin/rails|server", "/srv/shop", "shop"),
            ("/usr/bin/ruby3.1", "ruby|/srv/clock.rb", "/", "clock"),
            ("/usr/sbin/php-fpm8.2", "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)", "/", "php-fpm"),
            ("/usr/sbin/php-fpm8.2", "php-fpm: pool shop", "/", "shop"),
            ("/usr/bin/php8.2", "php|artisan|serve", "/var/www/shop", "shop"),
            ("/usr/share/dotnet/dotnet", "dotnet|Orders.Api.dll", "/app", "Orders.Api"),
            ("/app/Orders", "./Orders|--urls|http://*:80", "/app", "Orders"),
            ("/usr/bin/perl", "/usr/bin/perl|-w|/srv/poll.pl", "/", "poll"),
            ("/usr/bin/bash", "bash|/dev/fd/3", "/srv/shop", "bash"),
            ("/usr/bin/dash", "/bin/sh|/opt/run.sh|x", "/", "run"),
        ] {
            assert_eq!(named(executable, line, directory), expected, "{executable} {line}");
        }
    }

    #[test]
    fn what_the_process_says_goes_before_what_it_runs() {
        let args = ["node".to_owned(), "index.js".to_owned()];
        let mut clues = Clues { executable: "/usr/bin/node", args: &args, directory: "/app", ..Clues::default() };
        let mut environment = Environment::default();
        let mut found = Vec::new();
        found.push(name(&clues, &environment));
        clues.unit = Some("orders-unit");
        found.push(name(&clues, &environment));
        clues.package = Some("@shop/orders");
        found.push(name(&clues, &environment));
        environment.attributes_name = Some("from-attributes".to_owned());
        found.push(name(&clues, &environment));
        environment.service_name = Some("from-name".to_owned());
        found.push(name(&clues, &environment));
        let expected = [
            ("index", Source::Program),
            ("orders-unit", Source::Unit),
            ("@shop/orders", Source::Package),
            ("from-attributes", Source::ResourceAttributes),
            ("from-name", Source::ServiceName),
        ];
        assert_eq!(found, expected.map(|(name, source)| (name.to_owned(), source)));
        assert_eq!(name(&Clues::default(), &Environment::default()), ("unknown_service".to_owned(), Source::Unknown));
    }

    #[test]
    fn packages_are_looked_for_beside_the_script_or_above_the_tool_that_runs_it() {
        let directory = |executable: &str, line: &str| {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            Clues { executable, args: &args, directory: "/srv/shop", ..Clues::default() }.package_directory(&Environment::default())
        };
        assert_eq!(directory("/usr/bin/node", "node dist/index.js").as_deref(), Some("/srv/shop/dist"));
        assert_eq!(directory("/usr/bin/node", "node /app/node_modules/next/dist/bin/next start").as_deref(), Some("/app"));
        assert_eq!(directory("/usr/bin/node", "next-server (v14.1.0)").as_deref(), Some("/srv/shop"));
        assert_eq!(directory("/usr/bin/node", "node /index.js").as_deref(), Some(""));
        assert_eq!(directory("/usr/bin/python3", "python3 x.py"), None);
    }

    proptest! {
        #[test]
        fn every_process_gets_a_clean_short_name(executable in "\\PC{0,20}|/usr/bin/(node|java|python3|busybox)", args in proptest::collection::vec(".{0,300}", 0..5), directory in ".{0,20}") {
            let clues = Clues { executable: &executable, args: &args, comm: "\u{1b}x", directory: &directory, ..Clues::default() };
            let (name, _) = name(&clues, &Environment::default());
            prop_assert!(!name.is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control), "{name:?}");
            let _ = clues.package_directory(&Environment::default());
        }
    }
}
