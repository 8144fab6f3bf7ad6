//! A reader becomes a window of bytes that moves forward: large reads, no copy but of what a read left over, memory bounded.
use super::PcapError;
use std::io::{ErrorKind, Read};

/// Bytes of the buffer before something longer is asked for: large enough that the reads do not show, small enough for many files.
const BUFFER: usize = 128 * 1024;

/// The window.
pub(super) struct Input {
    reader: Box<dyn Read>,
    pub(super) name: String,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// Nothing is read yet.
    pub(super) fn new(reader: Box<dyn Read>, name: &str) -> Self {
        Self { reader, name: name.to_owned(), buffer: vec![0; BUFFER], start: 0, end: 0 }
    }

    /// What is in the window: everything that [`Self::ensure`] asked for, and perhaps more.
    pub(super) fn window(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Moves the end of the window until it holds `count` bytes; `false` if the input ends before. The caller bounds `count`.
    #[inline]
    pub(super) fn ensure(&mut self, count: usize) -> Result<bool, PcapError> {
        if self.end - self.start >= count { Ok(true) } else { self.fill(count) }
    }

    /// Moves the start of the window over bytes that are in it.
    #[inline]
    pub(super) fn step(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Moves the window over `count` bytes, wherever they are; `false` if the input ends before.
    pub(super) fn skip(&mut self, count: u64) -> Result<bool, PcapError> {
        let mut left = count;
        loop {
            let held = ((self.end - self.start) as u64).min(left);
            self.step(held as usize);
            left -= held;
            if left == 0 {
                return Ok(true);
            }
            if !self.ensure(1)? {
                return Ok(false);
            }
        }
    }

    #[cold]
    fn fill(&mut self, count: usize) -> Result<bool, PcapError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < count {
            self.buffer.resize(count, 0);
        }
        while self.end < count {
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.reader.read(free) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read.min(free.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(PcapError::Read { name: self.name.clone(), source }),
            }
        }
        Ok(true)
    }
}

/// Which way round a file writes its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    /// The 16-bit number at `offset`.
    #[inline]
    pub(super) fn u16(self, bytes: &[u8], offset: usize) -> Option<u16> {
        let number = bytes.get(offset..)?.first_chunk().copied()?;
        Some(if self == Self::Big { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) })
    }

    /// The 32-bit number at `offset`.
    #[inline]
    pub(super) fn u32(self, bytes: &[u8], offset: usize) -> Option<u32> {
        let number = bytes.get(offset..)?.first_chunk().copied()?;
        Some(if self == Self::Big { u32::from_be_bytes(number) } else { u32::from_le_bytes(number) })
    }

    /// The 64-bit number at `offset`.
    pub(super) fn u64(self, bytes: &[u8], offset: usize) -> Option<u64> {
        let number = bytes.get(offset..)?.first_chunk().copied()?;
        Some(if self == Self::Big { u64::from_be_bytes(number) } else { u64::from_le_bytes(number) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::repeat;

    #[test]
    fn stepping_over_any_length_needs_no_more_than_the_buffer() {
        let mut input = Input::new(Box::new(repeat(7)), "endless");
        assert!(input.skip(100_000_001).is_ok_and(|whole| whole));
        assert!(input.ensure(BUFFER).is_ok_and(|whole| whole));
        assert_eq!((input.buffer.len(), input.window()), (BUFFER, &*vec![7; BUFFER]));
    }
}
