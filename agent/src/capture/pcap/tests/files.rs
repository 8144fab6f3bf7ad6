//! Every file format tells the same story, and bad files are refused in one sentence.
use super::*;
use crate::capture::pcap::{MAX_FILES, Skip, read_files};

pub(super) type Bytes4 = fn(u32) -> [u8; 4];

/// A `pcap` file.
pub(super) fn classic(order: Bytes4, nano: bool, link: u32, frames: &[Frame]) -> Vec<u8> {
    let magic = if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut out: Vec<u8> = [magic, 0, 0, 0, 262_144, link].into_iter().flat_map(order).collect();
    for frame in frames {
        let at = START + frame.at * 1000;
        let fraction = (at % 1_000_000_000) / if nano { 1 } else { 1000 };
        let head = [(at / 1_000_000_000) as u32, fraction as u32, frame.bytes.len() as u32, frame.original];
        out.extend(head.into_iter().flat_map(order));
        out.extend_from_slice(&frame.bytes);
    }
    out
}

/// A `pcapng` block.
pub(super) fn block(order: Bytes4, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let len = order(body.len() as u32 + 12);
    [&order(kind)[..], &len, &body, &len].concat()
}

pub(super) fn section(order: Bytes4) -> Vec<u8> {
    let version = if order(1)[0] == 0 { [0, 1, 0, 0] } else { [1, 0, 0, 0] };
    block(order, 0x0a0d_0d0a, &[&order(0x1a2b_3c4d)[..], &version, &[255; 8]].concat())
}

/// An interface description with options already encoded.
pub(super) fn interface(order: Bytes4, link: u32, options: &[u8]) -> Vec<u8> {
    // The link type is the upper half of a big-endian word and the lower half of a little-endian one.
    let link = if order(1)[0] == 0 { link << 16 } else { link };
    block(order, 1, &[&order(link)[..], &[0; 4], options].concat())
}

/// An enhanced packet block with its time in `ticks`.
pub(super) fn enhanced(order: Bytes4, interface: u32, ticks: u64, frame: &Frame) -> Vec<u8> {
    let head = [interface, (ticks >> 32) as u32, ticks as u32, frame.bytes.len() as u32, frame.original];
    let mut body: Vec<u8> = head.into_iter().flat_map(order).chain(frame.bytes.iter().copied()).collect();
    body.resize(body.len().next_multiple_of(4), 0);
    // A comment, as an option behind the packet.
    body.extend_from_slice(&if order(1)[0] == 0 { [0, 1, 0, 2, b'h', b'i', 0, 0] } else { [1, 0, 2, 0, b'h', b'i', 0, 0] });
    block(order, 6, &body)
}

fn talk() -> Talk {
    Talk::v4().handshake().up(40, ACK, 101, 501, b"GET").down(90, ACK, 501, 104, b"OK").farewell(104, 503)
}

#[test]
fn both_byte_orders_and_both_resolutions_of_pcap_are_read() {
    let frames = talk().frames(links::ethernet);
    let expected = talk().told(Vantage::Both);
    assert_eq!(expected.1.segments, 6);
    for (order, nano) in [(u32::to_be_bytes as Bytes4, false), (u32::to_be_bytes, true), (u32::to_le_bytes, true)] {
        assert_eq!(told(classic(order, nano, ETHERNET, &frames), Vantage::Both).expect("a capture"), expected);
    }
}

#[test]
fn pcapng_with_sections_of_both_orders_clocks_of_all_kinds_and_foreign_blocks_is_read() {
    let frames = talk().frames(links::ethernet);
    let (big, little): (Bytes4, Bytes4) = (u32::to_be_bytes, u32::to_le_bytes);
    let micros = |frame: &Frame| START / 1000 + frame.at;
    let mut file = section(big);
    file.extend(block(big, 0x0bad_0bad, b"something that nobody knows"));
    // Interface 0 is of no use; interface 1 counts microseconds, as is usual.
    file.extend(interface(big, 147, &[]));
    file.extend(interface(big, ETHERNET, &[]));
    file.extend(enhanced(big, 1, micros(&frames[0]), &frames[0]));
    file.extend(enhanced(big, 1, micros(&frames[1]), &frames[1]));
    file.extend(section(little));
    // Nanoseconds, from 2001 on (if_tsoffset).
    let offset = 1_000_000_000_u64;
    let options = [&[9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0][..], &offset.to_le_bytes(), &[0; 4]].concat();
    file.extend(interface(little, ETHERNET, &options));
    // Parts of 2^-20 seconds and picoseconds.
    file.extend(interface(little, ETHERNET, &[9, 0, 1, 0, 0x94, 0, 0, 0]));
    file.extend(interface(little, ETHERNET, &[9, 0, 1, 0, 12, 0, 0, 0]));
    for frame in &frames[2..5] {
        file.extend(enhanced(little, 0, micros(frame) * 1000 - offset * 1_000_000_000, frame));
    }
    // A statistics block, then an obsolete packet block and a packet without a time.
    file.extend(block(little, 5, &[0; 12]));
    let ticks = micros(&frames[5]) * 1000 - offset * 1_000_000_000;
    let head = [0, (ticks >> 32) as u32, ticks as u32, frames[5].bytes.len() as u32, frames[5].original];
    file.extend(block(little, 2, &[&head.map(little).concat()[..], &frames[5].bytes].concat()));
    let mut expected = talk();
    for (at, _) in &mut expected.packets[6..] {
        *at = 1000;
    }
    file.extend(block(little, 3, &[&little(frames[6].original)[..], &frames[6].bytes].concat()));
    file.extend(enhanced(little, 2, 1, &frames[7]));
    assert_eq!(told(file, Vantage::Both).expect("a capture"), expected.told(Vantage::Both));

    let at_of = |options: &[u8], ticks: u64| {
        let file = [section(little), interface(little, ETHERNET, options), enhanced(little, 0, ticks, &frames[0])].concat();
        told(file, Vantage::Both).expect("a capture").0[0].split(' ').next().map(str::to_owned)
    };
    assert_eq!(at_of(&[9, 0, 1, 0, 0x94, 0, 0, 0], (START / 1_000_000_000) << 20 | 1 << 19), Some("500000".to_owned()));
    assert_eq!(at_of(&[9, 0, 1, 0, 0, 0, 0, 0], START / 1_000_000_000 + 7), Some("7000000".to_owned()));
    let picoseconds = (START - 1_690_000_000_000_000_000) * 1000 + 42_000_000;
    let options = [&[9, 0, 1, 0, 12, 0, 0, 0, 14, 0, 8, 0][..], &1_690_000_000_u64.to_le_bytes()].concat();
    assert_eq!(at_of(&options, picoseconds), Some("42".to_owned()));
}

#[test]
fn several_files_are_merged_by_time() {
    let frames = talk().frames(links::ethernet);
    let folder = tempdir("merge");
    let paths = [folder.join("b.pcap"), folder.join("a.pcap")];
    for (path, start) in paths.iter().zip([1, 0]) {
        let half: Vec<Frame> = frames.iter().skip(start).step_by(2).cloned().collect();
        std::fs::write(path, classic(u32::to_le_bytes, false, ETHERNET, &half)).expect("a file");
    }
    let mut lines = Vec::new();
    let summary = read_files(&paths, Vantage::Both, &mut |event| lines.push(line(&event))).expect("captures");
    assert_eq!((lines, summary), talk().told(Vantage::Both));
    std::fs::remove_dir_all(folder).expect("removed");
}

fn tempdir(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("wirespan-pcap-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn what_is_no_capture_is_refused_in_one_sentence() {
    let refused = |bytes: &[u8]| told(bytes.to_vec(), Vantage::Both).expect_err("no capture").to_string();
    assert_eq!(refused(b""), "test is empty");
    assert_eq!(refused(b"GET / HTTP/1.1\r\n"), "test is not a capture file: it begins neither like pcap nor like pcapng");
    assert_eq!(refused(b"\x1f\x8b\x08\0\0\0"), "test is not a capture file: it is compressed, unpack it first");
    assert_eq!(refused(&classic(u32::to_le_bytes, false, ETHERNET, &[])[..23]), "test ends inside its file header");
    assert_eq!(refused(&section(u32::to_le_bytes)[..20]), "test ends inside its file header");
    let unknown =
        "test has link type 147, which wirespan does not understand (it reads Ethernet, BSD loopback, raw IP and Linux cooked captures)";
    assert_eq!(refused(&classic(u32::to_le_bytes, false, 147, &[])), unknown);
    let frames = talk().frames(links::ethernet);
    let le = u32::to_le_bytes;
    assert_eq!(refused(&[section(le), interface(le, 147, &[]), enhanced(le, 0, 0, &frames[0])].concat()), unknown);

    let folder = tempdir("refused");
    let refused = |path: &std::path::Path| read_files(&[path], Vantage::Both, &mut |_| ()).expect_err("no capture").to_string();
    let name = folder.display();
    assert_eq!(refused(&folder), format!("{name} is a directory; name the capture files in it"));
    assert_eq!(refused(&folder.join("none")), format!("cannot open {name}/none: No such file or directory (os error 2)"));
    std::fs::remove_dir_all(&folder).expect("removed");
    let many = vec!["-"; MAX_FILES + 1];
    assert!(matches!(read_files(&many, Vantage::Both, &mut |_| ()), Err(PcapError::TooMany(257))));
}

#[test]
fn a_file_cut_inside_a_packet_yields_what_came_before() {
    let frames = talk().frames(links::ethernet);
    let (lines, summary) = talk().told(Vantage::Both);
    let whole = classic(u32::to_le_bytes, false, ETHERNET, &frames);
    let le: Bytes4 = u32::to_le_bytes;
    let ng: Vec<u8> = [section(le), interface(le, ETHERNET, &[])]
        .into_iter()
        .chain(frames.iter().map(|frame| enhanced(le, 0, START / 1000 + frame.at, frame)))
        .flatten()
        .collect();
    for (file, cuts) in [(whole, [1, 60]), (ng, [1, 80])] {
        for cut in cuts {
            let (cut_lines, cut_summary) = told(file[..file.len() - cut].to_vec(), Vantage::Both).expect("a capture");
            assert_eq!((cut_summary.cut_files, cut_summary.packets), (1, summary.packets - 1));
            assert_eq!(cut_lines, lines[..lines.len() - 2], "only the end of both sockets is missing");
        }
    }
}

#[test]
fn a_length_that_makes_no_sense_ends_the_file_and_allocates_nothing() {
    let le: Bytes4 = u32::to_le_bytes;
    let bogus = [0, 0, u32::MAX, u32::MAX].map(le).concat();
    let classic = [classic(le, false, ETHERNET, &talk().frames(links::ethernet)), bogus].concat();
    let (lines, summary) = told(classic, Vantage::Both).expect("a capture");
    assert_eq!((lines, summary.broken_files), (talk().told(Vantage::Both).0, 1));

    let frame = &talk().frames(links::ethernet)[0];
    let start = [section(le), interface(le, ETHERNET, &[])].concat();
    let mut lying = enhanced(le, 0, 0, frame);
    lying[20..24].copy_from_slice(&le(u32::MAX));
    let good = enhanced(le, 0, START / 1000, frame);
    // A packet that claims to be longer than its block is skipped, one of an unknown interface too.
    let (lines, summary) =
        told([start.clone(), lying, enhanced(le, 7, 0, frame), good.clone()].concat(), Vantage::Both).expect("a capture");
    assert_eq!((lines.len(), summary.packets, summary.skipped(Skip::Malformed)), (2, 3, 2));
    // A block of 4 GiB is stepped over, up to the end of the file; a block with two lengths ends it.
    let huge = [le(0x7777), le(u32::MAX - 3), le(0)].concat();
    let (_, summary) = told([start.clone(), huge, good.clone()].concat(), Vantage::Both).expect("a capture");
    assert_eq!((summary.packets, summary.cut_files), (0, 1));
    let mut torn = good.clone();
    let last = torn.len() - 4;
    torn[last] ^= 4;
    let (_, summary) = told([start, torn, good].concat(), Vantage::Both).expect("a capture");
    assert_eq!((summary.packets, summary.broken_files), (0, 1));
}
