//! Starting a program under control: everything between fork and exec, where almost nothing may be done.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::sys::Tid;
use crate::debug::Launch;
use crate::error::{Error, Kind, Result};

/// A child that waits until it may go on to its exec.
pub struct Waiting {
    pub pid: Tid,
    go: File,
    failed: File,
    /// How many execs come before the program's own.
    pub passed_over: usize,
    shown: String,
}

impl Waiting {
    /// Lets the child go on.
    pub fn release(&mut self) -> Result<()> {
        self.go.write_all(&[1]).map_err(|error| Error::system("the new process is gone", &error))
    }

    /// Why the child did not come to its exec, when it ended before.
    pub fn failure(mut self) -> Error {
        let mut report = [0; 8];
        let shown = crate::output::visible(&self.shown).into_owned();
        if self.failed.read_exact(&mut report).is_err() {
            return Error::new(Kind::System, format!("'{shown}' ended before it began"));
        }
        let [a, b, c, d, step, ..] = report;
        let error = std::io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]));
        let what = match step {
            STEP_DIRECTORY => "cannot enter its working directory".to_string(),
            STEP_STANDARD => "cannot redirect its input and output".to_string(),
            _ => format!("cannot run '{shown}'"),
        };
        let error_shown = Error::system(what, &error);
        match error.raw_os_error() {
            Some(libc::ENOEXEC) => error_shown.hint("it is no program of this machine"),
            Some(libc::EACCES) => error_shown.hint("is it executable? chmod +x"),
            _ => error_shown,
        }
    }
}

const STEP_DIRECTORY: u8 = 1;
const STEP_STANDARD: u8 = 2;
const STEP_EXEC: u8 = 3;

/// All that the child needs, made before the fork: it cannot allocate.
struct Plan {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: Option<CString>,
    standard: [Option<File>; 3],
    fixed_addresses: bool,
    foreground: bool,
    core_limit: Option<u64>,
}

fn c_string(text: impl AsRef<OsStr>) -> Result<CString> {
    CString::new(text.as_ref().as_bytes())
        .map_err(|_| Error::new(Kind::Usage, "a NUL byte in a program's name, argument or variable"))
}

/// The environment that a program gets.
fn environment(launch: &Launch) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> =
        if launch.clear_environment { Vec::new() } else { std::env::vars_os().collect() };
    for (name, value) in &launch.environment {
        variables.retain(|(known, _)| known.as_os_str() != OsStr::new(name));
        if let Some(value) = value {
            variables.push((name.into(), value.into()));
        }
    }
    variables
}

/// Where a program is: a name without a slash is looked for in the PATH.
fn find(program: &str, environment: &[(OsString, OsString)]) -> Result<PathBuf> {
    if program.is_empty() {
        return Err(Error::new(Kind::Usage, "the program is missing").hint("dbg:///bin/ls -l"));
    }
    let shown = crate::output::visible(program);
    let path = if program.contains('/') {
        PathBuf::from(program)
    } else {
        let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let folders = path.unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
        let found = std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file());
        found.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no program '{shown}' in the PATH")).hint("give its path: ./name")
        })?
    };
    let facts = std::fs::metadata(&path).map_err(|error| Error::system(format!("cannot run '{shown}'"), &error))?;
    if facts.is_dir() {
        return Err(Error::new(Kind::NotFound, format!("cannot run '{shown}': it is a directory")));
    }
    Ok(path)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Everything about a start that can be prepared, and can fail, here.
fn prepare(launch: &Launch) -> Result<(Plan, usize)> {
    let variables = environment(launch);
    let program = find(&launch.program, &variables)?;
    let mut words: Vec<OsString> = vec![program.clone().into_os_string()];
    // The name that the program is called by is what was typed, unless a path was made of it.
    words.extend(launch.arguments.iter().map(OsString::from));
    let mut file = program;
    let mut passed_over = 0;
    if let Some(wrapper) = launch.wrapper.first() {
        let mut all: Vec<OsString> = launch.wrapper.iter().map(OsString::from).collect();
        all.append(&mut words);
        words = all;
        file = find(wrapper, &variables)?;
        passed_over += 1;
    }
    if launch.shell {
        let shell = variables.iter().find(|(name, _)| name == "SHELL").map(|(_, value)| value.clone());
        let shell = shell.filter(|shell| Path::new(shell).is_file()).unwrap_or_else(|| OsString::from("/bin/sh"));
        // The program's path is taken as it is, the arguments are the shell's.
        let quoted_words = launch.wrapper.len() + 1;
        let line: Vec<String> = words
            .iter()
            .enumerate()
            .map(|(at, word)| match word.to_str() {
                Some(word) if at >= quoted_words => word.to_string(),
                _ => quoted(&word.to_string_lossy()),
            })
            .collect();
        words = vec![shell.clone(), "-c".into(), format!("exec {}", line.join(" ")).into()];
        file = shell.into();
        passed_over += 1;
    }
    let open = |path: &Option<PathBuf>, writes: bool| -> Result<Option<File>> {
        let Some(path) = path else { return Ok(None) };
        let file = if writes { File::create(path) } else { File::open(path) };
        let shown = path.display().to_string();
        file.map(Some).map_err(|error| Error::system(format!("'{}'", crate::output::visible(&shown)), &error))
    };
    let stdout = open(&launch.stdout, true)?;
    let stderr = if launch.stderr.is_some() && launch.stderr == launch.stdout {
        stdout.as_ref().map(File::try_clone).transpose()?
    } else {
        open(&launch.stderr, true)?
    };
    let assignment = |(name, value): (OsString, OsString)| {
        let mut bytes = name.into_vec();
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        c_string(OsStr::from_bytes(&bytes))
    };
    let plan = Plan {
        program: c_string(&file)?,
        arguments: words.iter().map(c_string).collect::<Result<_>>()?,
        environment: variables.into_iter().map(assignment).collect::<Result<_>>()?,
        directory: launch.directory.as_ref().map(c_string).transpose()?,
        standard: [open(&launch.stdin, false)?, stdout, stderr],
        fixed_addresses: launch.fixed_addresses,
        foreground: launch.terminal,
        core_limit: launch.core_limit,
    };
    Ok((plan, passed_over))
}

fn pipe() -> Result<(File, File)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| Error::system("cannot make a pipe", &error.into()))?;
    Ok((File::from(read), File::from(write)))
}

/// Forks a child that waits to be told to exec. It has to be called by the thread that will trace it.
pub fn start(launch: &Launch) -> Result<Waiting> {
    let (plan, passed_over) = prepare(launch)?;
    let (told, go) = pipe()?;
    let (failed, report) = pipe()?;
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, variables) = (pointers(&plan.arguments), pointers(&plan.environment));
    // SAFETY: the child does nothing but make system calls on what was prepared before; see `child`.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(Error::system("cannot start a process", &std::io::Error::last_os_error())),
        0 => child(&plan, &arguments, &variables, told.as_raw_fd(), go.as_raw_fd(), report.as_raw_fd()),
        pid => Ok(Waiting { pid, go, failed, passed_over, shown: launch.program.clone() }),
    }
}

/// The child between fork and exec. Other threads' locks may be held for ever here: nothing allocates, and only
/// functions are called that are safe after a fork (signal-safety(7)) or are plain system calls.
fn child(
    plan: &Plan,
    arguments: &[*const libc::c_char],
    variables: &[*const libc::c_char],
    told: i32,
    go: i32,
    report: i32,
) -> ! {
    // SAFETY: all pointers lead to what `start` prepared and keeps alive (this is a copy of its memory); everything
    // else is numbers.
    unsafe {
        let fail = |step: u8| -> ! {
            let errno = (*libc::__errno_location()).to_ne_bytes();
            let message = [errno[0], errno[1], errno[2], errno[3], step, 0, 0, 0];
            libc::write(report, message.as_ptr().cast(), message.len());
            libc::_exit(127)
        };
        libc::setpgid(0, 0);
        // The tracer keeps its end: without closing this copy the wait below would not end with the tracer.
        libc::close(go);
        if plan.foreground {
            let mut ttou: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut ttou);
            libc::sigaddset(&raw mut ttou, libc::SIGTTOU);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const ttou, std::ptr::null_mut());
            libc::tcsetpgrp(0, libc::getpid());
        }
        for signal in 1..=64 {
            // The handlers go with the exec; what is ignored would stay so.
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        if plan.fixed_addresses {
            const ADDR_NO_RANDOMIZE: libc::c_ulong = 0x004_0000;
            let now = libc::personality(0xffff_ffff);
            if now != -1 {
                libc::personality(now as libc::c_ulong | ADDR_NO_RANDOMIZE);
            }
        }
        if let Some(limit) = plan.core_limit {
            let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const limit);
        }
        for (number, file) in plan.standard.iter().enumerate() {
            if let Some(file) = file
                && libc::dup2(file.as_raw_fd(), number as i32) == -1
            {
                fail(STEP_STANDARD);
            }
        }
        // Nothing but the three standard ones is inherited, whoever opened it.
        const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC);
        if let Some(directory) = &plan.directory
            && libc::chdir(directory.as_ptr()) == -1
        {
            fail(STEP_DIRECTORY);
        }
        let mut byte = 0u8;
        if libc::read(told, (&raw mut byte).cast(), 1) != 1 {
            // The tracer is gone before it began.
            libc::_exit(127);
        }
        libc::execve(plan.program.as_ptr(), arguments.as_ptr(), variables.as_ptr());
        fail(STEP_EXEC)
    }
}
