//! Digits become numbers, without a sign, a prefix or anything around them. Never accepts more digits than it is told.

/// One to `most` hexadecimal digits of either case; `most` is at most 32.
pub(super) fn hex(digits: &[u8], most: usize) -> Option<u128> {
    if !(1..=most).contains(&digits.len()) {
        return None;
    }
    let (high, low) = digits.split_at(digits.len().saturating_sub(16));
    Some(u128::from(half(high)?) << 64 | u128::from(half(low)?))
}

/// At most 16 digits. Every request with a context has fifty of them: all are looked at before one is found wrong.
fn half(digits: &[u8]) -> Option<u64> {
    let fold = |(number, sound): (u64, bool), digit: &u8| {
        let value = u64::from(digit & 0xf) + if *digit > b'9' { 9 } else { 0 };
        (number << 4 | value, sound & digit.is_ascii_hexdigit())
    };
    let (number, sound) = digits.iter().fold((0, true), fold);
    sound.then_some(number)
}

/// A trace id: exactly 16 or 32 hexadecimal digits.
pub(super) fn trace(digits: &[u8]) -> Option<u128> {
    matches!(digits.len(), 16 | 32).then(|| hex(digits, 32))?
}

/// A span id: exactly 16 hexadecimal digits.
pub(super) fn span(digits: &[u8]) -> Option<u64> {
    (digits.len() == 16).then(|| hex(digits, 16))?.map(|number| number as u64)
}

/// Decimal digits of a number that has at most 64 bits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = u64::from(char::from(*digit).to_digit(10)?);
        number.checked_mul(10)?.checked_add(digit)
    })
}
