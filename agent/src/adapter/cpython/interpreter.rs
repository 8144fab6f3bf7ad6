//! Finds the interpreter of a process, its version, its modules and the states of its threads, from the symbols that every build exports.
use super::super::Refusal;
use super::super::exported;
use super::super::process::{Memory, Process};
use super::layout::{Layout, Table, minor};
use super::objects::{Objects, Shapes};
use object::Endianness;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

/// Files that may be the interpreter: the executable and its libraries named after Python.
const MAX_FILES: usize = 8;
/// How much of `_PyRuntime` may lie before its list of interpreters, up to 3.12.
const RUNTIME: usize = 1024;
/// How much of an interpreter's state may lie before its modules and its threads, up to 3.12.
const INTERPRETER: usize = 96 << 10;
/// `interp` in a thread's state, and `next`, up to 3.12.
const THREAD_INTERPRETER: u64 = 16;
const THREAD_NEXT: u64 = 8;
/// Threads that are looked at.
const MAX_THREADS: usize = 256;
/// How far behind a thread's pointer its own values are: those of `pthread_setspecific` in glibc's `struct pthread`.
const SPECIFIC: std::ops::Range<u64> = 0x200..0x900;

/// An interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The first byte of the image that it is in.
    pub image: u64,
    /// How its structures look.
    pub layout: Layout,
    /// How its objects look.
    pub shapes: Shapes,
    /// `sys.modules`.
    pub modules: u64,
    /// The states of its threads.
    pub threads: Vec<u64>,
}

impl Interpreter {
    /// Finds the interpreter.
    pub fn find(process: &Process) -> Result<Self, Refusal> {
        let maps = process.maps();
        let images = maps.iter().filter(|mapping| mapping.offset == 0 && mapping.inode != 0 && mapping.readable);
        let named = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with("libpython") || name.starts_with("python"));
        let first = images.clone().next();
        let files = images.filter(|mapping| named(&mapping.path)).chain(first).take(MAX_FILES);
        let image = files.map(|mapping| mapping.range.start).find(|image| exported::function(process, *image, "_PyRuntime").is_some());
        let image = image.ok_or_else(|| Refusal::Unknown("it exports no _PyRuntime".to_owned()))?;
        Self::at(process, image)
    }

    /// The interpreter in this image.
    pub fn at(memory: &dyn Memory, image: u64) -> Result<Self, Refusal> {
        let (runtime, dictionary) = (symbol(memory, image, "_PyRuntime")?, symbol(memory, image, "PyDict_Type")?);
        let table = Table::read(memory, runtime);
        if table.is_some_and(|table| table.free_threaded) {
            return Err(Refusal::Unknown("it is built without the global lock".to_owned()));
        }
        let (objects, modules, interpreter) = match &table {
            Some(table) => {
                let word = |at: u64, offset: u64| memory.word(at.checked_add(offset)?).filter(|word| *word != 0);
                let interpreter = word(runtime, table.interpreters).ok_or(Refusal::NotYet("it has no interpreter"))?;
                let modules = word(interpreter, table.modules).ok_or(Refusal::NotYet("it has no modules"))?;
                let [shapes, _, _] = Shapes::ALL;
                (Objects { memory, shapes }, modules, interpreter)
            }
            None => search(memory, runtime, dictionary).ok_or(Refusal::NotYet("its modules are not found"))?,
        };
        let version = || {
            let version = objects.member(modules, "sys", "hexversion")?;
            objects.integer(version)
        };
        let version = version().ok_or(Refusal::NotYet("its version is not found"))?;
        let unknown = || Refusal::Unknown(format!("version {}.{} of CPython is not known", version >> 24, (version >> 16) & 0xff));
        if minor(version) >= 13 && table.is_none_or(|table| table.version >> 16 != version >> 16) {
            return Err(unknown());
        }
        let layout = Layout::of(minor(version), table.as_ref()).ok_or_else(unknown)?;
        let threads = match &table {
            Some(table) => {
                let first = objects.word(interpreter, table.threads);
                chain(first, |thread| objects.word(thread, table.next))
            }
            None => older_threads(objects, interpreter),
        };
        Ok(Self { image, layout, shapes: objects.shapes, modules, threads })
    }

    /// How far behind its thread pointer each thread has the address of its state.
    pub fn specific(&self, memory: &dyn Memory) -> Option<i32> {
        let pointer = |thread: &u64| {
            let pointer = memory.word(thread.checked_add_signed(self.layout.thread_id.into())?)?;
            // What a thread pointer points to begins with itself.
            (memory.word(pointer)? == pointer).then_some((*thread, pointer))
        };
        let pointers: Vec<(u64, u64)> = self.threads.iter().filter_map(pointer).collect();
        let has = |(thread, pointer): &(u64, u64), at: u64| pointer.checked_add(at).and_then(|at| memory.word(at)) == Some(*thread);
        let found = SPECIFIC.step_by(8).find(|at| !pointers.is_empty() && pointers.iter().all(|pair| has(pair, *at)))?;
        i32::try_from(found).ok()
    }
}

/// The address of what an interpreter exports under this name.
pub fn symbol(memory: &dyn Memory, image: u64, name: &str) -> Result<u64, Refusal> {
    let found = exported::function(memory, image, name);
    found.map(|range| range.start).ok_or_else(|| Refusal::Unknown(format!("it exports no {name}")))
}

/// A list of threads' states.
fn chain(first: Option<u64>, next: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
    std::iter::successors(first.filter(|first| *first != 0), |thread| next(*thread).filter(|next| *next != 0)).take(MAX_THREADS).collect()
}

/// Finds the modules of an interpreter that says nothing of itself: a dictionary in its state that knows the module `sys`. It also
/// tells how its objects look.
fn search(memory: &dyn Memory, runtime: u64, dictionary: u64) -> Option<(Objects<'_>, u64, u64)> {
    let mut seen = Vec::new();
    for interpreter in words(memory, runtime, RUNTIME).filter(|word| *word > 4096 && word % 8 == 0) {
        if seen.contains(&interpreter) {
            continue;
        }
        seen.push(interpreter);
        let dictionaries =
            words(memory, interpreter, INTERPRETER).filter(|word| memory.word(word.saturating_add(8)) == Some(dictionary) && word % 8 == 0);
        for modules in dictionaries {
            for shapes in Shapes::ALL {
                let objects = Objects { memory, shapes };
                if objects.member(modules, "sys", "hexversion").is_some() {
                    return Some((objects, modules, interpreter));
                }
            }
        }
    }
    None
}

/// The threads of an interpreter that says nothing of itself: the first word in its state that leads to one of its own threads.
fn older_threads(objects: Objects<'_>, interpreter: u64) -> Vec<u64> {
    let is_thread = |word: &u64| objects.word(*word, THREAD_INTERPRETER) == Some(interpreter) && objects.word(*word, 0) == Some(0);
    let first = words(objects.memory, interpreter, INTERPRETER).find(|word| word % 8 == 0 && is_thread(word));
    chain(first, |thread| objects.word(thread, THREAD_NEXT))
}

/// The words at `address`, as many as there are up to `length` bytes.
fn words(memory: &dyn Memory, address: u64, length: usize) -> impl Iterator<Item = u64> {
    const PIECE: usize = 1024;
    let pieces = (0..length.div_ceil(PIECE)).map_while(move |piece| memory.bytes(address.checked_add((piece * PIECE) as u64)?, PIECE));
    pieces.flat_map(|piece| piece.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?))).collect::<Vec<_>>())
}

/// The address of the section of this name in the image that begins at `image`: sections are only in its file.
pub fn section(process: &Process, image: u64, name: &[u8]) -> Option<u64> {
    let mapping = process.maps().iter().find(|mapping| mapping.range.start == image)?;
    let file = process.file(mapping).ok()?;
    let data = ReadCache::new(&file);
    let header = FileHeader64::<Endianness>::parse(&data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, &data).ok()?;
    let (_, section) = sections.section_by_name(endian, name)?;
    let first = header.program_headers(endian, &data).ok()?.iter().find(|part| part.p_type(endian) == PT_LOAD)?;
    // The image begins at a page.
    Some(image.wrapping_sub(first.p_vaddr(endian) & !0xfff).wrapping_add(section.sh_addr(endian)))
}
