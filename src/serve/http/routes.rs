//! The table of the API. The router, the OpenAPI document and the tests are made from it.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use super::{Site, api, control, entropy, lists, memory, openapi, socket, stream};

/// A value in the query, the path or the JSON body of a request.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type, as JSON schema names it.
    pub kind: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it can be; empty: anything of its type.
    pub choices: &'static [&'static str],
    /// The smallest and the largest number.
    pub range: Option<(u64, u64)>,
    /// What it is.
    pub summary: &'static str,
}

const fn field(name: &'static str, kind: &'static str, required: bool, summary: &'static str) -> Field {
    Field { name, kind, required, choices: &[], range: None, summary }
}

/// A route of the API.
pub struct Route {
    /// Behind `/api/v1`.
    pub path: &'static str,
    /// `get`, or `post`, which changes something or takes JSON.
    pub method: &'static str,
    /// One line.
    pub summary: &'static str,
    /// In the query of a GET, in the body of a POST.
    pub fields: &'static [Field],
    /// The type of the answer.
    pub answers: &'static str,
    /// Whether strangers may ask.
    pub open: bool,
    /// Makes what answers.
    pub handler: fn() -> MethodRouter<Arc<Site>>,
}

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

const ADDRESS: Field = field("address", "string", true, "an expression: 0x1000, a flag's name, entry0+16");
const LINE: Field = field("command", "string", true, "a line in the shell language");

/// What `POST /control` does.
pub const ACTIONS: &[&str] = &["step", "over", "out", "continue", "until", "back", "pause", "thread"];

/// What `POST /breakpoints` does.
pub const MARKS: &[&str] = &["set", "remove", "enable", "disable", "hardware", "watch"];

/// How `POST /search` reads its pattern.
pub const PATTERNS: &[&str] = &["text", "text-any-case", "wide-text", "hex", "expression", "number"];

/// The largest limit of `POST /search`.
pub const HITS: u64 = 1 << 32;

/// Every route but the lists.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/sign-in",
        method: "post",
        summary: "Sign a browser in, with the code of the URL that was printed or with the token; answers as /session",
        fields: &[field("code", "string", false, "the code"), field("token", "string", false, "the token")],
        answers: JSON,
        open: true,
        handler: || post(api::sign_in),
    },
    Route {
        path: "/sign-out",
        method: "post",
        summary: "End this client: its commands, its session, its cookie",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || post(api::sign_out),
    },
    Route {
        path: "/session",
        method: "get",
        summary: "Who this client is, what it may do, what this build can, what is open and what is mapped",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(api::session),
    },
    Route {
        path: "/run",
        method: "post",
        summary: "Run a line of commands: output, errors and state apart; output that is JSON also as a value",
        fields: &[LINE],
        answers: JSON,
        open: false,
        handler: || post(api::run),
    },
    Route {
        path: "/stream",
        method: "post",
        summary: "Run a line and get its output as it comes: lines {output}, then {report}",
        fields: &[LINE],
        answers: LINES,
        open: false,
        handler: || post(stream::line),
    },
    Route {
        path: "/cancel",
        method: "post",
        summary: "End every command of this client",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || post(api::cancel),
    },
    Route {
        path: "/complete",
        method: "post",
        summary: "How a line can go on",
        fields: &[field("line", "string", true, "the line up to the cursor")],
        answers: JSON,
        open: false,
        handler: || post(api::complete),
    },
    Route {
        path: "/memory",
        method: "get",
        summary: "Bytes of the session's address space; the header remora-valid counts those that are there",
        fields: &[ADDRESS, field("length", "string", false, "an expression, in bytes; 256 when missing")],
        answers: "application/octet-stream",
        open: false,
        handler: || get(memory::read),
    },
    Route {
        path: "/memory",
        method: "post",
        summary: "Write bytes",
        fields: &[ADDRESS, field("hex", "string", true, "pairs of hexadecimal digits")],
        answers: JSON,
        open: false,
        handler: || post(memory::write),
    },
    Route {
        path: "/search",
        method: "post",
        summary: "Search: a line {hit} for each hit as it is found, then {report}",
        fields: &[
            field("pattern", "string", true, "what to find"),
            Field { choices: PATTERNS, ..field("kind", "string", false, "how the pattern is read") },
            field("from", "string", false, "first address (an expression)"),
            field("to", "string", false, "address after the last (an expression)"),
            Field { range: Some((1, HITS)), ..field("limit", "integer", false, "stop after so many hits") },
        ],
        answers: LINES,
        open: false,
        handler: || post(stream::search),
    },
    Route {
        path: "/disassembly",
        method: "get",
        summary: "Instructions from an address on",
        fields: &[
            ADDRESS,
            Field { range: Some((1, 4096)), ..field("count", "integer", false, "how many; 64 when missing") },
        ],
        answers: JSON,
        open: false,
        handler: || get(lists::disassembly),
    },
    Route {
        path: "/graph",
        method: "get",
        summary: "The function at an address: its blocks with their instructions, and where they lead",
        fields: &[ADDRESS],
        answers: JSON,
        open: false,
        handler: || get(lists::graph),
    },
    Route {
        path: "/references",
        method: "get",
        summary: "Who refers to an address (to), and what the code there refers to (from)",
        fields: &[ADDRESS],
        answers: JSON,
        open: false,
        handler: || get(lists::references),
    },
    Route {
        path: "/entropy",
        method: "get",
        summary: "Entropy of samples: a line {piece, address, entropy} for each, from 0 to 1, then {report}",
        fields: &[
            field("from", "string", true, "first address (an expression)"),
            field("to", "string", true, "address after the last (an expression)"),
            Field { range: Some((1, 1024)), ..field("pieces", "integer", false, "how many; 96 when missing") },
        ],
        answers: LINES,
        open: false,
        handler: || get(entropy::entropy),
    },
    Route {
        path: "/process",
        method: "get",
        summary: "The process: state, registers, threads, frames, breakpoints, stack",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(control::process),
    },
    Route {
        path: "/control",
        method: "post",
        summary: "Let the process step or run, and answer when it has stopped; pause stops it, thread selects one",
        fields: &[
            Field { choices: ACTIONS, ..field("action", "string", true, "what to do") },
            field("address", "string", false, "until where (an expression)"),
            Field {
                range: Some((1, 1 << 32)),
                ..field("count", "integer", false, "how many steps; the thread's number")
            },
        ],
        answers: JSON,
        open: false,
        handler: || post(control::control),
    },
    Route {
        path: "/breakpoints",
        method: "post",
        summary: "Set, remove or change a breakpoint or a watchpoint",
        fields: &[
            ADDRESS,
            Field { choices: MARKS, ..field("action", "string", true, "what to do") },
            field("condition", "string", false, "stop only when it holds: rax==1"),
        ],
        answers: JSON,
        open: false,
        handler: || post(control::breakpoint),
    },
    Route {
        path: "/registers",
        method: "post",
        summary: "Change a register of the current thread",
        fields: &[
            field("name", "string", true, "the register"),
            field("value", "string", true, "its new value (an expression)"),
        ],
        answers: JSON,
        open: false,
        handler: || post(control::register),
    },
    Route {
        path: "/socket",
        method: "get",
        summary: "A WebSocket: {id, run} and {cancel} go in; {id, output}, {id, progress}, {id, report} and {event} come out",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(socket::upgrade),
    },
    Route {
        path: "/commands",
        method: "get",
        summary: "Every command: usage, summary, modes, what it needs",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(api::command_table),
    },
    Route {
        path: "/option-table",
        method: "get",
        summary: "Every option: kind, choices, meaning",
        fields: &[],
        answers: JSON,
        open: false,
        handler: || get(api::option_table),
    },
    Route {
        path: "/openapi.json",
        method: "get",
        summary: "This description",
        fields: &[],
        answers: JSON,
        open: true,
        handler: || get(openapi::document),
    },
];

/// What is known, as lists: the name of the route, the command that answers it, and a line about it.
pub const LISTS: &[(&str, &str, &str)] = &[
    ("files", "o", "Open files"),
    ("maps", "om", "What is mapped where"),
    ("flags", "f", "Names for addresses"),
    ("comments", "CC", "Comments"),
    ("options", "ev", "Options with their values"),
    ("hosts", "=", "Connections to other programs"),
    ("servers", "=l", "Servers of this process and their clients"),
    ("plugins", "oL", "What can be opened"),
    ("info", "i", "About the object file"),
    ("sections", "iS", "Sections"),
    ("segments", "iSS", "Segments"),
    ("symbols", "is", "Symbols"),
    ("imports", "ii", "Imported symbols"),
    ("strings", "iz", "Strings"),
    ("functions", "afl", "Functions"),
    ("processes", "dp", "Processes under control"),
    ("registers", "dr", "Registers of the process"),
    ("breakpoints", "db", "Breakpoints"),
    ("process-maps", "dm", "Memory maps of the process"),
    ("threads", "dpt", "Threads of the process"),
    ("frames", "dbt", "The call stack of the current thread"),
];
