//! Takes secrets out of URLs: a query becomes the same query with the values of sensitive keys replaced. It never drops a key, and
//! never looks at a value. What it lets through is on its way to a collector.
use std::borrow::Cow;

/// What stands in place of a secret, as the semantic conventions say.
pub const REDACTED: &str = "REDACTED";
/// What stands in place of a URL's user information.
pub const USERINFO: &str = "REDACTED:REDACTED@";

/// Keys whose values are secrets or identify a person, in lower case: those of the semantic conventions, and those that are
/// customary for sessions, passwords, one-time codes, assertions and payment.
const SENSITIVE: &[&str] = &[
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "x-goog-signature",
    "x-goog-credential",
    "awsaccesskeyid",
    "signature",
    "sig",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "auth_token",
    "csrf_token",
    "xsrf_token",
    "securitytoken",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "auth",
    "authorization",
    "bearer",
    "jwt",
    "session",
    "sessionid",
    "session_id",
    "sid",
    "jsessionid",
    "phpsessid",
    "ticket",
    "apikey",
    "api_key",
    "api-key",
    "x-api-key",
    "access_key",
    "accesskey",
    "private_key",
    "secret",
    "secret_key",
    "client_secret",
    "clientsecret",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "credential",
    "credentials",
    "reset_token",
    "invite_token",
    "verify_token",
    "otp",
    "totp",
    "mfa_code",
    "verification_code",
    "code",
    "code_verifier",
    "pin",
    "samlresponse",
    "samlrequest",
    "assertion",
    "client_assertion",
    "card",
    "card_number",
    "cardnumber",
    "cc",
    "pan",
    "cvc",
    "cvv",
    "ssn",
    "tax_id",
];

/// Replaces the values of sensitive keys in a query (without its `?`). Keys are compared without regard to case, after
/// percent-decoding; of a nested key such as `user[password]` the innermost counts. All other bytes stay as they are.
#[must_use]
pub fn query(query: &str) -> Cow<'_, str> {
    if query.as_bytes().split(|byte| matches!(byte, b'&' | b';')).all(is_harmless)
        || !query.split(['&', ';']).any(|pair| secret(pair).is_some())
    {
        return Cow::Borrowed(query);
    }
    let mut out = String::with_capacity(query.len());
    for pair in query.split_inclusive(['&', ';']) {
        let (pair, separator) = match (pair.strip_suffix('&'), pair.strip_suffix(';')) {
            (Some(bare), _) => (bare, "&"),
            (_, Some(bare)) => (bare, ";"),
            _ => (pair, ""),
        };
        match secret(pair) {
            Some(key) => out.extend([key, "=", REDACTED]),
            None => out.push_str(pair),
        }
        out.push_str(separator);
    }
    Cow::Owned(out)
}

/// Whether the pair's key is a plain word that no sensitive key begins like. Says so of nearly every pair, at a fraction of the cost.
fn is_harmless(pair: &[u8]) -> bool {
    let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    key.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')) && !may_be_sensitive(key)
}

/// The key of a pair whose value must not be shown.
fn secret(pair: &str) -> Option<&str> {
    let (key, value) = pair.split_once('=')?;
    let name = decode(key);
    let name = match name.strip_suffix(']').and_then(|nested| nested.rsplit_once('[')) {
        Some((outer, "")) => outer,
        Some((_, inner)) => inner,
        None => &name,
    }
    .trim();
    (!value.is_empty() && may_be_sensitive(name.as_bytes()) && SENSITIVE.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .then_some(key)
}

/// Whether a sensitive key has this length, this first and this last letter: most keys are told by that alone.
fn may_be_sensitive(name: &[u8]) -> bool {
    const LENGTHS: [u32; 1024] = lengths();
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return false };
    name.len() < 32 && LENGTHS.get(ends(*first, *last)).is_some_and(|lengths| lengths >> name.len() & 1 == 1)
}

/// The last five bits of two letters: those that do not tell their case.
const fn ends(first: u8, last: u8) -> usize {
    ((first & 31) as usize) << 5 | (last & 31) as usize
}

/// The lengths of the sensitive keys, a bit each, by their [`ends`].
const fn lengths() -> [u32; 1024] {
    let mut lengths = [0; 1024];
    let mut place = 0;
    while place < SENSITIVE.len() {
        let name = SENSITIVE[place].as_bytes();
        assert!(name.len() < 32);
        lengths[ends(name[0], name[name.len() - 1])] |= 1 << name.len();
        place += 1;
    }
    lengths
}

/// Percent-decodes a key; bytes that make no text do not matter, as no sensitive key has them.
fn decode(key: &str) -> Cow<'_, str> {
    if !key.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(key);
    }
    let mut out = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => char::from(*high).to_digit(16).zip(char::from(*low).to_digit(16)),
            _ => None,
        };
        rest = if let Some((high, low)) = escaped {
            out.push((high << 4 | low) as u8);
            tail.get(2..).unwrap_or_default()
        } else {
            out.push(if *first == b'+' { b' ' } else { *first });
            tail
        };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_sensitive_keys_are_replaced_and_nothing_else() {
        for (given, expected) in [
            ("", ""),
            ("q=shoes&page=2", "q=shoes&page=2"),
            ("token=abc", "token=REDACTED"),
            ("Token=abc&q=1", "Token=REDACTED&q=1"),
            ("q=1&X-Amz-Signature=abc&X-Amz-Date=today", "q=1&X-Amz-Signature=REDACTED&X-Amz-Date=today"),
            ("sig=a=b==&x", "sig=REDACTED&x"),
            ("p%61ssword=x", "p%61ssword=REDACTED"),
            ("%50%41%53%53=x", "%50%41%53%53=REDACTED"),
            ("a=1;sid=x;b=2", "a=1;sid=REDACTED;b=2"),
            ("user[password]=x&ids[]=7", "user[password]=REDACTED&ids[]=7"),
            ("user%5Bpassword%5D=x", "user%5Bpassword%5D=REDACTED"),
            ("token[]=x", "token[]=REDACTED"),
            ("token&token=&&=x&%=1&%zz=2", "token&token=&&=x&%=1&%zz=2"),
            ("tokens=3&passenger=4&design=5", "tokens=3&passenger=4&design=5"),
            ("+pwd+=x", "+pwd+=REDACTED"),
        ] {
            assert_eq!(query(given), expected, "{given}");
        }
    }

    proptest! {
        #[test]
        fn no_canary_survives_behind_a_sensitive_key(key in prop::sample::select(SENSITIVE), upper in any::<u32>(), before in "[a-z=&;%+]{0,12}", after in "[a-z=&;%+]{0,12}") {
            let key: String = key.chars().enumerate().map(|(i, c)| if upper >> (i % 32) & 1 == 1 { c.to_ascii_uppercase() } else { c }).collect();
            let shown = query(&format!("{before}&{key}=CANARY&{after}")).into_owned();
            prop_assert!(!shown.contains("CANARY"), "{}", shown);
        }

        #[test]
        fn any_query_keeps_its_keys(text in ".{0,60}") {
            let keys = |query: &str| query.split(['&', ';']).map(|pair| pair.split('=').next().map(str::to_owned)).collect::<Vec<_>>();
            prop_assert_eq!(keys(&query(&text)), keys(&text));
        }
    }
}
