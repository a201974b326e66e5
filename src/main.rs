//! The program: arguments, then a script, a prompt or a server; the exit code.

fn main() {}
