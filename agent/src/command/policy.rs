//! The command line and the environment become a [`Policy`]. Pure: the variables come in as a map.
//!
//! The command line wins; an empty variable is an unset one, as the OpenTelemetry specification has it. What cannot be used is a sentence
//! that names where it stands.
use crate::causality::policy::{BaggageKey, Policy, Sdk};
use crate::cli::Headers;
use crate::protocol::context::Format;
use std::collections::BTreeMap;

/// Keys of baggage that may be named: as many members as a baggage has.
const MOST_KEYS: usize = 64;

/// The order and the set of formats, as the specification names the variable.
const PROPAGATORS: &str = "OTEL_PROPAGATORS";

/// What a person decided about trace context.
pub(super) fn policy(options: &Headers, env: &BTreeMap<String, String>) -> Result<Policy, String> {
    let variable = |name: &str| env.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let choice = |flag: &'static str, name: &'static str, given: &Option<String>| {
        given.clone().map(|value| (flag, value)).or_else(|| variable(name).map(|value| (name, value)))
    };
    let mut policy = Policy::default();
    let mut baggage = true;
    if let Some(names) = variable(PROPAGATORS) {
        (policy.formats, baggage) = formats(&names)?;
    }
    if let Some((source, list)) = choice("--trusted-cidrs", "WIRESPAN_TRUSTED_CIDRS", &options.trusted_cidrs) {
        for network in members(&list) {
            policy.trusted.push(network.parse().map_err(|error| format!("{source}: {network:?}: {error}"))?);
        }
    }
    if let Some((source, name)) = choice("--sdk", "WIRESPAN_SDK", &options.sdk) {
        policy.sdk = match name.as_str() {
            "skip" => Sdk::Skip,
            "join" => Sdk::Join,
            _ => return Err(format!("{source}: {name:?} is not known; use skip or join")),
        };
    }
    if let Some((source, list)) = choice("--baggage-keys", "WIRESPAN_BAGGAGE_KEYS", &options.baggage_keys).filter(|_| baggage) {
        let keys: Vec<&str> = members(&list).collect();
        if keys.len() > MOST_KEYS {
            return Err(format!("{source}: name at most {MOST_KEYS} keys"));
        }
        if let Some(key) = keys.iter().find(|key| !key.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))) {
            return Err(format!("{source}: {key:?} is no key of baggage; it has letters, digits and marks without quotes"));
        }
        // Names of attributes last as long as the program; these are made once, at its start.
        let attribute = |key: &str| &*Box::leak(format!("baggage.{key}").into_boxed_str());
        policy.baggage = keys.into_iter().map(|key| BaggageKey { key: key.to_owned(), attribute: attribute(key) }).collect();
    }
    Ok(policy)
}

/// The formats of `OTEL_PROPAGATORS` in their order, and whether baggage is among them.
fn formats(names: &str) -> Result<(Vec<Format>, bool), String> {
    let (mut formats, mut baggage) = (Vec::new(), false);
    for name in members(names) {
        match name {
            "none" => {}
            "baggage" => baggage = true,
            // Whoever reads one reads both, the single header first (OpenTelemetry specification, "B3 Extract").
            "b3" | "b3multi" => formats.extend([Format::B3, Format::B3Multi]),
            "skywalking" => formats.push(Format::Sw8),
            _ => formats.push(Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
                let known = Format::ALL.map(Format::name).join(", ");
                format!("{PROPAGATORS}: {name:?} is not known; use {known}, baggage or none")
            })?),
        }
    }
    // A format that is named again counts where it was named first.
    let mut seen = Vec::new();
    formats.retain(|format| {
        !seen.contains(format) && {
            seen.push(*format);
            true
        }
    });
    Ok((formats, baggage))
}

fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(options: &Headers, env: &[(&str, &str)]) -> Result<Policy, String> {
        policy(options, &env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn without_a_word_every_format_is_believed_from_everywhere() {
        assert_eq!(from(&Headers::default(), &[]), Ok(Policy::default()));
        let empty = [PROPAGATORS, "WIRESPAN_TRUSTED_CIDRS", "WIRESPAN_SDK", "WIRESPAN_BAGGAGE_KEYS"].map(|name| (name, " "));
        assert_eq!(from(&Headers::default(), &empty), Ok(Policy::default()));
    }

    #[test]
    fn propagators_are_an_order_and_a_set() {
        let of = |names: &str| formats(names);
        assert_eq!(of("jaeger, tracecontext,baggage"), Ok((vec![Format::Jaeger, Format::TraceContext], true)));
        assert_eq!(of("b3multi,xray,b3"), Ok((vec![Format::B3, Format::B3Multi, Format::XRay], false)));
        assert_eq!(of("skywalking,sw8,grpc-trace-bin,datadog,gcp,ottrace").map(|(formats, _)| formats.len()), Ok(5));
        assert_eq!(of("none"), Ok((vec![], false)));
        let error = of("tracecontext,w3c").expect_err("unknown");
        assert!(error.starts_with(r#"OTEL_PROPAGATORS: "w3c" is not known; use tracecontext, grpc-trace-bin, b3,"#), "{error}");
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let env = [("WIRESPAN_TRUSTED_CIDRS", "10.0.0.0/8, ::1"), ("WIRESPAN_SDK", "join"), ("WIRESPAN_BAGGAGE_KEYS", "tenant")];
        let expected = Policy {
            trusted: ["10.0.0.0/8", "::1"].map(|network| network.parse().expect("a network")).to_vec(),
            sdk: Sdk::Join,
            baggage: vec![BaggageKey { key: "tenant".to_owned(), attribute: "baggage.tenant" }],
            ..Policy::default()
        };
        assert_eq!(from(&Headers::default(), &env), Ok(expected.clone()));
        let text = |text: &str| Some(text.to_owned());
        let options = Headers { trusted_cidrs: text("192.0.2.1"), sdk: text("skip"), baggage_keys: None };
        let expected = Policy { trusted: vec!["192.0.2.1".parse().expect("a network")], sdk: Sdk::Skip, ..expected };
        assert_eq!(from(&options, &env), Ok(expected.clone()));
        // Who leaves baggage out of the propagators does not want any of it.
        let no_baggage = [&env[..], &[(PROPAGATORS, "tracecontext")]].concat();
        assert_eq!(from(&options, &no_baggage), Ok(Policy { formats: vec![Format::TraceContext], baggage: vec![], ..expected }));
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_place() {
        let flag = Headers { trusted_cidrs: Some("10.0.0.0/33".to_owned()), ..Headers::default() };
        let wrong = r#"--trusted-cidrs: "10.0.0.0/33": write a network such as 10.0.0.0/8 or fd00::/8, or an address"#;
        assert_eq!(from(&flag, &[]), Err(wrong.to_owned()));
        let wrong = r#"WIRESPAN_SDK: "off" is not known; use skip or join"#;
        assert_eq!(from(&Headers::default(), &[("WIRESPAN_SDK", "off")]), Err(wrong.to_owned()));
        let wrong = r#"--baggage-keys: "a b" is no key of baggage; it has letters, digits and marks without quotes"#;
        let flag = Headers { baggage_keys: Some("tenant, a b".to_owned()), ..Headers::default() };
        assert_eq!(from(&flag, &[]), Err(wrong.to_owned()));
    }
}
