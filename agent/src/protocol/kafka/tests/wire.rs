//! What clients and brokers say, as `kafka-protocol` writes it.
use super::CANARY;
use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages as api;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use std::fmt::Debug;
use std::str::FromStr;

pub(super) const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Topic, partition and what belongs there.
pub(super) type Part<T> = (&'static str, i32, T);

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// The library's own type of ids, which it does not name.
fn uuid<T: FromStr<Err: Debug>>(id: u128) -> T {
    format!("{id:032x}").parse().expect("an id")
}

fn framed(body: &BytesMut) -> Vec<u8> {
    [&u32::try_from(body.len()).expect("short").to_be_bytes()[..], body].concat()
}

pub(super) fn ask<R: Request>(version: i16, correlation: i32, request: &R) -> Vec<u8> {
    let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
    let header = header.with_correlation_id(correlation).with_client_id(Some(text("shop")));
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version)).expect("a header");
    request.encode(&mut body, version).unwrap_or_else(|error| panic!("{:?} version {version}: {error}", ApiKey::try_from(R::KEY)));
    framed(&body)
}

pub(super) fn answer<R: Encodable + HeaderVersion>(version: i16, correlation: i32, response: &R) -> Vec<u8> {
    let mut body = BytesMut::new();
    ResponseHeader::default().with_correlation_id(correlation).encode(&mut body, R::header_version(version)).expect("a header");
    response.encode(&mut body, version).unwrap_or_else(|error| panic!("version {version}: {error}"));
    framed(&body)
}

pub(super) fn record(offset: i64, key: &str, value: Option<&str>, traceparent: Option<&str>) -> Record {
    let bytes = |text: &str| Bytes::from(text.to_owned());
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).expect("small"),
        timestamp: 1,
        key: Some(bytes(key)),
        value: value.map(bytes),
        headers: traceparent.map(|value| (text("traceparent"), Some(bytes(value)))).into_iter().collect::<IndexMap<_, _>>(),
    }
}

fn encoded(records: &[Record], compression: Compression) -> Vec<u8> {
    let mut out = BytesMut::new();
    RecordBatchEncoder::encode(&mut out, records, &RecordEncodeOptions { version: 2, compression }).expect("a batch");
    out.to_vec()
}

pub(super) fn batch(records: &[Record]) -> Vec<u8> {
    encoded(records, Compression::None)
}

pub(super) fn packed(records: &[Record]) -> Vec<u8> {
    encoded(records, Compression::Gzip)
}

/// One message of the formats before batches, which the library does not write.
pub(super) fn message_set(magic: u8, offset: i64, key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).expect("short")).to_be_bytes();
    let time = if magic == 1 { &[0; 8][..] } else { &[] };
    let parts: [&[u8]; 7] = [&[0; 4], &[magic, 0], time, &length(Some(key)), key, &length(value), value.unwrap_or_default()];
    let message = parts.concat();
    [&offset.to_be_bytes()[..], &length(Some(&message)), &message].concat()
}

fn produce_request(parts: &[Part<Vec<u8>>]) -> api::ProduceRequest {
    let topics = parts.iter().map(|(name, partition, records)| {
        let data = api::produce_request::PartitionProduceData::default().with_index(*partition).with_records(Some(records.clone().into()));
        api::produce_request::TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![data])
    });
    api::ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(topics.collect())
}

pub(super) fn produce(version: i16, correlation: i32, parts: &[Part<Vec<u8>>]) -> Vec<u8> {
    ask(version, correlation, &produce_request(parts))
}

pub(super) fn produce_unacknowledged(version: i16, correlation: i32, parts: &[Part<Vec<u8>>]) -> Vec<u8> {
    ask(version, correlation, &produce_request(parts).with_acks(0))
}

pub(super) fn produce_in_transaction(version: i16, correlation: i32, parts: &[Part<Vec<u8>>]) -> Vec<u8> {
    ask(version, correlation, &produce_request(parts).with_transactional_id(Some(api::TransactionalId(text(CANARY)))))
}

pub(super) fn produce_by_id(version: i16, correlation: i32, id: u128, records: Vec<u8>) -> Vec<u8> {
    let mut request = produce_request(&[("", 0, records)]);
    request.topic_data.iter_mut().for_each(|topic| topic.topic_id = uuid(id));
    ask(version, correlation, &request)
}

/// A topic, a partition, an error code and the first number that was given.
pub(super) fn produced(version: i16, correlation: i32, parts: &[(&'static str, i32, i16, i64)]) -> Vec<u8> {
    answer(version, correlation, &produce_response(parts))
}

fn produce_response(parts: &[(&'static str, i32, i16, i64)]) -> api::ProduceResponse {
    let topics = parts.iter().map(|(name, partition, error, base)| {
        let data = api::produce_response::PartitionProduceResponse::default().with_index(*partition).with_error_code(*error);
        let data = vec![data.with_base_offset(*base)];
        api::produce_response::TopicProduceResponse::default().with_name(topic(name)).with_partition_responses(data)
    });
    api::ProduceResponse::default().with_responses(topics.collect())
}

pub(super) fn produced_by_id(version: i16, correlation: i32, id: u128, base: i64) -> Vec<u8> {
    let mut response = produce_response(&[("", 0, 0, base)]);
    response.responses.iter_mut().for_each(|topic| topic.topic_id = uuid(id));
    answer(version, correlation, &response)
}

/// With `replica`, it is a broker's.
pub(super) fn fetch(version: i16, correlation: i32, replica: i32) -> Vec<u8> {
    let partition = api::fetch_request::FetchPartition::default().with_partition(1).with_fetch_offset(7).with_partition_max_bytes(1 << 20);
    let asked = api::fetch_request::FetchTopic::default().with_partitions(vec![partition]);
    let asked = if version >= 13 { asked.with_topic_id(uuid(7)) } else { asked.with_topic(topic("orders")) };
    let gone = api::fetch_request::ForgottenTopic::default().with_partitions(vec![3]);
    let gone = if version >= 13 { gone.with_topic_id(uuid(8)) } else { gone.with_topic(topic("packed")) };
    let mut request = api::FetchRequest::default().with_max_wait_ms(500).with_min_bytes(1).with_topics(vec![asked]);
    if version >= 7 {
        request = request.with_forgotten_topics_data(vec![gone]);
    }
    if version >= 15 {
        request.replica_state.replica_id = replica.into();
    } else {
        request.replica_id = replica.into();
    }
    ask(version, correlation, &request)
}

fn partition_data(partition: i32, error: i16, records: Vec<u8>) -> api::fetch_response::PartitionData {
    let aborted = api::fetch_response::AbortedTransaction::default().with_producer_id(1.into()).with_first_offset(2);
    let data = api::fetch_response::PartitionData::default().with_partition_index(partition).with_error_code(error).with_high_watermark(9);
    let records = Some(records).filter(|records| !records.is_empty());
    data.with_aborted_transactions(Some(vec![aborted])).with_records(records.map(Bytes::from))
}

/// A topic, a partition, an error code and records.
pub(super) fn fetched(version: i16, correlation: i32, parts: &[(&'static str, i32, i16, Vec<u8>)]) -> Vec<u8> {
    let topics = parts.iter().map(|(name, partition, error, records)| {
        let data = vec![partition_data(*partition, *error, records.clone())];
        let found = api::fetch_response::FetchableTopicResponse::default().with_partitions(data);
        if version >= 13 { found } else { found.with_topic(topic(name)) }
    });
    answer(version, correlation, &api::FetchResponse::default().with_responses(topics.collect()))
}

pub(super) fn fetched_by_id(version: i16, correlation: i32, id: u128, records: Vec<u8>) -> Vec<u8> {
    let data = vec![partition_data(0, 0, records)];
    let found = api::fetch_response::FetchableTopicResponse::default().with_topic_id(uuid(id)).with_partitions(data);
    answer(version, correlation, &api::FetchResponse::default().with_responses(vec![found]))
}

pub(super) fn metadata(version: i16, correlation: i32) -> Vec<u8> {
    let asked = api::metadata_request::MetadataRequestTopic::default().with_name(Some(topic("orders")));
    ask(version, correlation, &api::MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(true))
}

pub(super) fn looked_up(version: i16, correlation: i32, name: &str, id: u128, error: i16) -> Vec<u8> {
    let broker = api::metadata_response::MetadataResponseBroker::default().with_host(text("broker.test")).with_port(9092);
    let partition = api::metadata_response::MetadataResponsePartition::default().with_replica_nodes(vec![1.into()]);
    let found = api::metadata_response::MetadataResponseTopic::default().with_name(Some(topic(name))).with_error_code(error);
    let found = found.with_topic_id(uuid(id)).with_partitions(vec![partition.clone(), partition]);
    answer(version, correlation, &api::MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![found]))
}

pub(super) fn find_coordinator(version: i16, correlation: i32) -> Vec<u8> {
    let asked = api::FindCoordinatorRequest::default();
    let asked = if version >= 4 { asked.with_coordinator_keys(vec![text("billing")]) } else { asked.with_key(text("billing")) };
    ask(version, correlation, &asked)
}

pub(super) fn coordinator(version: i16, correlation: i32, error: i16) -> Vec<u8> {
    let found = api::find_coordinator_response::Coordinator::default().with_key(text("billing")).with_error_code(error);
    let response = api::FindCoordinatorResponse::default();
    let response = if version >= 4 { response.with_coordinators(vec![found]) } else { response.with_error_code(error) };
    answer(version, correlation, &response)
}

fn group() -> api::GroupId {
    api::GroupId(text("billing"))
}

pub(super) fn join(version: i16, correlation: i32) -> Vec<u8> {
    ask(version, correlation, &api::JoinGroupRequest::default().with_group_id(group()).with_protocol_type(text("consumer")))
}

pub(super) fn joined(version: i16, correlation: i32, error: i16) -> Vec<u8> {
    answer(version, correlation, &api::JoinGroupResponse::default().with_error_code(error))
}

pub(super) fn heartbeat(version: i16, correlation: i32) -> Vec<u8> {
    ask(version, correlation, &api::HeartbeatRequest::default().with_group_id(group()))
}

pub(super) fn alive(version: i16, correlation: i32) -> Vec<u8> {
    answer(version, correlation, &api::HeartbeatResponse::default())
}

pub(super) fn commit(version: i16, correlation: i32) -> Vec<u8> {
    let partition = api::offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(9);
    let partition = partition.with_committed_metadata(Some(text(CANARY)));
    let about = api::offset_commit_request::OffsetCommitRequestTopic::default().with_name(topic("orders")).with_partitions(vec![partition]);
    ask(version, correlation, &api::OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![about]))
}

pub(super) fn committed(version: i16, correlation: i32, error: i16) -> Vec<u8> {
    let partition = api::offset_commit_response::OffsetCommitResponsePartition::default().with_error_code(error);
    let about = api::offset_commit_response::OffsetCommitResponseTopic::default().with_name(topic("orders"));
    answer(version, correlation, &api::OffsetCommitResponse::default().with_topics(vec![about.with_partitions(vec![partition])]))
}

pub(super) fn commit_in_transaction(version: i16, correlation: i32) -> Vec<u8> {
    let partition = api::txn_offset_commit_request::TxnOffsetCommitRequestPartition::default().with_committed_metadata(Some(text(CANARY)));
    let about = api::txn_offset_commit_request::TxnOffsetCommitRequestTopic::default().with_name(topic("orders"));
    let request = api::TxnOffsetCommitRequest::default().with_transactional_id(api::TransactionalId(text(CANARY))).with_group_id(group());
    ask(version, correlation, &request.with_topics(vec![about.with_partitions(vec![partition])]))
}

pub(super) fn init_producer(version: i16, correlation: i32) -> Vec<u8> {
    ask(version, correlation, &api::InitProducerIdRequest::default().with_transactional_id(Some(api::TransactionalId(text(CANARY)))))
}

pub(super) fn sasl_handshake(version: i16, correlation: i32) -> Vec<u8> {
    ask(version, correlation, &api::SaslHandshakeRequest::default().with_mechanism(text("PLAIN")))
}

pub(super) fn sasl_shaken(version: i16, correlation: i32) -> Vec<u8> {
    answer(version, correlation, &api::SaslHandshakeResponse::default().with_mechanisms(vec![text("PLAIN")]))
}

pub(super) fn sasl_authenticate(version: i16, correlation: i32) -> Vec<u8> {
    ask(version, correlation, &api::SaslAuthenticateRequest::default().with_auth_bytes(format!("\0user\0{CANARY}").into()))
}

pub(super) fn sasl_refused(version: i16, correlation: i32) -> Vec<u8> {
    let response = api::SaslAuthenticateResponse::default().with_error_code(58).with_error_message(Some(text(CANARY)));
    answer(version, correlation, &response.with_auth_bytes(CANARY.into()))
}
