//! The decoder against records as the kernel side lays them out in memory.
use super::*;
use proptest::prelude::*;

const COMM: [u8; 16] = *b"curl\0\0\0\0\0\0\0\0\0\0\0\0";
const AT: Nanos = 1_000;
const SOCKET: SocketId = SocketId(77);
const THREAD: Thread = Thread { pid: 10, tid: 11 };

/// The bytes of a record type, as the kernel side writes them.
trait Raw: Copy {}
impl Raw for abi::Head {}
impl Raw for abi::Segment {}
impl Raw for abi::SegmentOut {}
impl Raw for abi::SegmentUnowned {}
impl Raw for abi::Opened {}
impl Raw for abi::Read {}
impl Raw for abi::Closed {}
impl Raw for abi::Process {}
impl Raw for abi::Datagram {}

fn bytes<T: Raw>(record: T, payload: &[u8]) -> Vec<u8> {
    // SAFETY: the record types have no implicit padding, which their size assertions hold.
    let fixed = unsafe { std::slice::from_raw_parts((&raw const record).cast::<u8>(), size_of::<T>()) };
    // The kernel reserves room in steps: what follows the payload is whatever the ring held before.
    [fixed, payload, &[0xaa; 24]].concat()
}

fn head(kind: u8, flags: u8, tcp_flags: u8, len: u32) -> abi::Head {
    abi::Head { at: AT, cookie: SOCKET.0, kind, flags, tcp_flags, reserved: 0, len }
}

fn raw_segment(kind: u8, flags: u8, len: u32, captured: u32) -> abi::Segment {
    let head = head(kind, flags, tcp_flag::ACK, len);
    abi::Segment { head, seq: 500, ack: 600, captured, srtt_us: 70, retransmits: 2, reserved: 0 }
}

fn raw_addresses() -> abi::Addresses {
    let mut addresses = abi::Addresses { local_port: 80, remote_port: 4000, ..abi::Addresses::default() };
    addresses.local[..4].copy_from_slice(&[10, 0, 0, 1]);
    addresses.remote[..4].copy_from_slice(&[10, 0, 0, 2]);
    addresses
}

fn raw_opened(at: Nanos, flags: u8, addresses: abi::Addresses) -> abi::Opened {
    let last_read = abi::LastRead { cookie: 5, at: 900, upto: 42, reserved: 0 };
    let opener = abi::Thread { pid: 10, tid: 11 };
    abi::Opened {
        head: abi::Head { at, ..head(kind::OPENED, flags, tcp_flag::SYN, 0) },
        addresses,
        cgroup: 9,
        opener,
        last_read,
        comm: COMM,
    }
}

fn opened(at: Nanos) -> Opened {
    let (local, remote) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:4000".parse().unwrap());
    Opened { at, socket: SOCKET, local, remote, role: Role::Server, fresh: true, cgroup: 9, opener: None, comm: COMM }
}

fn arrived(payload: &[u8], len: u32) -> Segment<'_> {
    Segment {
        at: AT,
        socket: SOCKET,
        direction: Direction::In,
        seq: 500,
        ack: 600,
        flags: tcp_flag::ACK,
        len,
        bytes: payload,
        sender: None,
        srtt_us: 70,
        retransmits: 2,
    }
}

fn closed(error: u32, from_state: u32) -> Vec<u8> {
    bytes(abi::Closed { head: head(kind::CLOSED, 0, 0, 0), error, from_state, retransmits: 0, reserved: 0 }, &[])
}

/// Decodes and compares the events, written out because their bytes are borrowed.
fn expect(decoder: &mut Decoder, record: &[u8], events: &[Event<'_>]) {
    let mut found = Vec::new();
    decoder.decode(record, &mut |event| found.push(format!("{event:?}")));
    assert_eq!(found, events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>());
}

#[test]
fn a_segment_in_keeps_its_wire_length_and_the_bytes_that_were_captured() {
    let record = bytes(raw_segment(kind::SEGMENT_IN, 0, 1448, 5), b"GET /");
    expect(&mut Decoder::new(), &record, &[Event::Segment(arrived(b"GET /", 1448))]);
    assert_eq!(trimmed(&record), &record[..record.len() - 24]);
}

#[test]
fn a_segment_out_brings_the_read_that_waited_for_it_first() {
    let last_read = abi::LastRead { cookie: 5, at: 900, upto: 42, reserved: 0 };
    let thread = abi::Thread { pid: 10, tid: 11 };
    let held_read = abi::HeldRead { at: 950, upto: 480, reserved: 0, thread: abi::Thread { pid: 10, tid: 12 } };
    let segment = raw_segment(kind::SEGMENT_OUT, flag::IN_CALL, 3, 3);
    let mut record = abi::SegmentOut { segment, sender: thread, last_read, held_read };
    let read = Read { at: 950, socket: SOCKET, upto: 480, thread: Thread { pid: 10, tid: 12 } };
    let sender = Sender { thread: THREAD, last_read: Some(LastRead { socket: SocketId(5), at: 900, upto: 42 }) };
    let sent = Segment { direction: Direction::Out, sender: Some(sender), ..arrived(b"abc", 3) };
    let mut decoder = Decoder::new();
    expect(&mut decoder, &bytes(record, b"abc"), &[Event::Read(read), Event::Segment(sent)]);
    assert_eq!(trimmed(&bytes(record, b"abc")).len(), size_of::<abi::SegmentOut>() + 3);

    record.segment.head.flags = 0;
    record.held_read = abi::HeldRead::default();
    expect(&mut decoder, &bytes(record, b"abc"), &[Event::Segment(Segment { sender: None, ..sent })]);
}

#[test]
fn a_first_sight_tells_role_addresses_and_who_connected() {
    let mut decoder = Decoder::new();
    let sender = Sender { thread: THREAD, last_read: Some(LastRead { socket: SocketId(5), at: 900, upto: 42 }) };
    let client = Opened { role: Role::Client, opener: Some(sender), ..opened(AT) };
    let record = raw_opened(AT, flag::CLIENT | flag::FRESH | flag::IN_CALL, raw_addresses());
    expect(&mut decoder, &bytes(record, &[]), &[Event::Opened(client)]);

    let mut addresses = raw_addresses();
    addresses.local = std::net::Ipv6Addr::LOCALHOST.octets();
    addresses.remote = std::net::Ipv4Addr::new(10, 0, 0, 2).to_ipv6_mapped().octets();
    let old = Opened { local: "[::1]:80".parse().unwrap(), role: Role::Unknown, fresh: false, ..opened(AT) };
    expect(&mut decoder, &bytes(raw_opened(AT, flag::IPV6, addresses), &[]), &[Event::Opened(old)]);
}

#[test]
fn a_segment_that_arrived_on_the_listener_follows_its_sockets_first_sight() {
    let segment = raw_segment(kind::SEGMENT_UNOWNED, 0, 2, 2);
    let unowned = |segment| abi::SegmentUnowned { segment, addresses: raw_addresses() };
    let later = abi::Segment { seq: 502, ..segment };
    let mut decoder = Decoder::new();
    expect(&mut decoder, &bytes(unowned(segment), b"hi"), &[]);
    expect(&mut decoder, &bytes(unowned(later), b"ho"), &[]);
    let second = Segment { seq: 502, ..arrived(b"ho", 2) };
    let events = [Event::Opened(opened(AT)), Event::Segment(arrived(b"hi", 2)), Event::Segment(second)];
    let record = bytes(raw_opened(AT + 5, flag::SERVER | flag::FRESH, raw_addresses()), &[]);
    expect(&mut decoder, &record, &events);
    expect(&mut decoder, &record, &[Event::Opened(opened(AT + 5))]);
    assert_eq!(decoder.dropped(), Dropped::default());
}

#[test]
fn a_segment_whose_connection_never_came_is_dropped_and_counted() {
    let record = bytes(abi::SegmentUnowned { segment: raw_segment(kind::SEGMENT_UNOWNED, 0, 2, 2), addresses: raw_addresses() }, b"hi");
    let mut decoder = Decoder::new();
    (0..UNOWNED + 3).for_each(|_| expect(&mut decoder, &record, &[]));
    assert_eq!(decoder.dropped(), Dropped { malformed: 0, unowned: 3 });
    let late = AT + UNOWNED_LIFE + 1;
    let opening = bytes(raw_opened(late, flag::SERVER | flag::FRESH, raw_addresses()), &[]);
    expect(&mut decoder, &opening, &[Event::Opened(opened(late))]);
    assert_eq!(decoder.dropped(), Dropped { malformed: 0, unowned: 3 + UNOWNED as u64 });
    assert_eq!(decoder.unowned_bytes, 0);
}

#[test]
fn the_end_of_a_socket_is_told_by_error_resets_and_state_in_this_order() {
    let established = 1;
    let cases = [
        (None, 0, 9, End::Finished, true),
        (None, errno::ECONNREFUSED, 2, End::Refused, false),
        (None, errno::ETIMEDOUT, established, End::TimedOut, true),
        (None, errno::ETIMEDOUT, 2, End::TimedOut, false),
        (None, 113, 2, End::Failed(113), false),
        (None, errno::ECONNRESET, established, End::ResetByPeer, true),
        (None, errno::EPIPE, 8, End::ResetByPeer, true),
        (None, 0, established, End::ResetByUs, true),
        (None, 0, 8, End::ResetByUs, true),
        (None, errno::ECONNABORTED, established, End::ResetByUs, true),
        (Some(kind::RESET_IN), 0, 4, End::ResetByPeer, true),
        (Some(kind::RESET_OUT), 0, 4, End::ResetByUs, true),
        (Some(kind::RESET_IN), errno::ECONNREFUSED, 2, End::Refused, false),
    ];
    for (reset, error, from, end, established) in cases {
        let mut decoder = Decoder::new();
        if let Some(kind) = reset {
            expect(&mut decoder, &bytes(head(kind, 0, 0, 0), &[]), &[]);
        }
        let event = Event::Closed(Closed { at: AT, socket: SOCKET, end, established });
        expect(&mut decoder, &closed(error, from), &[event]);
        assert!(decoder.resets.is_empty());
    }
}

#[test]
fn reads_and_processes_are_told_as_they_are() {
    let mut decoder = Decoder::new();
    let thread = abi::Thread { pid: 10, tid: 11 };
    let read = abi::Read { head: head(kind::READ, 0, 0, 0), upto: 501, reserved: 0, thread };
    expect(&mut decoder, &bytes(read, &[]), &[Event::Read(Read { at: AT, socket: SOCKET, upto: 501, thread: THREAD })]);
    let events = [Process::Forked { parent: 3, child: 10 }, Process::Executed { pid: 10 }, Process::Exited { pid: 10 }];
    for (kind, event) in [kind::FORK, kind::EXEC, kind::EXIT].into_iter().zip(events) {
        let process = abi::Process { head: head(kind, 0, 0, 0), thread, parent: abi::Thread { pid: 3, tid: 3 } };
        expect(&mut decoder, &bytes(process, &[]), &[Event::Process(event)]);
    }
}

#[test]
fn records_that_are_cut_unknown_or_contradict_themselves_are_counted() {
    let whole = bytes(raw_segment(kind::SEGMENT_IN, 0, 5, 5), b"GET /");
    let mut decoder = Decoder::new();
    let cut = size_of::<abi::Segment>() + 5;
    (0..cut).for_each(|end| expect(&mut decoder, &whole[..end], &[]));
    expect(&mut decoder, &bytes(head(200, 0, 0, 0), &[]), &[]);
    expect(&mut decoder, &bytes(raw_segment(kind::SEGMENT_IN, 0, 4, 5), b"GET /"), &[]);
    assert_eq!(decoder.dropped(), Dropped { malformed: cut as u64 + 2, unowned: 0 });
}

proptest! {
    #[test]
    fn any_records_are_decoded_without_panic_and_within_bounds(
        records in proptest::collection::vec((0_u8..14, proptest::collection::vec(any::<u8>(), 0..200)), 0..64),
    ) {
        let mut decoder = Decoder::new();
        for (kind, mut record) in records {
            if let Some(place) = record.get_mut(16) {
                *place = kind;
            }
            let kept = trimmed(&record).len();
            prop_assert!(kept <= record.len());
            let mut within = true;
            decoder.decode(&record, &mut |event| if let Event::Segment(segment) = event {
                within &= segment.bytes.len() <= segment.len as usize;
            });
            prop_assert!(within);
        }
        let held: usize = decoder.unowned.iter().map(|held| held.bytes.len()).sum();
        prop_assert_eq!(held, decoder.unowned_bytes);
    }
}

#[test]
fn a_datagram_comes_with_its_sender_and_without_what_lay_behind_it() {
    let last_read = abi::LastRead { cookie: 5, at: 900, upto: 42, reserved: 0 };
    let sender = abi::Thread { pid: 10, tid: 11 };
    let raw = |kind, flags| {
        let segment = raw_segment(kind, flags, 9, 4);
        let fixed = abi::Datagram { segment, addresses: raw_addresses(), cgroup: 9, sender, last_read, comm: COMM };
        bytes(fixed, b"abcd")
    };
    let expected = |direction, sender| {
        let (local, remote) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:4000".parse().unwrap());
        Event::Datagram(Datagram { at: AT, socket: SOCKET, direction, local, remote, bytes: b"abcd", cgroup: 9, sender, comm: COMM })
    };
    let sender = Sender { thread: THREAD, last_read: Some(LastRead { socket: SocketId(5), at: 900, upto: 42 }) };
    for (kind, flags, expected) in
        [(kind::DATAGRAM_OUT, flag::IN_CALL, expected(Direction::Out, Some(sender))), (kind::DATAGRAM_IN, 0, expected(Direction::In, None))]
    {
        let record = raw(kind, flags);
        let mut events = 0;
        Decoder::new().decode(&record, &mut |event| {
            assert_eq!(event, expected);
            events += 1;
        });
        assert_eq!((events, trimmed(&record).len()), (1, size_of::<abi::Datagram>() + 4));
    }
}
