//! TCP scenes and the events of both sockets.
use super::*;
use crate::capture::pcap::{MAX_CONNECTIONS, Skip};
use std::net::Ipv4Addr;

fn lines(talk: &Talk) -> Vec<String> {
    talk.told(Vantage::Both).0
}

/// How many packets were skipped, by cause; the summary adds up.
fn skips(talk: &Talk) -> Vec<(&'static str, u64)> {
    let summary = talk.told(Vantage::Both).1;
    let skipped = Skip::ALL.map(|cause| (cause.name(), summary.skipped(cause)));
    assert_eq!(summary.packets, summary.segments + summary.datagrams + skipped.iter().map(|(_, count)| count).sum::<u64>());
    skipped.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_connection_becomes_two_sockets() {
    let talk = Talk::v4().handshake().up(40, ACK, 101, 501, b"GET").down(90, ACK, 501, 104, b"OK").farewell(104, 503);
    let expected = [
        "0 #2 opened client fresh 10.0.0.1:40000 -> 10.0.0.2:80",
        "0 #2 out S 101:0 ack 0",
        "10 #3 opened server fresh 10.0.0.2:80 -> 10.0.0.1:40000",
        "10 #3 in S 101:0 ack 0",
        "10 #3 out S. 501:0 ack 101",
        "10 #2 in S. 501:0 ack 101",
        "40 #2 out . 101:3 ack 501 \"GET\" rtt 30",
        "40 #3 in . 101:3 ack 501 \"GET\" rtt 30",
        "90 #3 out . 501:2 ack 104 \"OK\" rtt 30",
        "90 #2 in . 501:2 ack 104 \"OK\" rtt 30",
        "1000 #2 out F. 104:0 ack 503 rtt 30",
        "1000 #3 in F. 104:0 ack 503 rtt 30",
        "1010 #3 out F. 503:0 ack 105 rtt 30",
        "1010 #2 in F. 503:0 ack 105 rtt 30",
        "1020 #2 closed Finished",
        "1020 #3 closed Finished",
    ];
    assert_eq!(lines(&talk), expected);
    let of = |socket: &str| expected.iter().filter(|line| line.contains(socket)).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(talk.told(Vantage::Client).0, of("#2"));
    assert_eq!(talk.told(Vantage::Server).0, of("#3"));
    assert_eq!(skips(&talk), [("pcap.no_payload", 2)]);
}

#[test]
fn an_open_connection_is_joined_at_its_first_data_and_stays_open_at_the_end() {
    let talk = Talk::v4().down(0, ACK, 501, 101, b"").down(5, ACK, 501, 101, b"push").up(6, ACK, 101, 505, b"");
    let expected = [
        "5 #2 opened unknown joined 10.0.0.1:40000 -> 10.0.0.2:80",
        "5 #3 opened unknown joined 10.0.0.2:80 -> 10.0.0.1:40000",
        "5 #3 out . 501:4 ack 101 \"push\"",
        "5 #2 in . 501:4 ack 101 \"push\"",
    ];
    assert_eq!(lines(&talk), expected);
    assert_eq!(talk.told(Vantage::Client).0, [expected[0], expected[3]], "the port tells the vantage, not the role");
}

#[test]
fn a_syn_ack_alone_tells_the_roles() {
    let talk = Talk::v4().down(0, SYN | ACK, 500, 101, b"").up(1, ACK, 101, 501, b"A");
    let expected = [
        "0 #2 opened client joined 10.0.0.1:40000 -> 10.0.0.2:80",
        "0 #3 opened server fresh 10.0.0.2:80 -> 10.0.0.1:40000",
        "0 #3 out S. 501:0 ack 101",
        "0 #2 in S. 501:0 ack 101",
        "1 #2 out . 101:1 ack 501 \"A\"",
        "1 #3 in . 101:1 ack 501 \"A\"",
    ];
    assert_eq!(lines(&talk), expected);
}

#[test]
fn a_refused_connect_has_only_the_clients_socket() {
    let talk = Talk::v4().up(0, SYN, 100, 0, b"").down(9, RST | ACK, 0, 101, b"");
    let expected = [
        "0 #2 opened client fresh 10.0.0.1:40000 -> 10.0.0.2:80",
        "0 #2 out S 101:0 ack 0",
        "9 #2 in R. 0:0 ack 101",
        "9 #2 closed Refused unestablished",
    ];
    assert_eq!(lines(&talk), expected);
}

#[test]
fn a_connect_times_out_after_three_syns_or_two_minutes() {
    let second = 1_000_000;
    let twice = Talk::v4().up(0, SYN, 100, 0, b"").up(second, SYN, 100, 0, b"");
    assert_eq!(lines(&twice).len(), 2, "it may still be answered");
    let thrice = twice.clone().up(3 * second, SYN, 100, 0, b"");
    assert_eq!(lines(&thrice)[2..], ["3000000 #2 closed TimedOut unestablished"]);
    assert_eq!(skips(&thrice), [("pcap.retransmit", 2)]);

    let mut late = twice;
    late.client.set_port(40001);
    let late = late.up(122 * second, SYN, 7, 0, b"");
    assert_eq!(lines(&late)[2..3], ["122000000 #2 closed TimedOut unestablished"]);
}

#[test]
fn resets_name_who_reset() {
    let open = || Talk::v4().handshake().up(40, ACK, 101, 501, b"GET");
    let ends = |talk: Talk| lines(&talk)[8..].to_vec();
    let by_server =
        ["50 #3 out R 501:0 ack 0 rtt 30", "50 #2 in R 501:0 ack 0 rtt 30", "50 #2 closed ResetByPeer", "50 #3 closed ResetByUs"];
    assert_eq!(ends(open().down(50, RST, 501, 0, b"why").up(60, ACK, 104, 501, b"late")), by_server);
    let by_client =
        ["50 #2 out R 104:0 ack 0 rtt 30", "50 #3 in R 104:0 ack 0 rtt 30", "50 #2 closed ResetByUs", "50 #3 closed ResetByPeer"];
    assert_eq!(ends(open().up(50, RST, 104, 0, b"")), by_client);
    let unread = open().up(50, FIN | ACK, 104, 501, b"").down(51, FIN | ACK, 501, 104, b"").down(52, RST, 502, 0, b"");
    assert_eq!(ends(unread)[6..], ["52 #2 closed Finished", "52 #3 closed Finished"]);
    assert_eq!(skips(&Talk::v4().up(0, RST, 1, 0, b"")), [("pcap.stray_reset", 1)]);
}

#[test]
fn what_is_sent_again_is_counted_and_what_is_captured_again_is_not() {
    let talk = Talk::v4()
        .handshake()
        .up(40, ACK, 101, 501, b"GET")
        .copied(45)
        .up(700, ACK, 101, 501, b"GET")
        .copied(703)
        .up(900, ACK, 101, 501, b"GET /")
        .down(2000, ACK, 501, 106, b"OK");
    let expected = [
        "900 #2 out . 101:5 ack 501 \"GET /\" rtt 30 again 2",
        "900 #3 in . 101:5 ack 501 \"GET /\" rtt 30",
        "2000 #3 out . 501:2 ack 106 \"OK\" rtt 30",
        "2000 #2 in . 501:2 ack 106 \"OK\" rtt 30 again 2",
    ];
    assert_eq!(lines(&talk)[8..], expected);
    assert_eq!(skips(&talk), [("pcap.no_payload", 1), ("pcap.retransmit", 1), ("pcap.copy", 2)]);
}

#[test]
fn every_packet_captured_twice_changes_nothing() {
    let talk = Talk::v4().handshake().up(40, ACK, 101, 501, b"GET").down(90, ACK, 501, 104, b"OK").farewell(104, 503);
    let mut double = talk.clone();
    double.packets = talk.packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
    assert_eq!(lines(&double), lines(&talk));
    assert_eq!(skips(&double), [("pcap.no_payload", 3), ("pcap.copy", 6), ("pcap.after_end", 1)]);
}

#[test]
fn overtaken_segments_are_passed_on_as_they_come() {
    let talk = Talk::v4().handshake().up(40, ACK, 104, 501, b"two").up(50, ACK, 101, 501, b"one").up(60, ACK, 107, 501, b"three");
    let passed: Vec<_> = lines(&talk)[6..].iter().filter(|line| line.contains("#3")).cloned().collect();
    let expected =
        ["40 #3 in . 104:3 ack 501 \"two\" rtt 30", "50 #3 in . 101:3 ack 501 \"one\" rtt 30", "60 #3 in . 107:5 ack 501 \"three\" rtt 30"];
    assert_eq!(passed, expected);
}

#[test]
fn probes_are_no_data() {
    let talk = Talk::v4().handshake().up(40, ACK, 101, 501, b"GET").down(50, ACK, 501, 104, b"");
    let probed = talk.clone().up(5000, ACK, 103, 501, b"").up(6000, ACK, 103, 501, b"\0").down(6001, ACK, 501, 104, b"");
    assert_eq!(lines(&probed), lines(&talk));
    assert_eq!(skips(&probed), [("pcap.no_payload", 4), ("pcap.probe", 1)]);
}

#[test]
fn the_same_addresses_can_be_used_again() {
    let talk = Talk::v4().handshake().up(40, SYN, 9000, 0, b"").down(50, SYN | ACK, 7000, 9001, b"");
    let expected = [
        "40 #2 closed Finished",
        "40 #3 closed Finished",
        "40 #4 opened client fresh 10.0.0.1:40000 -> 10.0.0.2:80",
        "40 #4 out S 9001:0 ack 0",
        "50 #5 opened server fresh 10.0.0.2:80 -> 10.0.0.1:40000",
        "50 #5 in S 9001:0 ack 0",
        "50 #5 out S. 7001:0 ack 9001",
        "50 #4 in S. 7001:0 ack 9001",
    ];
    assert_eq!(lines(&talk)[6..], expected);
    let after_end = Talk::v4().handshake().farewell(101, 501).up(1030, SYN, 9000, 0, b"");
    assert_eq!(lines(&after_end)[12..], [expected[2], expected[3]].map(|line| line.replace("40 #", "1030 #")));
}

#[test]
fn a_half_closed_connection_goes_on() {
    let talk = Talk::v4().handshake().up(40, FIN | ACK, 101, 501, b"GET").down(50, ACK, 501, 105, b"OK").down(60, FIN | ACK, 503, 105, b"");
    let rest = lines(&talk)[6..].to_vec();
    assert_eq!(rest[0], "40 #2 out F. 101:3 ack 501 \"GET\" rtt 30");
    assert_eq!(rest.len(), 6, "the last FIN is not acknowledged: {rest:?}");
}

#[test]
fn data_in_the_syn_reaches_the_server() {
    let talk = Talk::v4().up(0, SYN, 100, 0, b"GET").down(10, SYN | ACK, 500, 104, b"").up(30, ACK, 104, 501, b"");
    let expected = [
        "0 #2 opened client fresh 10.0.0.1:40000 -> 10.0.0.2:80",
        "0 #3 opened server fresh 10.0.0.2:80 -> 10.0.0.1:40000",
        "0 #2 out S 101:3 ack 0 \"GET\"",
        "0 #3 in S 101:3 ack 0 \"GET\"",
        "10 #3 out S. 501:0 ack 104",
        "10 #2 in S. 501:0 ack 104",
    ];
    assert_eq!(lines(&talk), expected);
}

#[test]
fn time_never_goes_back() {
    let talk = Talk::v4().handshake().up(20, ACK, 101, 501, b"GET");
    assert_eq!(lines(&talk)[6..], ["30 #2 out . 101:3 ack 501 \"GET\" rtt 30", "30 #3 in . 101:3 ack 501 \"GET\" rtt 30"]);
}

#[test]
fn more_connections_than_the_table_holds_evict_the_most_silent() {
    let mut talk = Talk::v4();
    let total = MAX_CONNECTIONS as u64 + 1;
    for number in 0..total {
        talk.client = (Ipv4Addr::from_bits(0x0b00_0000 + number as u32), 40000).into();
        talk = talk.up(number, ACK, 1, 1, b"x");
    }
    let (lines, summary) = talk.told(Vantage::Client);
    let closed: Vec<_> = lines.iter().filter(|line| line.contains("closed")).cloned().collect();
    let expected: Vec<_> = (1..=MAX_CONNECTIONS as u64 / 8).map(|number| format!("50000 #{} closed Finished", number * 2)).collect();
    assert_eq!(closed, expected);
    assert_eq!((summary.connections, summary.evicted), (total, expected.len() as u64));
}

#[test]
fn a_handshake_with_a_repeated_syn_measures_no_round_trip() {
    let talk = Talk::v4().up(0, SYN, 100, 0, b"").up(5000, SYN, 100, 0, b"").down(5010, SYN | ACK, 500, 101, b"");
    let talk = talk.up(5030, ACK, 101, 501, b"GET");
    assert_eq!(lines(&talk)[6..], ["5030 #2 out . 101:3 ack 501 \"GET\" again 1", "5030 #3 in . 101:3 ack 501 \"GET\""]);
}
