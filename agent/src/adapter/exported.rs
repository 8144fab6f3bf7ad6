//! Finds a symbol that an executable or a library exports, in the memory of a process that has mapped it: no file is read, and an image
//! without section headers is as good as any other (`elf(5)`; the hash table is that of GNU).
use super::process::Memory;
use std::ops::Range;

/// Program headers that are looked at.
const SEGMENTS: u64 = 64;
/// Entries of the dynamic section that are looked at.
const ENTRIES: u64 = 256;
/// Symbols with the hash's bucket in common that are looked at.
const CHAIN: u64 = 256;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

/// The addresses of the exported function or variable `name` of the image whose first byte is mapped at `image`.
pub fn function(memory: &dyn Memory, image: u64, name: &str) -> Option<Range<u64>> {
    let mut magic = [0; 5];
    memory.read(image, &mut magic)?;
    // The class: 64 bits.
    if magic != *b"\x7fELF\x02" {
        return None;
    }
    let sizes = memory.half(image.checked_add(54)?)?;
    let (size, count) = (u64::from(sizes & 0xffff), u64::from(sizes >> 16));
    let headers = image.checked_add(memory.word(image + 32)?)?;
    let (mut lowest, mut dynamic) = (None, None);
    for index in 0..count.min(SEGMENTS) {
        let header = headers.checked_add(index * size)?;
        let address = memory.word(header.checked_add(16)?)?;
        match memory.half(header)? {
            PT_LOAD if memory.word(header + 8)? == 0 => lowest = Some(address),
            PT_DYNAMIC => dynamic = Some(address),
            _ => {}
        }
    }
    let bias = image.wrapping_sub(lowest?);
    let [mut names, mut symbols, mut hashes] = [None; 3];
    for index in 0..ENTRIES {
        let entry = bias.wrapping_add(dynamic?).checked_add(index * 16)?;
        // The dynamic linker of glibc writes addresses over what the file says; that of musl does not.
        let value = memory.word(entry.checked_add(8)?)?;
        let address = Some(if value < image { bias.wrapping_add(value) } else { value });
        match memory.word(entry)? {
            0 => break,
            DT_STRTAB => names = address,
            DT_SYMTAB => symbols = address,
            DT_GNU_HASH => hashes = address,
            _ => {}
        }
    }
    let (names, symbols, hashes) = (names?, symbols?, hashes?);
    let hash = name.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(byte.into()));
    let [buckets, first, blooms] = [0, 4, 8].map(|at| memory.half(hashes.wrapping_add(at)));
    let (buckets, first, blooms) = (buckets.filter(|count| *count > 0)?, first?, u64::from(blooms?));
    let heads = hashes.checked_add(16 + 8 * blooms)?;
    let chains = heads.checked_add(4 * u64::from(buckets))?;
    let head = memory.half(heads.checked_add(4 * u64::from(hash % buckets))?)?;
    let start = head.checked_sub(first)?;
    for index in (0..CHAIN).map(|index| index + u64::from(start)) {
        let other = memory.half(chains.checked_add(4 * index)?)?;
        if other | 1 == hash | 1 {
            let symbol = symbols.checked_add(24 * (u64::from(first) + index))?;
            let text = names.checked_add(memory.half(symbol)?.into())?;
            if memory.text(text, name.len() + 1).as_deref() == Some(name) {
                let address = bias.wrapping_add(memory.word(symbol.checked_add(8)?)?);
                return Some(address..address.checked_add(memory.word(symbol.checked_add(16)?)?)?);
            }
        }
        // The last of its bucket.
        if other & 1 == 1 {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::process::Process;
    use std::path::Path;

    #[test]
    fn a_function_of_the_c_library_is_found_in_this_process() {
        let process = Process::open(Path::new("/proc"), std::process::id()).expect("alive");
        let library = process.module(|path| path.ends_with("/libc.so.6")).expect("the C library");
        let found = function(&process, library.range.start, "getpid").expect("exported");
        let expected = libc::getpid as *const () as u64;
        assert!(found.start == expected && found.end > expected, "{found:x?} {expected:x}");
        assert_eq!(function(&process, library.range.start, "get_wirespan"), None);
    }

    #[test]
    fn memory_that_is_no_image_has_no_function() {
        let text = [0_u8; 64];
        let process = Process::open(Path::new("/proc"), std::process::id()).expect("alive");
        assert_eq!(function(&process, text.as_ptr() as u64, "getpid"), None);
        assert_eq!(function(&process, u64::MAX - 3, "getpid"), None);
    }
}
