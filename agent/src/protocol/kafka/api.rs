//! What each kind of request is: its name, its versions, what becomes of it, and where its answer says that it failed. From the protocol
//! guide ("Api Keys" and the schemas there), up to Apache Kafka 4.1; of versions that it has dropped, as they were in 3.9.

/// No version.
pub(super) const NEVER: i16 = i16::MAX;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Messages are sent.
    Produce,
    /// Messages are asked for.
    Fetch,
    /// A consumer settles what it has processed.
    Commit,
    /// Topics are looked up: told only if that failed.
    Metadata,
    /// Something that clients do all the time without being asked: told only if it failed.
    Quiet,
    /// Heartbeats, and what clients and brokers do among themselves: never told.
    Silent,
    /// Something that a program waits for: always told.
    Told,
}

/// Where a response says that the request failed. `throttled` is the first version in which the time of a quota comes first; `ids` the
/// first one with topic ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Somewhere that is not looked at.
    None,
    /// At its beginning.
    First,
    /// At its beginning or behind the time; not in versions before `from`.
    Throttled {
        /// See above.
        throttled: i16,
        /// See above.
        from: i16,
    },
    /// In each topic.
    Topics {
        /// See above.
        throttled: i16,
        /// See above.
        ids: i16,
    },
    /// In each partition of each topic.
    Partitions {
        /// See above.
        throttled: i16,
        /// See above.
        ids: i16,
    },
    /// As `FindCoordinator` does: behind the time, and from version 4 on in each coordinator.
    Coordinators,
    /// As `AddPartitionsToTxn` does: in each partition, and from version 4 on behind the time.
    Transactions,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Api {
    /// Its name.
    pub(super) name: &'static str,
    /// The newest version whose layout is known.
    pub(super) latest: i16,
    /// The first version in the compact encoding.
    pub(super) flexible: i16,
    /// What becomes of it.
    pub(super) role: Role,
    /// Where its answer says that it failed.
    pub(super) fault: Fault,
    /// Its first field is the name of a consumer group.
    pub(super) of_group: bool,
}

impl Api {
    /// The kind with this key.
    pub(super) fn of(key: i16) -> Option<&'static Self> {
        APIS.get(usize::try_from(key).ok()?)
    }

    const fn of_group(mut self) -> Self {
        self.of_group = true;
        self
    }
}

const fn api(name: &'static str, latest: i16, flexible: i16, role: Role, fault: Fault) -> Api {
    Api { name, latest, flexible, role, fault, of_group: false }
}

const fn silent(name: &'static str, latest: i16, flexible: i16) -> Api {
    api(name, latest, flexible, Role::Silent, Fault::None)
}

/// By key.
const APIS: [Api; 93] = [
    api("Produce", 13, 9, Role::Produce, Fault::None),
    api("Fetch", 18, 12, Role::Fetch, Fault::None),
    silent("ListOffsets", 10, 6),
    api("Metadata", 13, 9, Role::Metadata, Fault::None),
    silent("LeaderAndIsr", 7, 4),
    silent("StopReplica", 4, 2),
    silent("UpdateMetadata", 8, 6),
    silent("ControlledShutdown", 3, 3),
    api("OffsetCommit", 10, 8, Role::Commit, Fault::Partitions { throttled: 3, ids: 10 }).of_group(),
    silent("OffsetFetch", 10, 6),
    api("FindCoordinator", 6, 3, Role::Quiet, Fault::Coordinators),
    api("JoinGroup", 9, 6, Role::Told, Fault::Throttled { throttled: 2, from: 0 }).of_group(),
    silent("Heartbeat", 4, 4),
    api("LeaveGroup", 5, 4, Role::Told, Fault::Throttled { throttled: 1, from: 0 }).of_group(),
    api("SyncGroup", 5, 4, Role::Told, Fault::Throttled { throttled: 1, from: 0 }).of_group(),
    api("DescribeGroups", 6, 5, Role::Told, Fault::None),
    api("ListGroups", 5, 3, Role::Told, Fault::Throttled { throttled: 1, from: 0 }),
    api("SaslHandshake", 1, NEVER, Role::Told, Fault::First),
    silent("ApiVersions", 4, 3),
    api("CreateTopics", 7, 5, Role::Told, Fault::Topics { throttled: 2, ids: 7 }),
    api("DeleteTopics", 6, 4, Role::Told, Fault::Topics { throttled: 1, ids: 6 }),
    api("DeleteRecords", 2, 2, Role::Told, Fault::None),
    api("InitProducerId", 6, 2, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    silent("OffsetForLeaderEpoch", 4, 4),
    api("AddPartitionsToTxn", 5, 3, Role::Quiet, Fault::Transactions),
    api("AddOffsetsToTxn", 4, 3, Role::Quiet, Fault::Throttled { throttled: 0, from: 0 }),
    api("EndTxn", 5, 3, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    silent("WriteTxnMarkers", 1, 1),
    api("TxnOffsetCommit", 5, 3, Role::Commit, Fault::Partitions { throttled: 0, ids: NEVER }),
    api("DescribeAcls", 3, 2, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    api("CreateAcls", 3, 2, Role::Told, Fault::None),
    api("DeleteAcls", 3, 2, Role::Told, Fault::None),
    api("DescribeConfigs", 4, 4, Role::Told, Fault::None),
    api("AlterConfigs", 2, 2, Role::Told, Fault::None),
    api("AlterReplicaLogDirs", 2, 2, Role::Told, Fault::None),
    api("DescribeLogDirs", 4, 2, Role::Told, Fault::Throttled { throttled: 0, from: 3 }),
    api("SaslAuthenticate", 2, 2, Role::Told, Fault::First),
    api("CreatePartitions", 3, 2, Role::Told, Fault::None),
    api("CreateDelegationToken", 3, 2, Role::Told, Fault::First),
    api("RenewDelegationToken", 2, 2, Role::Told, Fault::First),
    api("ExpireDelegationToken", 2, 2, Role::Told, Fault::First),
    api("DescribeDelegationToken", 3, 2, Role::Told, Fault::First),
    api("DeleteGroups", 2, 2, Role::Told, Fault::None),
    api("ElectLeaders", 2, 2, Role::Told, Fault::Throttled { throttled: 0, from: 1 }),
    api("IncrementalAlterConfigs", 1, 1, Role::Told, Fault::None),
    api("AlterPartitionReassignments", 1, 0, Role::Told, Fault::None),
    api("ListPartitionReassignments", 0, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    api("OffsetDelete", 0, NEVER, Role::Told, Fault::First).of_group(),
    api("DescribeClientQuotas", 1, 1, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    api("AlterClientQuotas", 1, 1, Role::Told, Fault::None),
    api("DescribeUserScramCredentials", 0, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    api("AlterUserScramCredentials", 0, 0, Role::Told, Fault::None),
    silent("Vote", 2, 0),
    silent("BeginQuorumEpoch", 1, 1),
    silent("EndQuorumEpoch", 1, 1),
    api("DescribeQuorum", 2, 0, Role::Told, Fault::First),
    silent("AlterPartition", 3, 0),
    api("UpdateFeatures", 2, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    silent("Envelope", 0, 0),
    silent("FetchSnapshot", 1, 0),
    api("DescribeCluster", 2, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    api("DescribeProducers", 0, 0, Role::Told, Fault::None),
    silent("BrokerRegistration", 4, 0),
    silent("BrokerHeartbeat", 1, 0),
    api("UnregisterBroker", 0, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    api("DescribeTransactions", 0, 0, Role::Told, Fault::None),
    api("ListTransactions", 2, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    silent("AllocateProducerIds", 0, 0),
    silent("ConsumerGroupHeartbeat", 1, 0),
    api("ConsumerGroupDescribe", 1, 0, Role::Told, Fault::None),
    silent("ControllerRegistration", 0, 0),
    silent("GetTelemetrySubscriptions", 0, 0),
    silent("PushTelemetry", 0, 0),
    silent("AssignReplicasToDirs", 0, 0),
    api("ListConfigResources", 1, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    silent("DescribeTopicPartitions", 0, 0),
    silent("ShareGroupHeartbeat", 1, 0),
    api("ShareGroupDescribe", 1, 0, Role::Told, Fault::None),
    silent("ShareFetch", 1, 0),
    silent("ShareAcknowledge", 1, 0),
    api("AddRaftVoter", 0, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    api("RemoveRaftVoter", 0, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }),
    silent("UpdateRaftVoter", 0, 0),
    silent("InitializeShareGroupState", 0, 0),
    silent("ReadShareGroupState", 0, 0),
    silent("WriteShareGroupState", 0, 0),
    silent("DeleteShareGroupState", 0, 0),
    silent("ReadShareGroupStateSummary", 0, 0),
    silent("StreamsGroupHeartbeat", 0, 0),
    api("StreamsGroupDescribe", 0, 0, Role::Told, Fault::None),
    api("DescribeShareGroupOffsets", 0, 0, Role::Told, Fault::None),
    api("AlterShareGroupOffsets", 0, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }).of_group(),
    api("DeleteShareGroupOffsets", 0, 0, Role::Told, Fault::Throttled { throttled: 0, from: 0 }).of_group(),
];
