//! The bytes of `/proc/PID/environ` become what the process says about its own name: a handful of variables, and no other.
//!
//! Everything else in there may be a secret and is not kept. The text is hostile: bounded, cleaned, never used as a path.
use serde::{Deserialize, Serialize};

/// Most attributes taken from `OTEL_RESOURCE_ATTRIBUTES`: real ones hold about ten, and every span carries the cost.
const ATTRIBUTES: usize = 64;
/// Longest key, bytes: the longest in the conventions has 50.
const KEY: usize = 128;
/// Longest value, bytes.
pub(super) const VALUE: usize = 1024;

/// Text of a process, fit to be exported: no control characters, no space around it, at most `longest` bytes.
pub(super) fn clean(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in text.trim().chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > longest {
            break;
        }
        out.push(c);
    }
    out
}

/// What a process's environment says about its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// `OTEL_SERVICE_NAME`, not empty.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, decoded, in order, without `service.name`; of equal keys the last.
    pub attributes: Vec<(String, String)>,
    /// `service.name` of `OTEL_RESOURCE_ATTRIBUTES`, not empty.
    pub attributes_name: Option<String>,
    /// `FLASK_APP`.
    pub flask_app: Option<String>,
    /// `SPRING_APPLICATION_NAME`.
    pub spring_application_name: Option<String>,
}

impl Environment {
    /// Reads `NAME=value` entries that end with a zero byte, as in `proc_pid_environ(5)`. The first of equal names counts, as for `getenv`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut attributes = None;
        for entry in bytes.split(|&b| b == 0) {
            let Some(at) = entry.iter().position(|&b| b == b'=') else { continue };
            let (name, value) = entry.split_at(at);
            let slot = match name {
                b"OTEL_SERVICE_NAME" => &mut found.service_name,
                b"OTEL_RESOURCE_ATTRIBUTES" => &mut attributes,
                b"FLASK_APP" => &mut found.flask_app,
                b"SPRING_APPLICATION_NAME" => &mut found.spring_application_name,
                _ => continue,
            };
            let text = String::from_utf8_lossy(value.get(1..).unwrap_or_default());
            // The list is cut apart before its parts are cleaned, so that a long one keeps its first parts whole.
            let text = if name == b"OTEL_RESOURCE_ATTRIBUTES" { text.into_owned() } else { clean(&text, VALUE) };
            if slot.is_none() {
                *slot = Some(text);
            }
        }
        for slot in [&mut found.service_name, &mut found.flask_app, &mut found.spring_application_name] {
            slot.take_if(|text| text.is_empty());
        }
        for (key, value) in attributes.iter().flat_map(|list| list.split(',')).filter_map(pair).take(ATTRIBUTES) {
            if key == crate::semconv::SERVICE_NAME {
                found.attributes_name = Some(value).filter(|value| !value.is_empty());
            } else if let Some(old) = found.attributes.iter_mut().find(|(known, _)| *known == key) {
                old.1 = value;
            } else {
                found.attributes.push((key, value));
            }
        }
        found
    }
}

/// One `key=value`, both percent-decoded (OpenTelemetry resource SDK, "Specifying resource information via an environment variable").
/// A malformed pair is dropped alone: the others are still the best that is known.
fn pair(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let (key, value) = (decode(key.trim())?, decode(value.trim())?);
    let sound = !key.is_empty() && key.len() <= KEY && !key.chars().any(char::is_control);
    sound.then(|| (key, clean(&value, VALUE)))
}

/// Percent-decodes (RFC 3986 section 2.1); `None` for a bad escape or what is not UTF-8 afterwards.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            out.push((digit()? * 16 + digit()?) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_wanted_variables_are_kept_and_decoded() {
        let environment = Environment::parse(
            b"PATH=/bin\0SECRET=hunter2\0OTEL_SERVICE_NAME=orders\0OTEL_SERVICE_NAME=second\0FLASK_APP=shop.py\0SPRING_APPLICATION_NAME=\0\
              OTEL_RESOURCE_ATTRIBUTES=service.name=ignored,team=a%2Cb, deployment.environment.name = prod ,team=c%3Dd,bad,=x,e=%zz,u=%C3%A9,s=\0rest",
        );
        let text = |text: &str| Some(text.to_owned());
        let expected = Environment {
            service_name: text("orders"),
            attributes: [("team", "c=d"), ("deployment.environment.name", "prod"), ("u", "é"), ("s", "")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .to_vec(),
            attributes_name: text("ignored"),
            flask_app: text("shop.py"),
            spring_application_name: None,
        };
        assert_eq!(environment, expected);
    }

    #[test]
    fn hostile_environments_stay_bounded() {
        let mut bytes = b"OTEL_SERVICE_NAME=\x1b[31m\xff".to_vec();
        bytes.extend([b'a'; 5000]);
        bytes.extend(b"\0OTEL_RESOURCE_ATTRIBUTES=");
        for n in 0..500 {
            bytes.extend(format!("k{n}={},", "v".repeat(3000)).bytes());
        }
        let environment = Environment::parse(&bytes);
        assert_eq!(environment.service_name.as_ref().map(String::len), Some(VALUE));
        assert!(!environment.service_name.unwrap().contains('\x1b'));
        assert_eq!(environment.attributes.len(), ATTRIBUTES);
        assert!(environment.attributes.iter().all(|(_, value)| value.len() == VALUE));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut list = b"OTEL_RESOURCE_ATTRIBUTES=".to_vec();
            list.extend(&bytes);
            let found = Environment::parse(&list);
            prop_assert!(found.attributes.len() <= ATTRIBUTES);
            let _ = Environment::parse(&bytes);
        }

        #[test]
        fn what_was_percent_encoded_comes_back(values in proptest::collection::vec("[ -~é]{1,20}", 1..5)) {
            let encoded: Vec<String> = values.iter().enumerate()
                .map(|(n, value)| format!("k{n}={}", value.bytes().fold(String::new(), |text, b| text + &format!("%{b:02X}")))).collect();
            let found = Environment::parse(format!("OTEL_RESOURCE_ATTRIBUTES={}", encoded.join(",")).as_bytes());
            let expected: Vec<_> = values.iter().enumerate().map(|(n, value)| (format!("k{n}"), value.trim().to_owned())).collect();
            prop_assert_eq!(found.attributes, expected);
        }
    }
}
