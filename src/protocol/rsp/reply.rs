//! Replies that every request may get.

use super::wire::{hex_number, push, push_hex, unhex};

/// A reply, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Nothing: the server does not know the request.
    Unsupported,
    /// `OK`.
    Ok,
    /// `Enn`, perhaps with a text.
    Error(u8, &'a [u8]),
    /// Anything else.
    Data(&'a [u8]),
}

impl<'a> Reply<'a> {
    /// Sorts a reply. Where bytes may begin with an `E` of their own, ask nobody but the request.
    pub fn parse(reply: &'a [u8]) -> Reply<'a> {
        match reply {
            [] => Reply::Unsupported,
            b"OK" => Reply::Ok,
            [b'E', b'.', text @ ..] => Reply::Error(0, text),
            [b'E', digits @ ..] if digits.len() == 2 || digits.get(2) == Some(&b';') => {
                match hex_number(&digits[..2]) {
                    Some(code) => Reply::Error(code as u8, digits.get(3..).unwrap_or_default()),
                    None => Reply::Data(reply),
                }
            }
            _ => Reply::Data(reply),
        }
    }
}

/// How errors are told to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Errors {
    /// `E01`.
    #[default]
    Codes,
    /// `E.message`, for clients with `error-message+`.
    Messages,
    /// `E01;` and the message in hexadecimal, for LLDB after `QEnableErrorStrings`.
    Encoded,
}

impl Errors {
    /// Appends an error.
    pub fn print(self, message: &str, out: &mut Vec<u8>) {
        match self {
            Errors::Codes => push(out, "E01"),
            Errors::Messages => {
                push(out, "E.");
                out.extend(message.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
            }
            Errors::Encoded => {
                push(out, "E01;");
                push_hex(out, message.as_bytes());
            }
        }
    }
}

/// The text of a console packet, `O` and hexadecimal.
pub fn console(reply: &[u8]) -> Option<Vec<u8>> {
    match reply {
        b"OK" => None,
        [b'O', digits @ ..] => unhex(digits).ok(),
        _ => None,
    }
}

/// Appends a console packet.
pub fn push_console(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'O');
    push_hex(out, text);
}

/// Appends the reply to `qSearch:memory`.
pub fn push_found(found: Option<u64>, out: &mut Vec<u8>) {
    match found {
        Some(address) => {
            push(out, "1,");
            super::wire::push_number(out, address);
        }
        None => out.push(b'0'),
    }
}

/// Appends text for XML, with what would be markup escaped and control characters left out.
pub fn push_xml(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' => out.push(character),
            control if control.is_control() => out.push('?'),
            _ => out.push(character),
        }
    }
}
