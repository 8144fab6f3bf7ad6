//! The shape of the source, held by tests: who imports whom, where `unsafe` is, what the pure stages do without, how long a file is.
//!
//! The sources are read as Rust tokens, so that comments, documentation and strings say what they like. What is compiled for tests only
//! is left out: a test may go through the stages from end to end.
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The stages, each after all those that it may import.
///
/// Data goes through `flow` before `protocol`, and `lib.rs` lists them so. Imports go the other way between these two: `flow` drives
/// the decoders, so it knows their trait, while a decoder is given bytes and gives messages, and must not know who drives it. That is
/// what lets the same decoder run in a test, in a fuzz target or over the plaintext of TLS, and why `protocol` comes before `flow` here.
const STAGES: [&str; 9] = ["capture", "protocol", "flow", "exchange", "causality", "enrich", "adapter", "export", "rendezvous"];

/// Stages that import no other stage: what enters the pipeline knows nothing of it, and a decoder knows bytes only, not the events
/// that they came in.
const SOURCES: [&str; 2] = ["capture", "protocol"];

/// Modules that any stage may import: names, which import nothing.
const NAMES: &str = "semconv";

/// Modules that put the stages together, and so import what they like. A stage imports none of them.
const ASSEMBLY: [&str; 7] = ["accounting", "cli", "command", "lib", "main", "pipeline", "selection"];

/// Stages without a clock, files, sockets, threads and environment. The same input gives the same output, so a recording of what went
/// wrong on one machine goes wrong on every machine.
const PURE: [&str; 4] = ["protocol", "flow", "exchange", "causality"];

/// What those do without. Addresses (`std::net::SocketAddr`) are values and stay allowed.
const IMPURE: [&str; 12] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "rustix::",
    "tokio::",
];

/// Most lines of a file outside of tests: past this, two nouns share it.
const LONGEST: usize = 600;

/// A source file of this workspace.
struct Source {
    /// Path from the workspace's root.
    path: PathBuf,
    /// Names of the modules from its crate to it.
    module: Vec<String>,
    /// The paths that it names, outside of tests, each written out: `crate::flow::stream`.
    paths: BTreeSet<String>,
    has_unsafe: bool,
    lines: usize,
}

impl Source {
    fn read(root: &Path, crate_root: &Path, file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut module: Vec<String> = parts(file.strip_prefix(crate_root).expect("a file of the crate").with_extension("").as_path());
        module.pop_if(|name| name == "mod");
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut found = Found::default();
        found.visit(tokens, &module);
        let path = file.strip_prefix(root).expect("a file of the workspace").to_owned();
        Self { path, module, paths: found.paths, has_unsafe: found.has_unsafe, lines: text.lines().count() }
    }

    /// The first module below the crate, such as `flow`.
    fn stage(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    /// The modules of this crate that it imports, by their first name.
    fn imports(&self) -> BTreeSet<&str> {
        let names = self.paths.iter().filter_map(|path| path.strip_prefix("crate::")?.split("::").next());
        names.filter(|name| *name != self.stage()).collect()
    }
}

/// What the tokens of a file say.
#[derive(Default)]
struct Found {
    paths: BTreeSet<String>,
    has_unsafe: bool,
}

impl Found {
    /// Looks at tokens that are in `module`, leaving out items for tests only.
    fn visit(&mut self, tokens: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' && is_for_tests(tokens.get(at)) => {
                    // The item ends with its body or a semicolon, whichever is first.
                    let end = tokens[at..].iter().position(|token| is_body(token) || is_punct(token, ';'));
                    at += end.map_or(tokens.len(), |length| length + 1);
                }
                TokenTree::Ident(ident) if ident == "mod" => {
                    let (name, body) = (tokens.get(at), tokens.get(at + 1));
                    if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) = (name, body) {
                        let inner: Vec<String> = module.iter().cloned().chain([name.to_string()]).collect();
                        self.visit(body.stream(), &inner);
                        at += 2;
                    }
                }
                TokenTree::Ident(ident) => {
                    self.has_unsafe |= ident == "unsafe";
                    at = self.path(&tokens, at - 1, Vec::new(), module);
                }
                TokenTree::Group(group) => self.visit(group.stream(), module),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Takes the path that begins at `at` and goes on from `prefix`, with all branches of a group, and gives the place behind it.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, mut prefix: Vec<String>, module: &[String]) -> usize {
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(ident)) => prefix.push(ident.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in inner.split(|token| is_punct(token, ',')).filter(|branch| !branch.is_empty()) {
                        self.path(branch, 0, prefix.clone(), module);
                    }
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            if !(tokens.get(at).is_some_and(|token| is_punct(token, ':')) && tokens.get(at + 1).is_some_and(|token| is_punct(token, ':'))) {
                break;
            }
            at += 2;
        }
        if let Some(path) = absolute(&prefix, module) {
            self.paths.insert(path);
        }
        at
    }
}

/// A path with `self` and `super` resolved in `module`; `None` if it is a single name, which imports nothing.
fn absolute(path: &[String], module: &[String]) -> Option<String> {
    if path.len() < 2 {
        return None;
    }
    let ups = path.iter().take_while(|part| *part == "super" || *part == "self").count();
    if ups == 0 {
        return Some(path.join("::"));
    }
    let supers = path.iter().filter(|part| *part == "super").count();
    let stays = module.len().saturating_sub(supers);
    let whole = ["crate"].into_iter().chain(module[..stays].iter().chain(&path[ups..]).map(String::as_str));
    Some(whole.collect::<Vec<_>>().join("::"))
}

/// Whether the token is the `[cfg(test)]` or `[test]` of an attribute.
fn is_for_tests(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else { return false };
    matches!(group.stream().to_string().replace(' ', "").as_str(), "cfg(test)" | "cfg(any(test,fuzzing))" | "test")
}

fn is_body(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn parts(path: &Path) -> Vec<String> {
    path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

/// Every source file of the crate at `member` of the workspace, without the files that are for tests only.
fn sources(member: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let crate_root = root.join(member).join("src");
    let (mut sources, mut directories) = (Vec::new(), vec![crate_root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            if ["tests", "testing", "properties"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::read(root, &crate_root, &path));
            }
        }
    }
    assert!(!sources.is_empty(), "{member} has sources");
    sources
}

/// The modules that a stage may import.
fn allowed(stage: &str) -> Vec<&'static str> {
    let place = STAGES.iter().position(|other| *other == stage);
    let place = place.unwrap_or_else(|| panic!("{stage} is neither a stage, nor names, nor puts stages together: list it in this file"));
    let earlier = if SOURCES.contains(&stage) { &[] } else { &STAGES[..place] };
    earlier.iter().copied().chain([NAMES]).collect()
}

#[test]
fn a_stage_imports_only_earlier_stages_and_names() {
    let mut wrong = Vec::new();
    for source in sources("agent") {
        let stage = source.stage();
        if ASSEMBLY.contains(&stage) {
            continue;
        }
        let allowed = if stage == NAMES { Vec::new() } else { allowed(stage) };
        let imports = source.imports();
        wrong.extend(imports.iter().filter(|name| !allowed.contains(name)).map(|name| format!("{} imports {name}", source.path.display())));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn unsafe_code_is_in_capture_only() {
    let everywhere = ["agent", "tests", "xtask"].into_iter().flat_map(sources);
    let wrong = everywhere.filter(|source| source.has_unsafe && source.stage() != "capture");
    assert_eq!(wrong.map(|source| source.path).collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

#[test]
fn pure_stages_have_no_clock_and_do_no_io() {
    let mut wrong = Vec::new();
    for source in sources("agent").iter().filter(|source| PURE.contains(&source.stage())) {
        let impure = source.paths.iter().filter(|path| IMPURE.iter().any(|prefix| path.starts_with(prefix)));
        wrong.extend(impure.map(|path| format!("{} names {path}", source.path.display())));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_file_outside_of_tests_is_long() {
    let everywhere = ["agent", "ebpf", "ebpf/abi", "tests", "xtask"].into_iter().flat_map(sources);
    let wrong = everywhere.filter(|source| source.lines > LONGEST).map(|source| (source.path, source.lines));
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<(PathBuf, usize)>::new());
}

#[test]
fn the_paths_of_a_file_are_found_however_they_are_written() {
    let text = r#"
        //! crate::comment
        use crate::a::{self, b::{C, d}, e as f};
        use super::g::H;
        use super::super::i;
        mod inline { use super::super::super::j::K; fn f() { crate::l::m::<std::fs::File>("crate::text") } }
        #[cfg(test)] mod tests { use crate::only_here; }
        #[cfg(test)] use crate::nor_this;
        fn n() { match x { std::time::Instant { .. } => self::o::p(), _ => unsafe { q() } } }
    "#;
    let mut found = Found::default();
    found.visit(text.parse().expect("Rust"), &["stage".to_owned(), "file".to_owned()]);
    let expected = [
        "crate::a::b::C",
        "crate::a::b::d",
        "crate::a::e",
        "crate::a::self",
        "crate::i",
        "crate::j::K",
        "crate::l::m",
        "crate::stage::file::o::p",
        "crate::stage::g::H",
        "std::fs::File",
        "std::time::Instant",
    ];
    assert_eq!(found.paths.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert!(found.has_unsafe);
}
