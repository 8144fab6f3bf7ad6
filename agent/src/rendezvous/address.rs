//! Where the store is: `--links-store URL` becomes an [`Address`]. Pure.
//!
//! | address | meaning |
//! |---|---|
//! | `redis://HOST[:PORT][/DB]` | one server |
//! | `redis+sentinel://HOST[:PORT],…/MASTER[/DB]` | the master of that name, as the Sentinels know it |
//! | `redis-cluster://HOST[:PORT],…` | a Cluster, found by some of its nodes |
//!
//! `rediss…` is the same over TLS; `valkey…` is another word for `redis…`. A user may stand before the host (`USER@`); a password may not,
//! because everybody on a machine can read command lines.
use std::fmt;
use std::str::FromStr;

/// Port of a server (IANA).
const PORT: u16 = 6379;
/// Port of a Sentinel.
const SENTINEL_PORT: u16 = 26379;
/// Servers that may be named: it takes one that answers to find the others.
const MAX_HOSTS: usize = 64;

/// A host, and its port.
pub type Host = (String, u16);

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// How many servers it is, and how they are found.
    pub topology: Topology,
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// Its user; without one the default user.
    pub user: Option<String>,
    /// Number of the database; a Cluster has only 0.
    pub database: i64,
}

/// How many servers a store is, and how they are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single(Host),
    /// The master that Sentinels name.
    Sentinel {
        /// The Sentinels.
        hosts: Vec<Host>,
        /// What they call it.
        master: String,
    },
    /// A Cluster, found by some of its nodes.
    Cluster(Vec<Host>),
}

impl Address {
    /// The servers that were named.
    fn hosts(&self) -> &[Host] {
        match &self.topology {
            Topology::Single(host) => std::slice::from_ref(host),
            Topology::Sentinel { hosts, .. } | Topology::Cluster(hosts) => hosts,
        }
    }
}

/// For people: the servers that were named.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (host, port)) in self.hosts().iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            let brackets = if host.contains(':') { ["[", "]"] } else { ["", ""] };
            write!(f, "{comma}{}{host}{}:{port}", brackets[0], brackets[1])?;
        }
        Ok(())
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SCHEME: &str = "write redis://HOST, redis+sentinel://HOST,HOST/MASTER or redis-cluster://HOST,HOST, or rediss for TLS";
        let (scheme, rest) = text.trim().split_once("://").ok_or(SCHEME)?;
        let (engine, kind) = scheme.find(['+', '-']).map_or((scheme, ""), |end| scheme.split_at(end));
        let tls = match engine {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(SCHEME),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
        if user.is_some_and(|user| user.contains(':')) {
            return Err("a password does not belong here, where everybody can read it: use --links-password-file");
        }
        let user = user.filter(|user| !user.is_empty()).map(str::to_owned);
        let port = if kind == "+sentinel" { SENTINEL_PORT } else { PORT };
        let mut hosts = hosts.split(',').map(|host| self::host(host, port)).collect::<Result<Vec<_>, _>>()?;
        if hosts.len() > MAX_HOSTS {
            return Err("name fewer servers; one that answers is enough to find the others");
        }
        let number = |text: &str| if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| "the database is a number") };
        let (topology, database) = match kind {
            "" if hosts.len() > 1 => return Err("several servers are a Cluster (redis-cluster://) or Sentinels (redis+sentinel://)"),
            "" => (Topology::Single(hosts.pop().ok_or(SCHEME)?), number(path)?),
            "+sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err("name the master, as the Sentinels do: redis+sentinel://HOST,HOST/MASTER");
                }
                (Topology::Sentinel { hosts, master: master.to_owned() }, number(database)?)
            }
            "-cluster" if path.is_empty() => (Topology::Cluster(hosts), 0),
            "-cluster" => return Err("a Cluster has no databases"),
            _ => return Err(SCHEME),
        };
        Ok(Self { topology, tls, user, database })
    }
}

/// `HOST`, `HOST:PORT`, or with an IPv6 address `[HOST]` and `[HOST]:PORT`.
fn host(text: &str, port: u16) -> Result<Host, &'static str> {
    const WRONG: &str = "write a server as HOST:PORT, with an IPv6 address as [ADDRESS]:PORT";
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(WRONG)?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port = if rest.is_empty() { Ok(port) } else { rest.strip_prefix(':').ok_or(WRONG)?.parse().map_err(|_| WRONG) }?;
    if host.is_empty() || port == 0 { Err(WRONG) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Host {
        (host.to_owned(), port)
    }

    #[test]
    fn an_address_names_servers_and_how_they_belong_together() {
        let address = |topology, tls, user: Option<&str>, database| Address { topology, tls, user: user.map(str::to_owned), database };
        for (text, expected) in [
            ("redis://store", address(Topology::Single(at("store", 6379)), false, None, 0)),
            ("rediss://wirespan@store:7000/3", address(Topology::Single(at("store", 7000)), true, Some("wirespan"), 3)),
            ("valkeys://[::1]/", address(Topology::Single(at("::1", 6379)), true, None, 0)),
            (
                "redis+sentinel://a,b:1,[::1]:2/mine/4",
                address(
                    Topology::Sentinel { hosts: vec![at("a", 26379), at("b", 1), at("::1", 2)], master: "mine".to_owned() },
                    false,
                    None,
                    4,
                ),
            ),
            ("rediss-cluster://u@a,b", address(Topology::Cluster(vec![at("a", 6379), at("b", 6379)]), true, Some("u"), 0)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let address: Address = "redis-cluster://a,[::1]:7".parse().expect("an address");
        assert_eq!(address.to_string(), "a:6379,[::1]:7");
    }

    #[test]
    fn what_is_no_address_is_refused_with_advice() {
        for (text, advice) in [
            ("store:6379", "write redis://"),
            ("http://store", "write redis://"),
            ("redis-ring://a", "write redis://"),
            ("redis://:secret@store", "a password does not belong here"),
            ("redis://a,b", "several servers are a Cluster"),
            ("redis+sentinel://a", "name the master"),
            ("redis-cluster://a/1", "a Cluster has no databases"),
            ("redis://a/one", "the database is a number"),
            ("redis://", "write a server as"),
            ("redis://a:0", "write a server as"),
            ("redis://a:66000", "write a server as"),
            ("redis://[::1", "write a server as"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.starts_with(advice), "{text}: {error}");
        }
    }
}
