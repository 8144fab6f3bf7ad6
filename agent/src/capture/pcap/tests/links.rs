//! Every link type, VLAN tag, IP version and header variant tells the same story; what cannot be read is counted by cause.
use super::*;
use crate::capture::pcap::Skip;

pub(super) fn family(packet: &[u8]) -> [u8; 2] {
    if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] }
}

pub(super) fn ethernet(packet: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &family(packet), packet].concat()
}

fn tagged(tags: &[[u8; 4]]) -> impl Fn(&[u8]) -> Vec<u8> {
    let tags = tags.concat();
    move |packet| [&[2; 12][..], &tags, &family(packet), packet].concat()
}

fn talk(talk: Talk) -> Talk {
    talk.handshake().up(40, ACK, 101, 501, b"GET").down(90, ACK, 501, 104, b"OK").farewell(104, 503)
}

#[test]
fn every_link_type_tells_the_same_story() {
    type Wrap = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let loopback = |head: [u8; 4]| -> Wrap { Box::new(move |packet| [&head[..], packet].concat()) };
    let raw = || -> Wrap { Box::new(<[u8]>::to_vec) };
    let mut links: Vec<(u32, Wrap)> = vec![
        (ETHERNET, Box::new(ethernet)),
        (ETHERNET, Box::new(tagged(&[[0x81, 0, 0, 7]]))),
        (ETHERNET, Box::new(tagged(&[[0x88, 0xa8, 0, 7], [0x81, 0, 0, 9]]))),
        // With a trailer that pads the frame.
        (ETHERNET, Box::new(|packet| [&ethernet(packet)[..], &[0; 30]].concat())),
        // Four bytes of frame check sequence, as the upper bits say.
        (ETHERNET | 0x2400_0000, Box::new(|packet| [&ethernet(packet)[..], &[9; 4]].concat())),
        (113, Box::new(|packet| [&[0; 14][..], &family(packet), packet].concat())),
        (113, Box::new(|packet| [&[0; 14][..], &[0x81, 0, 0, 7], &family(packet), packet].concat())),
        (276, Box::new(|packet| [&family(packet)[..], &[0; 18], packet].concat())),
    ];
    for number in [0, 108] {
        links.extend([2, 24, 28, 30].map(|family| (number, loopback([family, 0, 0, 0]))));
        links.extend([2, 30].map(|family| (number, loopback([0, 0, 0, family]))));
    }
    links.extend([12, 14, 101, 228, 229].map(|number| (number, raw())));
    for plain in [Talk::v4(), Talk::v6()] {
        let talk = talk(plain);
        let expected = talk.told(Vantage::Both).0;
        assert_eq!(expected.len(), 16);
        for (number, wrap) in &links {
            let file = files::classic(u32::to_le_bytes, false, *number, &talk.frames(wrap));
            assert_eq!(told(file, Vantage::Both).expect("a capture").0, expected, "link type {number}");
        }
    }
}

#[test]
fn addresses_are_shown_as_their_family_writes_them() {
    let opened = |talk: Talk| talk.up(0, SYN, 1, 0, b"").told(Vantage::Both).0[0].clone();
    assert_eq!(opened(Talk::v4()), "0 #2 opened client fresh 10.0.0.1:40000 -> 10.0.0.2:80");
    assert_eq!(opened(Talk::v6()), "0 #2 opened client fresh [2001:db8::1]:40000 -> [2001:db8::2]:80");
}

/// What one data packet yields: the length and the bytes of its segment, or why it was skipped.
fn yields(packet: &[u8], original: Option<u32>) -> Result<String, Skip> {
    let frame = Frame { at: 0, bytes: packet.to_vec(), original: original.unwrap_or(packet.len() as u32) };
    let (lines, summary) = told(files::classic(u32::to_be_bytes, true, 101, &[frame]), Vantage::Server).expect("a capture");
    assert_eq!(summary.packets, 1);
    match lines.get(1) {
        Some(line) => Ok(line.clone()),
        None => Err(Skip::ALL.into_iter().find(|cause| summary.skipped(*cause) == 1).expect("one cause")),
    }
}

fn data(talk: Talk) -> Vec<u8> {
    talk.up(0, ACK, 101, 501, b"hello").packets[0].1.packet()
}

#[test]
fn ip_options_extension_headers_and_first_fragments_are_stepped_over() {
    let plain = Ok("0 #3 in . 101:5 ack 501 \"hello\"".to_owned());
    let four = data(Talk::v4());
    assert_eq!(yields(&four, None), plain);
    let mut options = [&four[..20], &[1; 8], &four[20..]].concat();
    options[0] = 0x47;
    options[3] += 8;
    assert_eq!(yields(&options, None), plain);
    let mut first = four;
    first[6] = 0x20;
    assert_eq!(yields(&first, None), plain);

    let six = data(Talk::v6());
    assert_eq!(yields(&six, None), plain);
    // Hop-by-hop (8), routing (16), destination (8), first fragment (8), authentication (16 bytes).
    let chain = [&[43, 0, 0, 0, 0, 0, 0, 0][..], &[60, 1], &[0; 14], &[44, 0], &[0; 6], &[51, 0, 0, 1, 0, 0, 0, 0], &[6, 2], &[0; 14]];
    let mut extended = [&six[..40], &chain.concat(), &six[40..]].concat();
    extended[6] = 0;
    extended[5] += 56;
    assert_eq!(yields(&extended, None), plain);
}

#[test]
fn the_length_on_the_wire_is_the_ip_headers_or_else_the_frames() {
    for mut packet in [data(Talk::v4()), data(Talk::v6())] {
        let cut = packet.len() - 3;
        let original = Some(packet.len() as u32);
        assert_eq!(yields(&packet[..cut], original), Ok("0 #3 in . 101:5 ack 501 \"he\"".to_owned()));
        // Cut inside the TCP options: the payload's length is still known.
        assert_eq!(yields(&packet[..packet.len() - 6], original), Ok("0 #3 in . 101:5 ack 501".to_owned()));
        let length = if packet[0] >> 4 == 4 { 2..4 } else { 4..6 };
        packet[length].fill(0);
        assert_eq!(yields(&packet, Some(packet.len() as u32 + 70_000)), Ok("0 #3 in . 101:70005 ack 501 \"hello\"".to_owned()));
        assert_eq!(yields(&packet, Some(u32::MAX)), Err(Skip::Malformed));
    }
}

#[test]
fn what_cannot_be_a_segment_is_skipped_for_its_cause() {
    let with = |talk: Talk, offset: usize, value: u8| {
        let mut packet = data(talk);
        packet[offset] = value;
        yields(&packet, None)
    };
    let (four, six) = (Talk::v4, Talk::v6);
    assert_eq!(with(four(), 9, 17), Err(Skip::NotTcp), "UDP");
    assert_eq!(with(six(), 6, 17), Err(Skip::NotTcp), "UDP");
    assert_eq!(with(four(), 0, 0x25), Err(Skip::NotTcp), "IP version 2");
    assert_eq!(with(four(), 7, 1), Err(Skip::Fragment));
    assert_eq!(with(four(), 0, 0x44), Err(Skip::Malformed), "an IP header of 16 bytes");
    assert_eq!(with(four(), 3, 19), Err(Skip::Malformed), "shorter than its header");
    assert_eq!(with(four(), 3, 43), Err(Skip::Malformed), "shorter than the TCP header");
    assert_eq!(with(four(), 32, 0x40), Err(Skip::Malformed), "a TCP header of 16 bytes");
    let mut land = four();
    land.server = land.client;
    assert_eq!(yields(&data(land), None), Err(Skip::Malformed), "to itself");
    assert_eq!(yields(&data(four())[..39], None), Err(Skip::CutHeader));
    assert_eq!(yields(&data(four())[..19], None), Err(Skip::CutHeader));
    assert_eq!(yields(&data(six())[..39], None), Err(Skip::CutHeader));

    let six = data(six());
    let mut fragment = [&six[..40], &[6, 0, 0, 8, 0, 0, 0, 1], &six[40..]].concat();
    fragment[6] = 44;
    assert_eq!(yields(&fragment, None), Err(Skip::Fragment));
    let mut endless = [&six[..40], &[60, 0, 0, 0, 0, 0, 0, 0].repeat(12)[..]].concat();
    endless[6] = 60;
    endless[5] = 96;
    assert_eq!(yields(&endless, None), Err(Skip::Malformed));

    let ethernet = |bytes: &[u8]| {
        let frame = Frame { at: 0, bytes: bytes.to_vec(), original: 60 };
        told(files::classic(u32::to_le_bytes, false, ETHERNET, &[frame]), Vantage::Both).expect("a capture").1
    };
    assert_eq!(ethernet(&[&[2; 12][..], &[8, 6], &[0; 28]].concat()).skipped(Skip::NotTcp), 1, "ARP");
    assert_eq!(ethernet(&[&[2; 12][..], &[0x81, 0, 0, 1].repeat(9), &[8, 0]].concat()).skipped(Skip::Malformed), 1);
    assert_eq!(ethernet(&[2; 13]).skipped(Skip::CutHeader), 1);
    assert_eq!(ethernet(&[]).skipped(Skip::CutHeader), 1);
}
