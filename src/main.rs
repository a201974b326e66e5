//! The program: everything is in [`remora::program`].

use std::process::ExitCode;

fn main() -> ExitCode {
    remora::program::main(std::env::args_os())
}
