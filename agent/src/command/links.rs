//! The command line and the environment become a [`LinksConfig`], if a store is named. Pure: the variables come in as a map.
//!
//! The command line wins; an empty variable is an unset one. What cannot be used is a sentence that names where it stands, without the
//! address itself: people put passwords into addresses.
use crate::cli::{Links, duration};
use crate::rendezvous::{LinksConfig, Password};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a request waits for an answer, unless told otherwise.
const WAIT: Duration = Duration::from_millis(1500);
/// Bounds of it: an agent looks at the ring ten times a second, and lets nothing wait for longer than 30 seconds.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(20);

/// The store for links; `None` if nobody named one.
pub(super) fn links(options: &Links, env: &BTreeMap<String, String>) -> Result<Option<LinksConfig>, String> {
    let variable =
        |name: &'static str| env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty()).map(|value| (name, value));
    let Some((source, address)) =
        options.links_store.as_deref().map(|value| ("--links-store", value)).or_else(|| variable("WIRESPAN_LINKS_STORE"))
    else {
        return match (&options.links_password_file, options.links_wait) {
            (None, None) => Ok(None),
            _ => Err("--links-password-file and --links-wait are about a store: name it with --links-store".to_owned()),
        };
    };
    let address = address.parse().map_err(|advice| format!("{source}: {advice}"))?;
    let file = options.links_password_file.clone().or_else(|| variable("WIRESPAN_LINKS_PASSWORD_FILE").map(|(_, path)| path.into()));
    let password =
        file.map(Password::File).or_else(|| variable("WIRESPAN_LINKS_PASSWORD").map(|(_, text)| Password::Text(text.to_owned())));
    let wait = match (options.links_wait, variable("WIRESPAN_LINKS_WAIT")) {
        (Some(wait), _) => wait,
        (None, Some((name, text))) => duration(text).map_err(|advice| format!("{name}: {advice}"))?,
        (None, None) => WAIT,
    };
    if !(SHORTEST..=LONGEST).contains(&wait) {
        return Err(format!("--links-wait: it can be {} ms to {} s", SHORTEST.as_millis(), LONGEST.as_secs()));
    }
    Ok(Some(LinksConfig { address, password, wait }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(options: &Links, env: &[(&str, &str)]) -> Result<Option<LinksConfig>, String> {
        links(options, &env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn config(address: &str, password: Option<Password>, wait: u64) -> LinksConfig {
        LinksConfig { address: address.parse().expect("an address"), password, wait: Duration::from_millis(wait) }
    }

    #[test]
    fn without_a_store_nothing_is_asked() {
        assert_eq!(from(&Links::default(), &[("WIRESPAN_LINKS_STORE", " "), ("WIRESPAN_LINKS_WAIT", "1s")]), Ok(None));
        let options = Links { links_wait: Some(WAIT), ..Links::default() };
        assert!(from(&options, &[]).is_err_and(|error| error.contains("name it with --links-store")));
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let env = [
            ("WIRESPAN_LINKS_STORE", "redis://one"),
            ("WIRESPAN_LINKS_PASSWORD_FILE", "/run/one"),
            ("WIRESPAN_LINKS_PASSWORD", "secret"),
            ("WIRESPAN_LINKS_WAIT", "2s"),
        ];
        let file = |path: &str| Some(Password::File(path.into()));
        assert_eq!(from(&Links::default(), &env), Ok(Some(config("redis://one", file("/run/one"), 2000))));
        let options = Links {
            links_store: Some("rediss://two".to_owned()),
            links_password_file: Some("/run/two".into()),
            links_wait: Some(Duration::from_millis(300)),
        };
        assert_eq!(from(&options, &env), Ok(Some(config("rediss://two", file("/run/two"), 300))));
        let env = [("WIRESPAN_LINKS_STORE", "redis://one"), ("WIRESPAN_LINKS_PASSWORD", "secret")];
        let expected = config("redis://one", Some(Password::Text("secret".to_owned())), 1500);
        assert!(!format!("{expected:?}").contains("secret"));
        assert_eq!(from(&Links::default(), &env), Ok(Some(expected)));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_the_password_in_it() {
        let error = from(&Links::default(), &[("WIRESPAN_LINKS_STORE", "redis://u:hunter2@one")]).expect_err("a password");
        assert!(error.starts_with("WIRESPAN_LINKS_STORE: a password does not belong here") && !error.contains("hunter2"), "{error}");
        let error = from(&Links::default(), &[("WIRESPAN_LINKS_STORE", "redis://one"), ("WIRESPAN_LINKS_WAIT", "5")]).expect_err("no unit");
        assert!(error.starts_with("WIRESPAN_LINKS_WAIT: write a number with a unit"), "{error}");
        let options = Links { links_store: Some("redis://one".to_owned()), links_wait: Some(Duration::from_mins(1)), ..Links::default() };
        assert_eq!(from(&options, &[]), Err("--links-wait: it can be 200 ms to 20 s".to_owned()));
    }
}
