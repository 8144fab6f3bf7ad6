//! The primitive types of `ZooKeeper`'s records (its serialisation library, Jute): read from the front of a slice that may be cut.

pub(super) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

pub(super) fn int(bytes: &mut &[u8]) -> Option<i32> {
    array(bytes).map(i32::from_be_bytes)
}

pub(super) fn long(bytes: &mut &[u8]) -> Option<i64> {
    array(bytes).map(i64::from_be_bytes)
}

/// A buffer or a string; an absent one is empty.
pub(super) fn buffer<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    match int(bytes)? {
        -1 => Some(&[]),
        length => take(bytes, usize::try_from(length).ok()?),
    }
}

/// The path of a node: from the root, without control characters.
pub(super) fn path<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let path = std::str::from_utf8(buffer(bytes)?).ok()?;
    (path.starts_with('/') && !path.chars().any(char::is_control)).then_some(path)
}
