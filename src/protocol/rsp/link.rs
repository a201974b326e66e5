//! Packets in a byte stream: frames, checksums, escapes, run lengths, acknowledgements.
//!
//! `$payload#xx`, where xx is the sum of what stands between. A byte that would be mistaken for part of the frame is
//! sent as `}` and itself with bit 5 turned over. Servers may shorten a run, `0* ` for `0000`. Until both agree
//! to do without, every packet is acknowledged with `+`, or asked for again with `-`.

use memchr::{memchr, memchr2};

/// The longest payload that is accepted when nobody says otherwise: 1 MiB.
pub const LIMIT: usize = 1 << 20;

/// The byte that interrupts a running target, outside of packets.
pub const INTERRUPT: u8 = 3;

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The debugger.
    Client,
    /// The stub.
    Server,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The payload of a packet, expanded and unescaped.
    Packet(Vec<u8>),
    /// The payload of a notification.
    Notification(Vec<u8>),
    /// The wish to stop the target.
    Interrupt,
    /// A packet beyond the limit, which was dropped: it wants an error for its answer.
    TooLong,
}

/// One end of a connection.
#[derive(Debug, Clone)]
pub struct Link {
    role: Role,
    acknowledges: bool,
    limit: usize,
    /// The tail of a packet beyond the limit is on its way.
    dropping: bool,
    /// The last packet as it was sent.
    last: Vec<u8>,
}

impl Link {
    /// A new connection, with acknowledgements. Payloads of more than `limit` bytes, as they arrive, are dropped.
    pub fn new(role: Role, limit: usize) -> Link {
        Link { role, acknowledges: true, limit, dropping: false, last: Vec::new() }
    }

    /// Goes on without acknowledgements.
    pub fn stop_acknowledging(&mut self) {
        self.acknowledges = false;
        self.last = Vec::new();
    }

    /// Whether packets are acknowledged.
    pub fn acknowledges(&self) -> bool {
        self.acknowledges
    }

    /// Takes what is at the front of `input`: what it is, and how many bytes of `input` are done with. Acknowledgements
    /// and repetitions that it calls for are appended to `out`. Call again while any bytes were used; `(None, 0)`:
    /// more must come.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> (Option<Event>, usize) {
        if self.dropping {
            return self.drop_rest(input);
        }
        let Some(first) = input.first() else { return (None, 0) };
        match first {
            b'$' | b'%' => self.frame(input, out),
            b'-' if self.acknowledges => {
                out.extend_from_slice(&self.last);
                (None, 1)
            }
            &INTERRUPT if self.role == Role::Server => (Some(Event::Interrupt), 1),
            _ => (None, 1),
        }
    }

    fn frame(&mut self, input: &[u8], out: &mut Vec<u8>) -> (Option<Event>, usize) {
        let Some(end) = memchr2(b'#', b'$', &input[1..]).map(|at| at + 1) else {
            if input.len() > self.limit {
                self.dropping = true;
                return (Some(Event::TooLong), input.len());
            }
            return (None, 0);
        };
        if input[end] == b'$' {
            // The peer broke off and began anew.
            return (None, end);
        }
        let Some(digits) = input.get(end + 1..end + 3) else { return (None, 0) };
        let used = end + 3;
        let body = &input[1..end];
        let notification = input[0] == b'%';
        let promised = super::wire::hex_number(digits);
        let right = promised == Some(u64::from(checksum(body)));
        if notification {
            return (right.then(|| Event::Notification(self.payload(body))), used);
        }
        if self.acknowledges {
            if !right {
                out.push(b'-');
                return (None, used);
            }
            out.push(b'+');
        }
        // Without acknowledgements there is no way to ask again; the transport answers for the bytes.
        match body.len() > self.limit {
            true => (Some(Event::TooLong), used),
            false => (Some(Event::Packet(self.payload(body))), used),
        }
    }

    fn drop_rest(&mut self, input: &[u8]) -> (Option<Event>, usize) {
        match memchr(b'#', input) {
            Some(end) if input.len() >= end + 3 => {
                self.dropping = false;
                (None, end + 3)
            }
            Some(end) => (None, end),
            None => (None, input.len()),
        }
    }

    fn payload(&self, body: &[u8]) -> Vec<u8> {
        match self.role {
            // Run lengths come first: a run may repeat the second half of an escape.
            Role::Client if body.contains(&b'*') => unescape(&expand(body, self.limit)),
            _ => unescape(body),
        }
    }

    /// Appends a packet with this payload.
    pub fn send(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        frame(b'$', payload, self.role, out);
        if self.acknowledges {
            self.last.clear();
            self.last.extend_from_slice(&out[start..]);
        }
    }

    /// Appends a notification with this payload.
    pub fn notify(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        frame(b'%', payload, self.role, out);
    }

    /// Appends the last packet once more, for a client that waited in vain.
    pub fn resend(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.last);
    }
}

/// What stands behind the last byte of a payload: the sum of its bytes.
pub fn checksum(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn frame(start: u8, payload: &[u8], role: Role, out: &mut Vec<u8>) {
    out.push(start);
    let body = out.len();
    match role {
        Role::Client => escape(payload, out),
        Role::Server => shorten(payload, out),
    }
    let sum = checksum(&out[body..]);
    out.push(b'#');
    super::wire::push_hex(out, &[sum]);
}

/// How many bytes `byte` takes on the wire, when it does not stand in a run.
pub fn width(byte: u8) -> usize {
    if matches!(byte, b'#' | b'$' | b'}' | b'*') { 2 } else { 1 }
}

fn escape(payload: &[u8], out: &mut Vec<u8>) {
    for byte in payload {
        match width(*byte) {
            1 => out.push(*byte),
            _ => out.extend([b'}', *byte ^ 0x20]),
        }
    }
}

/// Escapes, and writes runs of bytes that need no escape as one of them and a count.
fn shorten(payload: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = payload.get(at).copied() {
        if width(byte) == 2 {
            out.extend([b'}', byte ^ 0x20]);
            at += 1;
            continue;
        }
        out.push(byte);
        at += 1;
        // A count is a printable character: at most 97 more.
        let run = payload[at..].iter().take(97).take_while(|next| **next == byte).count();
        let run = match run + 29 {
            0..32 => continue,
            // '#', '$', '+' and '-' would be mistaken for something else.
            35 | 36 => 5,
            43 | 45 => run - 1,
            _ => run,
        };
        // 29 + 97 is below 127.
        out.extend([b'*', (run + 29) as u8]);
        at += run;
    }
}

/// Undoes run lengths; what does not spell a run stays as it is. The result stays below `limit` and a run.
fn expand(body: &[u8], limit: usize) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(body.len());
    let mut at = 0;
    while let Some(byte) = body.get(at).copied() {
        match (byte, body.get(at + 1).copied(), out.last().copied()) {
            (b'*', Some(count @ 32..=126), Some(last)) => {
                out.resize(out.len() + usize::from(count) - 29, last);
                at += 2;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
        if out.len() > limit {
            break;
        }
    }
    out
}

/// Undoes escapes.
fn unescape(body: &[u8]) -> Vec<u8> {
    let Some(first) = memchr(b'}', body) else { return body.to_vec() };
    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(&body[..first]);
    let mut bytes = body[first..].iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'}' => out.extend(bytes.next().map(|next| next ^ 0x20)),
            _ => out.push(*byte),
        }
    }
    out
}

/// The longest part of `payload` that takes at most `room` bytes on the wire, in bytes of `payload`.
pub fn fitting(payload: &[u8], room: usize) -> usize {
    if payload.len() * 2 <= room {
        return payload.len();
    }
    let mut used = 0;
    payload
        .iter()
        .take_while(|byte| {
            used += width(**byte);
            used <= room
        })
        .count()
}

/// What speaks another protocol, by the first bytes of a connection; `None`: nothing is wrong with them so far.
/// A debugger begins with `+` or `$`; what a browser can be made to send never does.
pub fn foreign(input: &[u8]) -> Option<&'static str> {
    const METHODS: [&[u8]; 10] =
        [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"PATCH ", b"TRACE ", b"PRI "];
    match input {
        [0x16, 3, ..] => Some("TLS"),
        [b'S', b'S', b'H', b'-', ..] => Some("SSH"),
        _ if METHODS.iter().any(|method| input.starts_with(method)) => Some("HTTP"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(link: &mut Link, input: &[u8]) -> (Vec<Event>, Vec<u8>, usize) {
        let (mut events, mut out, mut at) = (Vec::new(), Vec::new(), 0);
        loop {
            let (event, used) = link.receive(&input[at..], &mut out);
            events.extend(event);
            at += used;
            if used == 0 {
                return (events, out, at);
            }
        }
    }

    fn server(input: &[u8]) -> (Vec<Event>, Vec<u8>, usize) {
        all(&mut Link::new(Role::Server, 64), input)
    }

    fn packet(text: &[u8]) -> Event {
        Event::Packet(text.to_vec())
    }

    #[test]
    fn packets_are_cut_out_of_the_stream() {
        let (events, out, used) = server(b"++$?#3f$g#67\x03noise+$#00");
        assert_eq!(events, [packet(b"?"), packet(b"g"), Event::Interrupt, packet(b"")]);
        assert_eq!(out, b"+++");
        assert_eq!(used, 23);
        // Interrupts that stand inside of a packet are data.
        assert_eq!(server(b"$X0,1:\x03#22").0, [packet(b"X0,1:\x03")]);
    }

    #[test]
    fn a_damaged_packet_is_asked_for_again() {
        let (events, out, _) = server(b"$g#00$g#6z$g#67");
        assert_eq!((events.as_slice(), out.as_slice()), ([packet(b"g")].as_slice(), b"--+".as_slice()));
        // A packet that was begun anew.
        assert_eq!(server(b"$m0,$g#67").0, [packet(b"g")]);
        // Without acknowledgements nobody could ask.
        let mut link = Link::new(Role::Server, 64);
        link.stop_acknowledging();
        let (events, out, _) = all(&mut link, b"$g#00+-$?#3f");
        assert_eq!((events, out), (vec![packet(b"g"), packet(b"?")], vec![]));
    }

    #[test]
    fn the_last_packet_is_sent_again_byte_for_byte() {
        let mut link = Link::new(Role::Server, 64);
        let mut out = Vec::new();
        link.send(b"a000000000}b", &mut out);
        let first = out.clone();
        let (_, again, _) = all(&mut link, b"--+");
        assert_eq!(again, [first.clone(), first].concat());
    }

    #[test]
    fn packets_beyond_the_limit_are_dropped_whole() {
        let mut link = Link::new(Role::Server, 8);
        let (events, _, used) = all(&mut link, b"$M0,8:0000");
        assert_eq!((events, used), (vec![Event::TooLong], 10));
        // What is inside of it is no interrupt, and no packet.
        let (events, out, used) = all(&mut link, b"00\x0300+-00#1");
        assert_eq!((events, out, used), (vec![], vec![], 9));
        assert_eq!(all(&mut link, b"#12$?#3f").0, [packet(b"?")]);
        assert_eq!(all(&mut link, b"$123456789#dd").0, [Event::TooLong]);
    }

    #[test]
    fn replies_are_shortened_as_the_manual_says() {
        let reply = |payload: &[u8]| {
            let mut out = Vec::new();
            Link::new(Role::Server, 64).send(payload, &mut out);
            String::from_utf8(out[1..out.len() - 3].to_vec()).unwrap()
        };
        assert_eq!(reply(b"0000"), "0* ");
        assert_eq!(reply(b"000"), "000");
        // Seven zeros would need the count '#', eight '$'.
        assert_eq!(reply(b"0000000"), "0*\"0");
        assert_eq!(reply(b"00000000"), "0*\"00");
        assert_eq!(reply(b"000000000"), "0*%");
        assert_eq!(reply(&[b'0'; 15]), "0**0");
        assert_eq!(reply(&[b'0'; 98]), "0*~");
        assert_eq!(reply(&[b'0'; 99]), "0*~0");
        assert_eq!(reply(b"#$}*"), "}\x03}\x04}]}\n");
        assert_eq!(reply(b"}]]]]"), "}]]* ");
    }

    #[test]
    fn runs_are_expanded_before_escapes() {
        let mut link = Link::new(Role::Client, 4096);
        let body = |link: &mut Link, body: &[u8]| {
            let input = [b"$", body, b"#", format!("{:02x}", checksum(body)).as_bytes()].concat();
            all(link, &input).0
        };
        assert_eq!(body(&mut link, b"0* "), [packet(b"0000")]);
        // The run repeats the second half of an escape.
        assert_eq!(body(&mut link, b"}]* "), [packet(b"}]]]")]);
        assert_eq!(body(&mut link, b"}\x0a"), [packet(b"*")]);
        // No run: nothing to repeat, no count.
        assert_eq!(body(&mut link, b"* "), [packet(b"* ")]);
        assert_eq!(body(&mut link, b"a*"), [packet(b"a*")]);
        let (events, out, _) = all(&mut link, b"%Stop:T05#e3\x03");
        assert_eq!((events, out), (vec![], vec![]), "a damaged notification is nothing");
        let text = b"Stop:T05";
        let input = [b"%", text.as_slice(), format!("#{:02x}", checksum(text)).as_bytes()].concat();
        assert_eq!(all(&mut link, &input).0, [Event::Notification(text.to_vec())]);
        // A small packet that claims to be large.
        let mut small = Link::new(Role::Client, 100);
        let Event::Packet(long) = body(&mut small, b"0*~*~*~*~*~").remove(0) else { panic!() };
        assert!(long.len() < 200);
    }

    #[test]
    fn others_are_recognised() {
        assert_eq!(foreign(b"GET / HTTP/1.1"), Some("HTTP"));
        assert_eq!(foreign(&[0x16, 3, 1, 0, 5]), Some("TLS"));
        for fine in [b"+$qS".as_slice(), b"$?#3f", b"\x03", b"+", b""] {
            assert_eq!(foreign(fine), None);
        }
    }

    #[test]
    fn what_fits_is_counted_as_it_is_sent() {
        assert_eq!(fitting(b"abcd", 3), 3);
        assert_eq!(fitting(b"a#cd", 3), 2);
        assert_eq!(fitting(b"##", 1), 0);
        assert_eq!(fitting(b"##", 4), 2);
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(payload: Vec<u8>, runs in prop::collection::vec((any::<u8>(), 0usize..300), 0..5),
                                cut in 0usize..1000, client: bool) {
            let payload: Vec<u8> =
                payload.into_iter().chain(runs.into_iter().flat_map(|(byte, count)| vec![byte; count])).collect();
            let (from, to) = if client { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
            let mut wire = Vec::new();
            Link::new(from, LIMIT).send(&payload, &mut wire);
            let mut link = Link::new(to, LIMIT);
            let cut = cut.min(wire.len() - 1);
            let mut out = Vec::new();
            // What is cut off anywhere waits, and uses nothing.
            prop_assert_eq!(link.receive(&wire[..cut], &mut out), (None, 0));
            let (event, used) = link.receive(&wire, &mut out);
            prop_assert_eq!((event, used), (Some(Event::Packet(payload)), wire.len()));
            prop_assert_eq!(out, b"+");
        }

        #[test]
        fn anything_is_survived(input: Vec<u8>, client: bool, limit in 1usize..40) {
            let mut link = Link::new(if client { Role::Client } else { Role::Server }, limit);
            let (events, out, used) = all(&mut link, &input);
            prop_assert!(used <= input.len() && events.len() <= input.len() && out.len() <= input.len());
        }
    }
}
