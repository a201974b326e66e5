//! remora: take binaries and processes apart, here or at the far end of a bad line.
//!
//! The modules stand in dependency order: each uses only those above it (a test holds this).

/// One error type: what failed, where, and what to do next.
pub mod error;
/// Numbers and address expressions.
pub mod number;
/// What can be opened: paths and URIs.
pub mod uri;
/// How answers leave a command: records, modes, text, cancellation; the `Executor` trait.
pub mod output;
/// Sans-io codecs: bytes in, messages out. Knows no sockets, files, threads or clocks.
pub mod protocol;
/// Transports: connecting, listening, framing, deadlines.
pub mod link;
/// Processes under control: the `Target` trait and the ptrace backend.
pub mod debug;
/// The IO subsystem: devices, plugins, descriptors, maps, the write overlay.
pub mod io;
/// The shared core, each client's view, flags, options, hosts.
pub mod session;
/// The commands, one file per family, each declared next to its function.
pub mod commands;
/// The shell language: parsing and evaluation.
pub mod shell;
/// The interactive prompt: line editing, history, completion.
pub mod prompt;
/// Servers: one accept loop, one table of services.
pub mod serve;
/// The program: its arguments, what it does with them, and the exit code.
pub mod program;
