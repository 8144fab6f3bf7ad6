//! Every version that the library writes is read, and says the same.
use super::wire::*;
use super::{C, S, told};

const ID: u128 = 0x0dd0_cafe_0001;

#[test]
fn produce_is_read_in_every_version() {
    super::talk(&[(C, &metadata(12, 1)), (S, &looked_up(12, 1, "orders", ID, 0))]);
    let records = batch(&[record(0, "order-1", Some("v"), Some(TRACEPARENT))]);
    for version in 3..=13 {
        let (sent, answer) = if version >= 13 {
            (produce_by_id(version, 1, ID, records.clone()), produced_by_id(version, 1, ID, 17))
        } else {
            (produce(version, 1, &[("orders", 0, records.clone())]), produced(version, 1, &[("orders", 0, 0, 17)]))
        };
        assert_eq!(
            told(&super::talk(&[(C, &sent), (S, &answer)])),
            [
                "> Publish send orders: system=kafka client.id=shop operation.name=send operation.type=send destination.partition.id=0 \
                 destination.name=orders kafka.message.key=order-1 [ trace 4b]",
                "< kafka.offset=Int(17) [orders/0@17]",
            ],
            "{version}"
        );
    }
}

#[test]
fn fetch_is_read_in_every_version() {
    super::talk(&[(C, &metadata(12, 1)), (S, &looked_up(12, 1, "orders", ID, 0))]);
    let records = batch(&[record(8, "order-8", Some("v"), Some(TRACEPARENT)), record(9, "order-9", None, None)]);
    for version in 4..=18 {
        let answer = if version >= 13 {
            fetched_by_id(version, 1, ID, records.clone())
        } else {
            fetched(version, 1, &[("orders", 0, 0, records.clone())])
        };
        assert_eq!(
            told(&super::talk(&[(C, &fetch(version, 1, -1)), (S, &answer)])),
            [
                "> Consume poll: system=kafka client.id=shop operation.name=poll operation.type=receive",
                "< poll orders: operation.name=poll operation.type=receive destination.partition.id=0 destination.name=orders \
                 batch.message_count=Int(2) [orders/0@8 trace 4b] [orders/0@9]",
            ],
            "{version}"
        );
    }
}

#[test]
fn metadata_is_read_in_every_version() {
    for version in 0..=12 {
        let asked = metadata(version.max(4), 1);
        let asked = if version < 4 { [&asked[..6], &version.to_be_bytes(), &asked[8..]].concat() } else { asked };
        let lines = told(&super::talk(&[(C, &asked), (S, &looked_up(version, 1, "orders", 0, 3))]));
        assert_eq!(lines[1], "< !UNKNOWN_TOPIC_OR_PARTITION", "{version}");
    }
}

#[test]
fn commits_are_read_in_every_version() {
    let expected = "> Database commit orders: system=kafka client.id=shop consumer.group.name=billing operation.name=commit \
                    operation.type=settle destination.partition.id=0 destination.name=orders";
    for version in 2..=9 {
        let lines = told(&super::talk(&[(C, &commit(version, 1)), (S, &committed(version, 1, 27))]));
        assert_eq!(lines, [expected, "< !REBALANCE_IN_PROGRESS"], "{version}");
    }
    for version in 0..=5 {
        assert_eq!(told(&super::talk(&[(C, &commit_in_transaction(version, 1))])), [expected], "{version}");
    }
}

#[test]
fn groups_and_authentication_are_read_in_every_version() {
    for version in 0..=9 {
        let lines = told(&super::talk(&[(C, &join(version, 1)), (S, &joined(version, 1, 81))]));
        assert_eq!(lines[0], "> Database JoinGroup: system=kafka client.id=shop consumer.group.name=billing operation.name=JoinGroup");
        assert_eq!(lines[1], "< !GROUP_MAX_SIZE_REACHED", "{version}");
    }
    for version in 0..=6 {
        let lines = told(&super::talk(&[(C, &find_coordinator(version, 1)), (S, &coordinator(version, 1, 15))]));
        assert_eq!(lines[1], "< !COORDINATOR_NOT_AVAILABLE", "{version}");
    }
    for version in 0..=2 {
        let lines = told(&super::talk(&[(C, &sasl_authenticate(version, 1)), (S, &sasl_refused(version, 1))]));
        assert_eq!(lines[1], "< !SASL_AUTHENTICATION_FAILED", "{version}");
    }
}
