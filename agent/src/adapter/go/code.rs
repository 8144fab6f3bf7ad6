//! What is read from machine code, x86-64: where the current goroutine is kept, where numbers of goroutines come from, who calls whom.
//! The forms are those that Go's compiler and linkers write.

/// The distance from the thread pointer at which a thread keeps its goroutine, from the start of `runtime.morestack`, whose first
/// instruction loads it: `mov %fs:OFFSET,%reg`, or in a program that may be anywhere `mov $OFFSET,%reg; mov %fs:(%reg),%reg`.
pub fn goroutine(morestack: &[u8]) -> Option<i32> {
    let (head, rest) = match morestack {
        [0x64, 0x48 | 0x4c, 0x8b, modrm, 0x25, rest @ ..] if modrm & 0xc7 == 0x04 => (None, rest),
        [0x48, 0xc7, modrm, rest @ ..] if modrm & 0xf8 == 0xc0 => (Some(modrm & 7), rest),
        _ => return None,
    };
    let (offset, rest) = rest.split_first_chunk()?;
    let loads = |register: u8| matches!(rest, [0x64, 0x48 | 0x4c, 0x8b, modrm, ..] if modrm & 0xc7 == register);
    head.is_none_or(loads).then_some(i32::from_le_bytes(*offset))
}

/// The address of `runtime.sched.goidgen`, from the code of `runtime.newproc1` at `entry`, which takes sixteen numbers from it at a time:
/// `mov $16,%reg; lea ADDRESS(%rip),%reg; lock xadd %reg,(%reg)`.
pub fn numbers(newproc1: &[u8], entry: u64) -> Option<u64> {
    const SIXTEEN: [u8; 4] = 16_u32.to_le_bytes();
    let found = |(at, code): (usize, &[u8])| {
        let [rex, 0x8d, lea, distance @ .., 0xf0, wide, 0x0f, 0xc1, add] = code.strip_prefix(&SIXTEEN)? else { return None };
        let form = rex & 0xfb == 0x48 && lea & 0xc7 == 0x05 && wide & 0xf8 == 0x48 && add & 0xc0 == 0;
        let distance = i32::from_le_bytes(distance.try_into().ok()?);
        // The distance counts from the instruction's end.
        form.then(|| entry.wrapping_add(at as u64 + 11).wrapping_add_signed(distance.into()))
    };
    newproc1.windows(16).enumerate().find_map(found)
}

/// A register that holds an argument (Go's internal calling convention).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// `rax`: the first.
    First = 0,
    /// `rbx`: the second.
    Second = 3,
    /// `rcx`: the third.
    Third = 1,
    /// `rdi`: the fourth.
    Fourth = 7,
    /// `rsi`: the fifth.
    Fifth = 6,
}

/// Where a function keeps what it was called with in a register: the first `mov %reg,DISTANCE(%rsp)`, as the distance and the place of
/// the instruction in the code.
pub fn kept(code: &[u8], register: Register) -> Option<(i32, usize)> {
    let field = (register as u8) << 3;
    code.windows(8).enumerate().find_map(|(at, code)| match code {
        [0x48, 0x89, modrm, 0x24, near, ..] if *modrm == 0x44 | field => Some((i8::from_le_bytes([*near]).into(), at)),
        [0x48, 0x89, modrm, 0x24, far @ ..] if *modrm == 0x84 | field => Some((i32::from_le_bytes(far.try_into().ok()?), at)),
        _ => None,
    })
}

/// The addresses behind the calls of the function at `to` in the code at `entry`.
pub fn calls(code: &[u8], entry: u64, to: u64) -> impl Iterator<Item = u64> {
    code.windows(5).enumerate().filter_map(move |(at, call)| {
        let ([0xe8, distance @ ..], behind) = (call, entry.wrapping_add(at as u64 + 5)) else { return None };
        (behind.wrapping_add_signed(i32::from_le_bytes(distance.try_into().ok()?).into()) == to).then_some(behind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_goroutine_is_read_from_both_forms_and_no_other() {
        let direct = [0x64, 0x48, 0x8b, 0x3c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0x90];
        let anywhere = [0x48, 0xc7, 0xc1, 0xa8, 0xff, 0xff, 0xff, 0x64, 0x48, 0x8b, 0x39];
        let another = [0x48, 0xc7, 0xc1, 0xa8, 0xff, 0xff, 0xff, 0x64, 0x48, 0x8b, 0x38];
        assert_eq!([&direct[..], &anywhere, &another, &direct[..8], &[]].map(goroutine), [Some(-8), Some(-88), None, None, None]);
    }

    #[test]
    fn the_counter_of_goroutines_is_where_newproc1_adds_sixteen() {
        // mov $16,%r10d; lea 0x100(%rip),%r11; lock xadd %r10,(%r11)
        let code = [0x41, 0xba, 0x10, 0, 0, 0, 0x4c, 0x8d, 0x1d, 0, 1, 0, 0, 0xf0, 0x4d, 0x0f, 0xc1, 0x13];
        assert_eq!(numbers(&code, 0x1000), Some(0x1000 + 13 + 0x100));
        let mut one = code;
        one[2] = 1;
        assert_eq!(numbers(&one, 0x1000), None);
    }

    #[test]
    fn arguments_are_kept_near_or_far() {
        let code = [0x48, 0x89, 0x9c, 0x24, 0xd0, 1, 0, 0, 0x48, 0x89, 0x44, 0x24, 0x28, 0x90, 0x90, 0x90];
        assert_eq!([Register::First, Register::Second].map(|register| kept(&code, register)), [Some((0x28, 8)), Some((0x1d0, 0))]);
        assert_eq!(kept(&code[..8], Register::First), None);
    }

    #[test]
    fn calls_are_known_by_where_they_lead() {
        let code = [0x90, 0xe8, 0x0a, 0, 0, 0, 0xe8, 0x0b, 0, 0, 0];
        assert_eq!(calls(&code, 0x1000, 0x1010).collect::<Vec<_>>(), [0x1006]);
    }
}
