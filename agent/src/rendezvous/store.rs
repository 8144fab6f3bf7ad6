//! The store itself: batches of what is told and asked become commands for Redis or Valkey, and its replies outcomes.
//!
//! One server, the master behind Sentinels, or a Cluster: what differs is how a connection is made, and that a Cluster takes each key on its
//! own. A connection on which anything went wrong is given up; the next batch makes a new one, which also finds a new master.
use super::address::{Address, Host, Topology};
use super::entry::{self, Writer};
use super::{LinksConfig, Password};
use crate::causality::ids::WireKey;
use crate::causality::meeting::{Answer, Place};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError, TlsMode, Value,
};
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinSet;

/// Time for a connection, and for the replies to a batch: a store that takes longer is no store for a wait of 1.5 s.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time for everything about a batch: a name is looked up, Sentinels are asked, a Cluster says where its slots are.
const ALL_PATIENCE: Duration = Duration::from_secs(3);
/// Errors after which another server has to be found, or this one asked again later: it is no master any more, or not yet.
const NOT_HERE: [&str; 5] = ["READONLY", "MASTERDOWN", "LOADING", "CLUSTERDOWN", "NOREPLICAS"];

/// Why the store cannot be used now.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    #[error("read the password from {path}: {error}")]
    Password { path: String, error: std::io::Error },
    #[error("connect: {0}")]
    Connect(RedisError),
    #[error("send a batch: {0}")]
    Batch(RedisError),
    #[error("it says {0}")]
    NotHere(String),
    #[error("no answer within {} s", ALL_PATIENCE.as_secs())]
    Silent,
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum Item {
    /// Leave something under a request's key.
    Tell { key: WireKey, place: Option<Place> },
    /// Read what was left there.
    Ask { key: WireKey },
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Told,
    Read(Answer),
    /// What lies there was not written by an agent.
    Foreign,
    /// The store said no.
    Refused(String),
}

enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The store.
pub(super) struct Store {
    address: Address,
    password: Option<Password>,
    writer: Writer,
    /// How long an entry lives.
    life: Duration,
    connection: Option<Connection>,
}

impl Store {
    pub(super) fn new(config: LinksConfig, writer: Writer, life: Duration) -> Self {
        let LinksConfig { address, password, .. } = config;
        Self { address, password, writer, life, connection: None }
    }

    /// Does everything in `items`, and gives what came of each. After an error nothing is known of any.
    pub(super) async fn exchange(&mut self, items: &[Item]) -> Result<Vec<Outcome>, StoreError> {
        // Whatever goes wrong: the connection is not put back.
        let connection = self.connection.take();
        let (connection, outcomes) = tokio::time::timeout(ALL_PATIENCE, async {
            let connection = match connection {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            match connection {
                Connection::Server(mut server) => {
                    let replies = self.ask_server(&mut server, items).await?;
                    Ok::<_, StoreError>((Connection::Server(server), replies))
                }
                Connection::Cluster(cluster) => {
                    let replies = self.ask_cluster(&cluster, items).await?;
                    Ok((Connection::Cluster(cluster), replies))
                }
            }
        })
        .await
        .map_err(|_| StoreError::Silent)??;
        if let Some(why) = outcomes.iter().find_map(not_here) {
            return Err(StoreError::NotHere(why));
        }
        self.connection = Some(connection);
        Ok(outcomes)
    }

    /// All items in one pipeline.
    async fn ask_server(&self, server: &mut MultiplexedConnection, items: &[Item]) -> Result<Vec<Outcome>, StoreError> {
        let mut pipeline = redis::pipe();
        for item in items {
            self.add(item, &mut pipeline);
        }
        let replies = server.req_packed_commands(&pipeline, 0, pipeline.len()).await.map_err(StoreError::Batch)?;
        let mut replies = replies.into_iter();
        Ok(items.iter().map(|item| outcome(item, &mut replies)).collect())
    }

    /// A pipeline for each item, all at once: no two keys need be on the same server. The client library puts together what goes there.
    async fn ask_cluster(&self, cluster: &ClusterConnection, items: &[Item]) -> Result<Vec<Outcome>, StoreError> {
        let mut tasks = JoinSet::new();
        for (place, item) in items.iter().enumerate() {
            let (mut cluster, mut pipeline) = (cluster.clone(), redis::pipe());
            self.add(item, &mut pipeline);
            tasks.spawn(async move { (place, cluster.req_packed_commands(&pipeline, 0, pipeline.len()).await) });
        }
        let mut outcomes: Vec<_> = items.iter().map(|_| Outcome::Refused("no reply".to_owned())).collect();
        let (mut answered, mut failure) = (false, None);
        while let Some(Ok((place, result))) = tasks.join_next().await {
            let (Some(item), Some(outcome)) = (items.get(place), outcomes.get_mut(place)) else { continue };
            match result {
                Ok(replies) => {
                    answered = true;
                    *outcome = self::outcome(item, &mut replies.into_iter());
                }
                Err(error) => {
                    *outcome = Outcome::Refused(error.to_string());
                    failure = Some(error);
                }
            }
        }
        match failure {
            // A part of a Cluster may be down while the rest of it goes on.
            Some(error) if !answered => Err(StoreError::Batch(error)),
            _ => Ok(outcomes),
        }
    }

    fn add(&self, item: &Item, pipeline: &mut Pipeline) {
        match item {
            Item::Tell { key, place } => {
                let key = entry::key(*key);
                pipeline.cmd("HSET").arg(&key).arg(&self.writer).arg(entry::value(place.as_ref()));
                pipeline.cmd("PEXPIRE").arg(&key).arg(self.life.as_millis() as u64);
            }
            Item::Ask { key } => {
                pipeline.cmd("HVALS").arg(entry::key(*key));
            }
        }
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        // It is read each time: passwords change while agents run.
        let password = self.password.as_ref().map(Password::read).transpose()?;
        let Address { topology, tls, user, database } = &self.address;
        let address = |(host, port): &Host| {
            if *tls {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            } else {
                ConnectionAddr::Tcp(host.clone(), *port)
            }
        };
        let mut login = RedisConnectionInfo::default().set_db(*database);
        if let Some(user) = user {
            login = login.set_username(user);
        }
        if let Some(password) = &password {
            login = login.set_password(password);
        }
        let timeouts = AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let connection = match topology {
            Topology::Single(host) => {
                let info = address(host).into_connection_info().map_err(StoreError::Connect)?.set_redis_settings(login);
                let client = Client::open(info).map_err(StoreError::Connect)?;
                client.get_multiplexed_async_connection_with_config(&timeouts).await.map(Connection::Server)
            }
            Topology::Sentinel { hosts, master } => {
                let mut client = self.sentinels(hosts.iter().map(address), master, password).map_err(StoreError::Connect)?;
                client.get_async_connection_with_config(&timeouts).await.map(Connection::Server)
            }
            Topology::Cluster(hosts) => {
                let client = self.cluster(hosts.iter().map(address), password).map_err(StoreError::Connect)?;
                client.get_async_connection().await.map(Connection::Cluster)
            }
        };
        connection.map_err(StoreError::Connect)
    }

    fn sentinels(
        &self,
        hosts: impl Iterator<Item = ConnectionAddr>,
        master: &str,
        password: Option<String>,
    ) -> Result<SentinelClient, RedisError> {
        let mut builder =
            SentinelClientBuilder::new(hosts, master, SentinelServerType::Master)?.set_client_to_redis_db(self.address.database);
        if self.address.tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(user) = &self.address.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_redis_password(password);
        }
        builder.build()
    }

    fn cluster(&self, hosts: impl Iterator<Item = ConnectionAddr>, password: Option<String>) -> Result<ClusterClient, RedisError> {
        let mut builder = ClusterClientBuilder::new(hosts).connection_timeout(PATIENCE).response_timeout(PATIENCE).retries(1);
        if self.address.tls {
            builder = builder.tls(TlsMode::Secure);
        }
        if let Some(user) = &self.address.user {
            builder = builder.username(user);
        }
        if let Some(password) = password {
            builder = builder.password(password);
        }
        builder.build()
    }
}

/// What the next replies say of an item.
fn outcome(item: &Item, replies: &mut impl Iterator<Item = Value>) -> Outcome {
    let mut next = || match replies.next() {
        Some(Value::ServerError(error)) => Err(Outcome::Refused(format!("{} {}", error.code(), error.details().unwrap_or_default()))),
        Some(value) => Ok(value),
        None => Err(Outcome::Refused("no reply".to_owned())),
    };
    match item {
        // Both were sent, so both are taken, whatever the first says.
        Item::Tell { .. } => match (next(), next()) {
            (Err(refused), _) | (_, Err(refused)) => refused,
            (Ok(_), Ok(_)) => Outcome::Told,
        },
        Item::Ask { .. } => match next() {
            Err(Outcome::Refused(why)) if why.starts_with("WRONGTYPE") => Outcome::Foreign,
            Err(refused) => refused,
            Ok(Value::Array(values)) => {
                let values: Option<Vec<&[u8]>> = values.iter().map(bytes_of).collect();
                values.and_then(entry::read).map_or(Outcome::Foreign, Outcome::Read)
            }
            Ok(_) => Outcome::Foreign,
        },
    }
}

fn bytes_of(value: &Value) -> Option<&[u8]> {
    if let Value::BulkString(bytes) = value { Some(bytes) } else { None }
}

/// What an outcome says if it means that another server has to be found.
fn not_here(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Refused(why) if NOT_HERE.iter().any(|code| why.starts_with(code)) => Some(why.clone()),
        _ => None,
    }
}
