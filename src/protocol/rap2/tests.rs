use proptest::prelude::*;

use super::*;
use crate::protocol::rap;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn request(wire: &[u8]) -> Result<Option<(u32, Request<'_>, usize)>> {
    let Some(head) = Head::request(wire, FRAME)? else { return Ok(None) };
    let Some(body) = wire.get(HEAD..HEAD + head.length) else { return Ok(None) };
    Ok(Some((head.id, Request::parse(head.tag, body)?, HEAD + head.length)))
}

fn answer(wire: &[u8]) -> Result<Option<(u32, Answer<'_>, usize)>> {
    let Some(head) = Head::answer(wire, FRAME)? else { return Ok(None) };
    let Some(body) = wire.get(HEAD..HEAD + head.length) else { return Ok(None) };
    Ok(Some((head.id, Answer::parse(head.tag, body)?, HEAD + head.length)))
}

/// What the page shows, line by line: the bytes and what they mean.
fn page() -> Vec<(char, Vec<u8>)> {
    let page = include_str!("../../../docs/rap.md");
    let example = page.split("## Bytes").nth(1).expect("the page has a section of bytes");
    let lines = example.lines().filter(|line| line.starts_with("    C ") || line.starts_with("    S "));
    lines
        .map(|line| {
            let (side, rest) = line.trim().split_at(1);
            let hex = rest.split('|').next().unwrap();
            let wire = hex
                .split('"')
                .enumerate()
                .flat_map(|(at, part)| match at % 2 {
                    0 => bytes(part),
                    _ => part.replace("\\n", "\n").into_bytes(),
                })
                .collect();
            (side.chars().next().unwrap(), wire)
        })
        .collect()
}

fn stat() -> Vec<u8> {
    Stat { size: Some(0x24f30), access: 5, version: Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef) }.bytes()
}

#[test]
fn the_page_shows_the_bytes_that_are_sent() {
    let range = Range { address: 0, length: 4 };
    let wanted_requests = [
        (1, Request::Stat { descriptor: LATEST }),
        (2, Request::Read { descriptor: LATEST, ranges: vec![range] }),
        (3, Request::Write { descriptor: 4, address: 0x10, data: &[0x90, 0x90] }),
        (4, Request::Run { text: b"?e hi" }),
        (5, Request::Run { text: b"quux" }),
        (6, Request::Digest { descriptor: LATEST, address: 0, length: 4, algorithm: b"crc32" }),
        (
            7,
            Request::Search {
                descriptor: LATEST,
                address: 0,
                length: 0x1000,
                align: 1,
                limit: 0,
                needle: b"ELF",
                mask: &[],
            },
        ),
        (8, Request::Complete { cursor: 2, text: b"?e" }),
        (9, Request::Ping { data: b"x" }),
        (10, Request::Resize { descriptor: 4, size: 0x200 }),
        (11, Request::Run { text: b"px 1G" }),
        (12, Request::Cancel { id: 11 }),
        (13, Request::Packed { descriptor: LATEST, ranges: vec![Range { address: 0, length: 64 }] }),
    ];
    let done = |result| Answer::Done { status: Status::Ok, result };
    let (stat, ran, failed, cut) = (
        stat(),
        Ran { last: 0, seek: 0, error: String::new() }.bytes(),
        Ran { last: 1, seek: 0, error: String::new() }.bytes(),
        Ran { last: 0, seek: 0, error: "interrupted".to_string() }.bytes(),
    );
    let zeros = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x40, 0x03, 0x02, 0x00, 0x00];
    let packed = [&[0, 0, 0, 0x40, 1][..], &zeros].concat();
    assert_eq!(unpack(&packed, &[64]).unwrap(), (vec![64], vec![0; 64]));
    let wanted_answers = [
        (1, done(&stat)),
        (2, done(&[0, 0, 0, 4, 0x7f, 0x45, 0x4c, 0x46])),
        (3, done(&[0, 0, 0, 2])),
        (4, Answer::Data(b"hi\n")),
        (4, done(&ran)),
        (5, Answer::Note(b"Error: unknown command 'quux'")),
        (5, Answer::Done { status: Status::Failed, result: &failed }),
        (6, Answer::Progress { done: 2, total: 4 }),
        (6, done(b"2144df1c")),
        (7, Answer::Data(&[0, 0, 0, 0, 0, 0, 0, 1])),
        (7, done(&[0, 0, 0, 0, 0, 0, 0, 1])),
        (8, done(b"0\n?e\n")),
        (9, done(b"x")),
        (10, Answer::Done { status: Status::Permission, result: b"the file is read-only" }),
        (12, done(b"")),
        (11, Answer::Done { status: Status::Interrupted, result: &cut }),
        (13, done(&packed)),
        (0, Answer::Event(b"stopping")),
    ];
    let (mut requests, mut answers) = (wanted_requests.iter(), wanted_answers.iter());
    for (side, wire) in page() {
        let mut again = Vec::new();
        match (side, wire[0]) {
            ('C', REQUEST) => {
                let (id, found, used) = request(&wire).unwrap().unwrap();
                assert_eq!((&(id, found.clone()), used), (requests.next().unwrap(), wire.len()));
                found.encode(id, &mut again).unwrap();
            }
            ('S', ANSWER) => {
                let (id, found, used) = answer(&wire).unwrap().unwrap();
                assert_eq!((&(id, found), used), (answers.next().unwrap(), wire.len()));
                found.encode(id, &mut again).unwrap();
            }
            ('C', _) => {
                let (found, used) = rap::Request::decode(&wire, rap::Limits::SERVER).unwrap().unwrap();
                assert_eq!(used, wire.len());
                found.encode(&mut again).unwrap();
            }
            _ => {
                let (found, used) = rap::Reply::decode(&wire, rap::Limits::CLIENT).unwrap().unwrap();
                found.encode(&mut again);
                again.extend_from_slice(&wire[used..]);
                if let rap::Reply::Command { length, .. } = found {
                    assert_eq!(wire.len() - used, length as usize);
                }
            }
        }
        assert_eq!(again, wire);
        for cut in 0..wire.len() {
            let part = &wire[..cut];
            match (side, wire[0]) {
                ('C', REQUEST) => assert_eq!(request(part).unwrap(), None, "cut at {cut}"),
                ('S', ANSWER) => assert_eq!(answer(part).unwrap(), None, "cut at {cut}"),
                _ => {}
            }
        }
    }
    assert_eq!((requests.next(), answers.next()), (None, None));
    let parsed = Stat::parse(&stat).unwrap();
    assert_eq!((parsed.size, parsed.access, parsed.bytes()), (Some(0x24f30), 5, stat));
}

#[test]
fn lengths_are_checked_when_they_are_there_and_nothing_before() {
    for (hex, kind) in [
        ("10 ffffffff", Kind::Limit),
        ("10 00110001", Kind::Limit),
        ("10 00000004", Kind::Protocol),
        ("10 00000005 00000001 00", Kind::Protocol),
        ("10 00000005 00000001 0b", Kind::Protocol),
        ("10 00000005 00000001 0d", Kind::Protocol),
        ("10 00000005 00000001 84", Kind::Protocol),
        ("11", Kind::Protocol),
        ("90", Kind::Protocol),
        // READ of 2 ranges with room for one, of too many, with a tail; SEARCH for nothing, with half a mask.
        ("10 00000017 00000001 02 ffffffff 0002 0000000000000000 00000004", Kind::Protocol),
        ("10 0000000b 00000001 02 ffffffff 0401", Kind::Limit),
        ("10 0000000a 00000001 01 ffffffff 00", Kind::Protocol),
        ("10 0000000d 00000001 05 00000001 00000000", Kind::Protocol),
    ] {
        let wire = bytes(hex);
        assert_eq!(request(&wire).unwrap_err().kind(), kind, "{hex}");
        if kind == Kind::Limit && wire.len() == 5 {
            assert_eq!(request(&wire[..4]).unwrap(), None, "{hex}");
        }
    }
    let nothing = [vec![0; 36], vec![0, 0]].concat();
    assert_eq!(Request::parse(Op::Search, &nothing).unwrap_err().kind(), Kind::Protocol);
    let half = [vec![0; 36], vec![0, 2, 1, 2, 3]].concat();
    assert_eq!(Request::parse(Op::Search, &half).unwrap_err().kind(), Kind::Protocol);
    assert_eq!(answer(&bytes("90 00000005 00000001 05")).unwrap_err().kind(), Kind::Protocol);
    assert_eq!(answer(&bytes("90 00000005 00000001 00")).unwrap_err().kind(), Kind::Protocol);
    assert_eq!(Status::of(0xfe), Status::Failed);
}

#[test]
fn what_no_frame_holds_is_refused_and_leaves_nothing() {
    let mut out = vec![7];
    let long = vec![0; FRAME as usize];
    assert_eq!(Request::Run { text: &long }.encode(1, &mut out).unwrap_err().kind(), Kind::Limit);
    assert_eq!(out, [7]);
    assert!(Request::Run { text: &long[..FRAME as usize - 5] }.encode(1, &mut out).is_ok());
}

#[test]
fn answers_to_read_close_up_behind_short_ranges() {
    let ranges = [(0, 4), (100, 3), (200, 0), (300, 2)].map(|(address, length)| Range { address, length });
    let mut out = vec![0xaa];
    let begun = ReadAnswer::begin(&mut out, 9, &ranges);
    let data = begun.data;
    out[data..].copy_from_slice(b"ABCDabcXY");
    begun.finish(&mut out, &ranges, &[2, 3, 0, 1]).unwrap();
    let (id, found, _) = answer(&out[1..]).unwrap().unwrap();
    let counts = [0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!((id, found), (9, Answer::Done { status: Status::Ok, result: &[&counts[..], b"ABabcX"].concat() }));
    let before = out.len();
    ReadAnswer::begin(&mut out, 9, &ranges).abandon(&mut out);
    assert_eq!(out.len(), before);
}

#[test]
fn every_kind_of_error_has_a_status() {
    let kinds = [Kind::NotFound, Kind::Permission, Kind::Timeout, Kind::Interrupted, Kind::Limit, Kind::Unsupported];
    for kind in kinds.into_iter().chain([Kind::Credentials, Kind::Untrusted, Kind::Unreachable]) {
        assert_eq!(Status::from_kind(kind).kind(), kind);
    }
    assert_eq!(Status::from_kind(Kind::Syntax), Status::Usage);
    assert_eq!(Status::from_kind(Kind::System), Status::Failed);
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_encoded(
        kind in 0..11u8,
        id in any::<u32>(),
        descriptor in any::<i32>(),
        numbers in any::<[u64; 4]>(),
        ranges in prop::collection::vec((any::<u64>(), any::<u32>()), 0..50),
        data in prop::collection::vec(any::<u8>(), 1..2000),
    ) {
        let [address, length, align, limit] = numbers;
        let asked = match kind {
            0 => Request::Stat { descriptor },
            1 | 10 => {
                let ranges = ranges.into_iter().map(|(address, length)| Range { address, length }).collect();
                if kind == 1 { Request::Read { descriptor, ranges } } else { Request::Packed { descriptor, ranges } }
            }
            2 => Request::Write { descriptor, address, data: &data },
            3 => Request::Run { text: &data },
            4 => Request::Cancel { id },
            5 => Request::Digest { descriptor, address, length, algorithm: &data },
            6 => Request::Search { descriptor, address, length, align, limit, needle: &data, mask: &data },
            7 => Request::Complete { cursor: id, text: &data },
            8 => Request::Ping { data: &data },
            _ => Request::Resize { descriptor, size: length },
        };
        let mut wire = Vec::new();
        asked.encode(id, &mut wire).unwrap();
        prop_assert_eq!(request(&wire).unwrap(), Some((id, asked, wire.len())));
        let said = match kind % 5 {
            0 => Answer::Done { status: Status::of(kind), result: &data },
            1 => Answer::Data(&data),
            2 => Answer::Note(&data),
            3 => Answer::Progress { done: address, total: length },
            _ => Answer::Event(&data),
        };
        let mut wire = Vec::new();
        said.encode(id, &mut wire).unwrap();
        prop_assert_eq!(answer(&wire).unwrap(), Some((id, said, wire.len())));
    }

    #[test]
    fn random_bytes_never_panic_nor_reach_beyond_themselves(
        first in prop::sample::select(vec![REQUEST, ANSWER]),
        tag in 0..12u8,
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut wire = vec![first];
        wire.extend((noise.len() as u32 + 5).to_be_bytes());
        wire.extend([0, 0, 0, 1, tag]);
        wire.extend(&noise);
        for wire in [&wire[..], &noise] {
            if let Ok(Some((.., used))) = request(wire) {
                prop_assert!(used <= wire.len());
            }
            if let Ok(Some((.., used))) = answer(wire) {
                prop_assert!(used <= wire.len());
            }
        }
        let _ = (Stat::parse(&noise), Ran::parse(&noise), number(&noise), numbers(&noise).map(Iterator::count));
    }
}
