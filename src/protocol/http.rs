//! The heads of HTTP requests that old clients send and no HTTP library accepts: a reader that tells them from proper
//! ones, and writes them anew.
//!
//! radare2, rizin and their pipes send raw blanks in the target, end lines with `\n` or `\n\r`, or leave the end of the
//! head away. Whoever accepts a connection shows its first bytes to [`read`]: a proper request is left alone, an odd one
//! comes back as the head that it means, which ends its connection. Only heads are touched, never bodies.

use std::fmt::Write;

/// Bytes of a head that is still looked at.
pub const LONGEST: usize = 64 * 1024;

/// Header lines that are kept of an odd head.
const LINES: usize = 100;

/// The start of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Too few to tell.
    More,
    /// Nothing that needs help: whatever is wrong with it is for the HTTP library to say.
    Proper,
    /// The head that is meant by the first `consumed` bytes.
    Mended {
        /// A proper head, with its blank line.
        head: Vec<u8>,
        /// How much of the input it stands for; the body follows.
        consumed: usize,
    },
}

/// Looks at the `bytes` that have arrived first on a connection. `silent`: nothing has come for a while, which is how
/// some clients end a head.
pub fn read(bytes: &[u8], silent: bool) -> Verdict {
    if PREFACE.starts_with(&bytes[..bytes.len().min(PREFACE.len())]) && !bytes.is_empty() {
        return Verdict::Proper;
    }
    if ![&b"GET "[..], b"POST "].iter().any(|start| looks_like(bytes, start)) || bytes.len() > LONGEST {
        return Verdict::Proper;
    }
    let Some(first) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return Verdict::More };
    let Some((method, target)) = request_line(&bytes[..first]) else { return Verdict::Proper };
    let clean = target.bytes().all(is_proper) && !target.is_empty();
    match end_of_head(&bytes[first..]) {
        Some((_, true)) if clean => Verdict::Proper,
        Some((length, _)) => mend(method, &target, &bytes[first..first + length], first + length),
        // A proper head may come in pieces. One that stops after its first line is not going to be finished.
        None if silent && end_of_line(&bytes[first..]) == bytes.len() - first => {
            mend(method, &target, b"", bytes.len())
        }
        None => Verdict::More,
    }
}

/// Whether `bytes` are the start of something that begins with `start`.
fn looks_like(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(one, other)| one == other)
}

/// The method and target of a first line: the target is everything between the first blank and the last ` HTTP`.
fn request_line(line: &[u8]) -> Option<(&'static str, String)> {
    let method = if line.starts_with(b"POST ") { "POST" } else { "GET" };
    let rest = line.get(method.len() + 1..)?;
    let end = rest.windows(6).rposition(|window| window == b" HTTP/")?;
    Some((method, String::from_utf8_lossy(&rest[..end]).into_owned()))
}

/// What may stand in a target (RFC 3986), with the percent sign of what is coded.
fn is_proper(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%".contains(&byte)
}

/// The length of the line end that `rest` starts with: `\r\n`, `\n\r` or a single one of them.
fn end_of_line(rest: &[u8]) -> usize {
    match rest {
        [b'\r', b'\n', ..] | [b'\n', b'\r', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

/// How long the rest of a head is, up to and with its blank line, and whether every line ended as it should. `rest`
/// starts with the end of the first line.
fn end_of_head(rest: &[u8]) -> Option<(usize, bool)> {
    if let Some(at) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let odd = rest[0] != b'\r' || rest[..at].windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n'));
        if !odd {
            return Some((at + 4, true));
        }
    }
    let mut at = 0;
    loop {
        let end = end_of_line(rest.get(at..)?);
        // `\n\r` may be half of `\n\r\n\r`, and `\n` half of `\n\n`: an end needs two of them.
        at += end;
        match rest.get(at)? {
            b'\r' | b'\n' => return Some((at + end_of_line(&rest[at..]), false)),
            _ => at += rest[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n'))?,
        }
    }
}

/// The proper head for `method` and `target` with the header `lines`.
fn mend(method: &str, target: &str, lines: &[u8], consumed: usize) -> Verdict {
    let mut head = format!("{method} ");
    if !target.starts_with('/') {
        head.push('/');
    }
    for byte in target.bytes() {
        if is_proper(byte) {
            head.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(head, "%{byte:02X}");
        }
    }
    head.push_str(" HTTP/1.1\r\n");
    let mut hosts = 0;
    let lines = lines.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty());
    for line in lines.take(LINES) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], String::from_utf8_lossy(&line[colon + 1..]));
        let is_name = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let is_value = value.chars().all(|c| c == '\t' || (' '..='~').contains(&c));
        // The connection ends with the answer, and a body has a length.
        let skipped = ["connection", "keep-alive", "transfer-encoding", "upgrade", "expect"];
        if !is_name || !is_value || skipped.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        hosts += usize::from(name.eq_ignore_ascii_case("host"));
        let _ = write!(head, "{name}: {}\r\n", value.trim());
    }
    if hosts == 0 {
        // Nobody who can be led astray by a name leaves the name away.
        head.push_str("Host: localhost\r\n");
    }
    head.push_str("Connection: close\r\n\r\n");
    Verdict::Mended { head: head.into_bytes(), consumed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mended(bytes: &[u8], silent: bool) -> (String, usize) {
        match read(bytes, silent) {
            Verdict::Mended { head, consumed } => (String::from_utf8(head).unwrap(), consumed),
            other => panic!("{other:?} for {:?}", String::from_utf8_lossy(bytes)),
        }
    }

    #[test]
    fn proper_requests_are_left_alone() {
        for request in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"POST /cmd/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\npx",
            b"GET /cmd/pd%2010?x=1 HTTP/1.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PRI",
            b"OPTIONS /x y HTTP/1.1\n\n",
            b"\x16\x03\x01",
            b"GET nonsense\r\n\r\n",
        ] {
            assert_eq!(read(request, false), Verdict::Proper, "{:?}", String::from_utf8_lossy(request));
        }
    }

    #[test]
    fn blanks_and_line_ends_of_old_clients_are_understood() {
        let (head, consumed) =
            mended(b"GET /cmd/pd 10~\"mov\" HTTP/1.1\r\nHost: h:1\r\nAccept: */*\r\n\r\nrest", false);
        assert_eq!(
            head,
            "GET /cmd/pd%2010~%22mov%22 HTTP/1.1\r\nHost: h:1\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(consumed, 57);
        let (head, _) = mended(b"GET /cmd/px HTTP/1.1\n\rhost: h\n\r\n\r", false);
        assert_eq!(head, "GET /cmd/px HTTP/1.1\r\nhost: h\r\nConnection: close\r\n\r\n");
        let (head, consumed) = mended(b"POST /cmd/ HTTP/1.0\nContent-Length: 2\n\npx", false);
        assert_eq!(head, "POST /cmd/ HTTP/1.1\r\nContent-Length: 2\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(consumed, 39);
    }

    #[test]
    fn silence_ends_a_lonely_first_line_and_nothing_else() {
        let lonely = b"GET /cmd/?V HTTP/1.1\r\n";
        assert_eq!(read(lonely, false), Verdict::More);
        assert_eq!(mended(lonely, true).0, "GET /cmd/?V HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(read(b"GET /cmd/?V HT", true), Verdict::More);
        assert_eq!(read(b"GET / HTTP/1.1\r\nHost: a\r\n", true), Verdict::More);
    }

    #[test]
    fn nothing_is_smuggled_through_the_mending() {
        let (head, _) =
            mended(b"GET /a b HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX Y: 1\r\nno colon\r\nA:\x01\r\n\r\n", false);
        assert_eq!(head, "GET /a%20b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_judged_and_what_is_mended_is_proper(
            bytes in "(GET|POST) /[ -~\r\n]{0,80}", silent: bool, raw: Vec<u8>,
        ) {
            read(&raw, silent);
            if let Verdict::Mended { head, consumed } = read(bytes.as_bytes(), silent) {
                prop_assert!(consumed <= bytes.len());
                prop_assert_eq!(read(&head, false), Verdict::Proper);
            }
            for cut in 0..bytes.len() {
                read(&bytes.as_bytes()[..cut], silent);
            }
        }
    }
}
