//! A command line becomes what it runs: a script, a module, a class, or something without a name of its own.
//!
//! Pure. Each interpreter's own rules for its options are followed as far as they decide which word is the program. A process
//! may write anything into its command line; the worst result is a wrong name.
use super::environment::Environment;

/// What a process runs, if its executable is only the interpreter of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Known by name.
    Name(String),
    /// A file, as given: relative to the working directory unless it begins with `/`.
    Script(String),
    /// A dotted module, and the directory it is loaded from if the command line says so.
    Module(String, Option<String>),
    /// Named best by the directory it works in, else by this tool.
    Directory(String),
    /// Code from the command line, standard input, or an unreadable command line.
    Anonymous,
}

/// A family of interpreters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpreter {
    /// `CPython`, `PyPy`.
    Python,
    /// `uwsgi`, configured on its command line.
    Uwsgi,
    /// Node.js.
    Node,
    /// Deno and Bun, which run TypeScript as it is.
    Deno,
    /// The JVM's launcher.
    Java,
    /// Ruby.
    Ruby,
    /// The CLI and CGI of PHP.
    Php,
    /// PHP's process manager.
    PhpFpm,
    /// .NET's host.
    DotNet,
    /// Perl.
    Perl,
    /// Erlang's virtual machine.
    Beam,
    /// A shell.
    Shell,
}

impl Interpreter {
    /// By the file name of the executable, with or without a version: `python3.11`, `php-fpm8.2`, `nodejs`.
    #[must_use]
    pub fn of(executable: &str) -> Option<Self> {
        let bare = executable.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        Some(match bare {
            "python" | "pypy" => Self::Python,
            "uwsgi" | "uwsgi-core" => Self::Uwsgi,
            "node" | "nodejs" => Self::Node,
            "deno" | "bun" => Self::Deno,
            "java" => Self::Java,
            "ruby" => Self::Ruby,
            "php" | "php-cgi" => Self::Php,
            "php-fpm" => Self::PhpFpm,
            "dotnet" => Self::DotNet,
            "perl" => Self::Perl,
            "beam.smp" => Self::Beam,
            "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "mksh" => Self::Shell,
            _ => return None,
        })
    }

    /// What the command line runs; `args` begins with the program's own name.
    #[must_use]
    pub fn program(self, args: &[String], environment: &Environment) -> Program {
        let title = args.first().map_or("", String::as_str);
        let args = args.get(1..).unwrap_or_default();
        match self {
            Self::Python => python(title, args, environment),
            Self::Uwsgi => value(args, &["--module", "--wsgi", "-w", "--wsgi-file", "--file"])
                .map_or_else(|| Program::Directory("uwsgi".to_owned()), |app| application(app, None)),
            Self::Node => PLAIN_NODE.program(args),
            Self::Deno => file(args, &[".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs", ".cjs"]),
            Self::Java => super::java::program(args, environment),
            Self::Ruby => ruby(title, args),
            Self::Php => PLAIN_PHP.program(args),
            Self::PhpFpm => match title.split_once(": pool ") {
                Some((_, pool)) if pool.trim() != "www" => Program::Name(pool.trim().to_owned()),
                _ => Program::Name("php-fpm".to_owned()),
            },
            Self::DotNet => file(args, &[".dll", ".exe"]),
            Self::Perl => tool(PLAIN_PERL.program(args), &["starman", "plackup", "hypnotoad", "morbo", "start_server"]),
            Self::Beam => value(args, &["-sname", "-name"])
                .and_then(|node| node.split('@').next())
                .map_or(Program::Anonymous, |name| Program::Name(name.to_owned())),
            Self::Shell => PLAIN_SHELL.program(args),
        }
    }
}

/// How an interpreter's options look, as far as they matter for finding the first operand.
struct Grammar {
    /// Letters with a value: the rest of the word, else the next word.
    value: &'static str,
    /// Letters whose value is the rest of the word, which may be empty.
    attached: &'static str,
    /// Letters whose value is the program's text.
    inline: &'static str,
    /// Letters whose value is the program: a module.
    module: &'static str,
    /// Letters whose value is the program: a file.
    script: &'static str,
    /// Long options whose value is the next word.
    long: &'static [&'static str],
    /// Long options whose value is the program's text.
    long_inline: &'static [&'static str],
}

const NOTHING: Grammar = Grammar { value: "", attached: "", inline: "", module: "", script: "", long: &[], long_inline: &[] };
const PLAIN_PYTHON: Grammar = Grammar { value: "WXQ", inline: "c", module: "m", long: &["--check-hash-based-pycs"], ..NOTHING };
const PLAIN_RUBY: Grammar = Grammar { value: "IrCE", attached: "WKTxFi0", inline: "e", long: &["--encoding"], ..NOTHING };
const PLAIN_PERL: Grammar = Grammar { value: "I", attached: "MmidDCFx0l", inline: "eE", ..NOTHING };
const PLAIN_PHP: Grammar = Grammar { value: "cdStz", inline: "rBR", script: "fF", ..NOTHING };
const PLAIN_SHELL: Grammar = Grammar { value: "oO", inline: "c", long: &["--rcfile", "--init-file"], ..NOTHING };
const PLAIN_NODE: Grammar = Grammar {
    value: "rC",
    inline: "ep",
    long: &[
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "--conditions",
        "--env-file",
        "--title",
        "--icu-data-dir",
        "--openssl-config",
        "--redirect-warnings",
        "--disable-warning",
        "--watch-path",
        "--unhandled-rejections",
        "--dns-result-order",
        "--diagnostic-dir",
        "--inspect-port",
        "--max-http-header-size",
    ],
    long_inline: &["--eval", "--print"],
    ..NOTHING
};

impl Grammar {
    /// The program, and the words that follow it.
    fn find<'a>(&self, args: &'a [String]) -> (Program, &'a [String]) {
        let mut at = 0;
        while let Some(word) = args.get(at) {
            at += 1;
            let rest = |from: usize| args.get(from..).unwrap_or_default();
            if word == "--" {
                let found = args.get(at).map_or(Program::Anonymous, |script| Program::Script(script.clone()));
                return (found, rest(at + 1));
            }
            if word == "-" {
                return (Program::Anonymous, rest(at));
            }
            if word.starts_with("--") {
                let name = word.split('=').next().unwrap_or("");
                if self.long_inline.contains(&name) {
                    return (Program::Anonymous, rest(at));
                }
                at += usize::from(self.long.contains(&word.as_str()));
                continue;
            }
            let Some(cluster) = word.strip_prefix('-') else { return (Program::Script(word.clone()), rest(at)) };
            for (position, letter) in cluster.char_indices() {
                if self.inline.contains(letter) {
                    return (Program::Anonymous, rest(at));
                }
                if self.attached.contains(letter) {
                    break;
                }
                let (module, script) = (self.module.contains(letter), self.script.contains(letter));
                if module || script || self.value.contains(letter) {
                    let mut text = cluster.get(position + letter.len_utf8()..).unwrap_or("");
                    if text.is_empty() {
                        text = args.get(at).map_or("", String::as_str);
                        at += 1;
                    }
                    if module || script {
                        let text = text.to_owned();
                        return (if module { Program::Module(text, None) } else { Program::Script(text) }, rest(at));
                    }
                    break;
                }
            }
        }
        (Program::Anonymous, &[])
    }

    fn program(&self, args: &[String]) -> Program {
        self.find(args).0
    }
}

/// Python: the application that a known server was told to serve, else the module or script.
fn python(title: &str, args: &[String], environment: &Environment) -> Program {
    // With setproctitle: `gunicorn: worker [shop.wsgi:app]`, or the name given with `--name`.
    if let Some(name) = title.strip_prefix("gunicorn: ").and_then(bracketed) {
        return if name.contains([':', '.']) { application(name, None) } else { Program::Name(name.to_owned()) };
    }
    let (program, rest) = PLAIN_PYTHON.find(args);
    let name = match &program {
        Program::Module(name, _) => name.as_str(),
        Program::Script(path) => path.rsplit('/').next().unwrap_or(""),
        _ => return program,
    };
    match name {
        "gunicorn" | "uvicorn" | "hypercorn" | "daphne" | "granian" | "waitress-serve" | "waitress" => {
            if let Some(name) = value(rest, &["--name", "-n"]).filter(|_| name == "gunicorn") {
                return Program::Name(name.to_owned());
            }
            let directory = value(rest, &["--app-dir", "--chdir"]);
            served(rest).map_or_else(|| Program::Directory(name.to_owned()), |app| application(app, directory))
        }
        "celery" | "flask" => value(rest, &["--app", "-A"])
            .or(environment.flask_app.as_deref().filter(|_| name == "flask"))
            .map_or_else(|| Program::Directory(name.to_owned()), |app| application(app, None)),
        "fastapi" | "streamlit" => match file(rest, &[".py"]) {
            Program::Anonymous => Program::Directory(name.to_owned()),
            script => script,
        },
        "django-admin" => Program::Directory(name.to_owned()),
        _ => program,
    }
}

/// The word that names an application, `module:callable`, or as the last one a module alone.
fn served(args: &[String]) -> Option<&str> {
    let with_callable = args.iter().find(|word| {
        word.split_once(':').is_some_and(|(module, callable)| {
            module != "python" && is_module(module) && callable.starts_with(|c: char| c.is_alphabetic() || c == '_')
        })
    });
    with_callable.or_else(|| args.last().filter(|word| is_module(word))).map(String::as_str)
}

fn is_module(text: &str) -> bool {
    text.split('.')
        .all(|part| part.starts_with(|c: char| c.is_alphabetic() || c == '_') && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// `shop.wsgi:app`, `shop.wsgi` or `shop/wsgi.py`.
fn application(text: &str, directory: Option<&str>) -> Program {
    let module = text.split(':').next().unwrap_or("");
    if module.contains('/') || module.strip_suffix(".py").is_some() {
        Program::Script(module.to_owned())
    } else {
        Program::Module(module.to_owned(), directory.map(str::to_owned))
    }
}

/// Ruby: the tag in a server's title, else the script; servers and tools are named by where they work.
fn ruby(title: &str, args: &[String]) -> Program {
    // `puma 6.4.0 (tcp://0.0.0.0:3000) [shop]`, `sidekiq 7.2.0 shop [0 of 5 busy]`
    let tag = if title.starts_with("puma") {
        bracketed(title)
    } else if title.starts_with("sidekiq ") {
        title.split(' ').nth(2).filter(|tag| !tag.starts_with('['))
    } else {
        None
    };
    if let Some(tag) = tag {
        return Program::Name(tag.to_owned());
    }
    let tools = ["puma", "unicorn", "rails", "rackup", "thin", "sidekiq", "bundle", "rake", "falcon", "passenger", "iodine"];
    tool(PLAIN_RUBY.program(args), &tools)
}

/// A script that is one of `tools` says nothing about what it serves.
fn tool(program: Program, tools: &[&str]) -> Program {
    match &program {
        Program::Script(path) => match path.rsplit('/').next() {
            Some(name) if tools.contains(&name) => Program::Directory(name.to_owned()),
            _ => program,
        },
        _ => program,
    }
}

/// The text in the last pair of brackets at the end.
fn bracketed(title: &str) -> Option<&str> {
    let (_, tag) = title.trim_end().strip_suffix(']')?.rsplit_once('[')?;
    Some(tag.trim()).filter(|tag| !tag.is_empty())
}

/// The value of the first of these options, in the next word or after `=`.
pub(super) fn value<'a>(args: &'a [String], names: &[&str]) -> Option<&'a str> {
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if names.contains(&word.as_str()) {
            return words.next().map(String::as_str);
        }
        if let Some((name, text)) = word.split_once('=')
            && names.contains(&name)
        {
            return Some(text);
        }
    }
    None
}

/// The first word that is no option and ends like one of these file names.
fn file(args: &[String], extensions: &[&str]) -> Program {
    let is_file = |word: &&String| !word.starts_with('-') && extensions.iter().any(|end| word.to_ascii_lowercase().ends_with(end));
    args.iter().find(is_file).map_or(Program::Anonymous, |word| Program::Script(word.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(line: &str) -> Program {
        let args: Vec<String> = line.split('|').map(str::to_owned).collect();
        let executable = args[0].rsplit('/').next().unwrap();
        let environment = Environment { flask_app: Some("shop.web:create_app".to_owned()), ..Environment::default() };
        Interpreter::of(executable).unwrap().program(&args, &environment)
    }

    #[test]
    fn the_program_is_the_first_operand_after_the_options_of_its_interpreter() {
        let script = |path: &str| Program::Script(path.to_owned());
        for (line, expected) in [
            ("python3|-u|-W|ignore|-X|dev|a.py|-c|x", script("a.py")),
            ("python3|-Wignore|-Xdev|--|a.py", script("a.py")),
            ("python3.11|-uc|print()", Program::Anonymous),
            ("python3|-", Program::Anonymous),
            ("python3|-Im|shop.orders|--port|1", Program::Module("shop.orders".to_owned(), None)),
            ("python2.7|-mshop", Program::Module("shop".to_owned(), None)),
            ("node|-r|dotenv/config|--max-old-space-size=512|--import|./a.mjs|/srv/b.js", script("/srv/b.js")),
            ("node|--require=x|--inspect|b", script("b")),
            ("nodejs|-pe|1", Program::Anonymous),
            ("node|--eval=1|b.js", Program::Anonymous),
            ("ruby3.1|-W:no-experimental|-I|lib|-rbundler|a.rb", script("a.rb")),
            ("ruby|-e|puts", Program::Anonymous),
            ("perl|-MFoo=e|-Ilib|-w|a.pl", script("a.pl")),
            ("perl|-ne|print", Program::Anonymous),
            ("php8.2|-d|a=b|-S|0.0.0.0:80|-t|public|router.php", script("router.php")),
            ("php|-f|a.php", script("a.php")),
            ("bash|-eo|pipefail|--rcfile|x|/opt/run.sh|y", script("/opt/run.sh")),
            ("sh|-c|nginx", Program::Anonymous),
            ("deno|run|--allow-net|-c|deno.json|main.ts", script("main.ts")),
            ("dotnet|exec|--depsfile|A.deps.json|/app/Orders.DLL|--urls|x", script("/app/Orders.DLL")),
            ("dotnet|run", Program::Anonymous),
            ("beam.smp|-W|w|--|-sname|rabbit@host", Program::Name("rabbit".to_owned())),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }

    #[test]
    fn servers_of_python_are_named_by_their_application() {
        let module = |name: &str, directory: Option<&str>| Program::Module(name.to_owned(), directory.map(str::to_owned));
        let directory = |tool: &str| Program::Directory(tool.to_owned());
        for (line, expected) in [
            ("python3|/usr/bin/gunicorn|-w|4|-b|0.0.0.0:80|-k|uvicorn.workers.UvicornWorker|shop.wsgi:app", module("shop.wsgi", None)),
            ("python3|/usr/bin/gunicorn|-c|python:conf|shop.wsgi:create_app()|--preload", module("shop.wsgi", None)),
            ("python3|-m|gunicorn|--bind|unix:/run/x.sock|shop.wsgi", module("shop.wsgi", None)),
            ("python3|gunicorn|--name|orders|shop:app", Program::Name("orders".to_owned())),
            ("python3|/v/bin/uvicorn|--app-dir|/srv/orders|main:app|--host|localhost", module("main", Some("/srv/orders"))),
            ("python3|uvicorn|--port|80", directory("uvicorn")),
            ("python3|-m|celery|-A|shop.celery|worker", module("shop.celery", None)),
            ("python3|/usr/bin/flask|--app=web/shop.py|run", Program::Script("web/shop.py".to_owned())),
            ("python3|/usr/bin/flask|run", module("shop.web", None)),
            ("python3|fastapi|run|app/orders.py", Program::Script("app/orders.py".to_owned())),
            ("uwsgi|--http|:80|--module|shop.wsgi:application", module("shop.wsgi", None)),
            ("uwsgi|--ini|x.ini", directory("uwsgi")),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }

    #[test]
    fn titles_that_servers_give_themselves_are_read() {
        let none = Environment::default();
        let title = |interpreter: Interpreter, title: &str| interpreter.program(&[title.to_owned()], &none);
        let name = |text: &str| Program::Name(text.to_owned());
        assert_eq!(title(Interpreter::Ruby, "puma: cluster worker 0: 4711 [shop]"), name("shop"));
        assert_eq!(title(Interpreter::Ruby, "puma 6.4.0 (tcp://0.0.0.0:3000) [shop]"), name("shop"));
        assert_eq!(title(Interpreter::Ruby, "sidekiq 7.2.0 shop [0 of 5 busy]"), name("shop"));
        assert_eq!(title(Interpreter::Python, "gunicorn: worker [orders]"), name("orders"));
        assert_eq!(title(Interpreter::Python, "gunicorn: master [shop.wsgi:app]"), Program::Module("shop.wsgi".to_owned(), None));
        assert_eq!(title(Interpreter::PhpFpm, "php-fpm: pool shop"), name("shop"));
        assert_eq!(title(Interpreter::PhpFpm, "php-fpm: pool www"), name("php-fpm"));
        assert_eq!(title(Interpreter::Node, "next-server (v14.1.0)"), Program::Anonymous);
    }

    proptest! {
        #[test]
        fn any_command_line_is_read_without_panic(args in proptest::collection::vec("(-{0,2}[a-zA-Z]{0,3}[=:@./é]?\\PC{0,5}|gunicorn|uvicorn|-m|-jar|-cp)", 0..8)) {
            for executable in ["python3", "uwsgi", "node", "bun", "java", "ruby", "php", "php-fpm", "dotnet", "perl", "beam.smp", "zsh"] {
                let _ = Interpreter::of(executable).unwrap().program(&args, &Environment::default());
            }
        }
    }
}
