//! This machine's files, for the commands and operators that read and write them. Whatever names a path here needs
//! `Permissions::FILES`, and is kept beneath the client's root when it has one.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::io::beneath::{self, Entry, How};
use crate::session::{Permissions, View};

/// The most bytes that a command takes from a file at once; longer ones are opened as devices.
pub const READ_LIMIT: u64 = 64 << 20;

/// Checks that the client may do what `what` (a command or operator) needs.
pub fn require(view: &View, needed: Permissions, what: &str) -> Result<()> {
    view.permissions.require(needed, what)
}

/// The path that `text` means to the client: `~/` is the home directory, relative paths start at the client's
/// working directory. For a client with a root, that is its `/`, and there is no home.
fn path(view: &View, text: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").filter(|_| view.reach.root.is_none()).map(PathBuf::from);
    let path = match text.strip_prefix("~/") {
        Some(rest) => home().map_or_else(|| PathBuf::from(text), |home| home.join(rest)),
        None if text == "~" => home().unwrap_or_else(|| PathBuf::from(text)),
        None => PathBuf::from(text),
    };
    match &view.directory {
        Some(directory) => directory.join(path),
        None => path,
    }
}

/// Opens a regular file for reading, with its size in bytes.
pub fn open(view: &View, text: &str) -> Result<(File, u64)> {
    let failed = |error| Error::system(format_args!("cannot open file '{text}'"), &error);
    let file = beneath::open(view.reach.root.as_deref(), &path(view, text), How::Read).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::new(Kind::Unsupported, format!("cannot open file '{text}': not a regular file")));
    }
    Ok((file, metadata.len()))
}

/// The contents of a regular file of at most [`READ_LIMIT`] bytes.
pub fn read(view: &View, text: &str) -> Result<Vec<u8>> {
    read_up_to(view, text, READ_LIMIT)
}

/// The contents of a file of at most `limit` bytes. Devices without an end count as longer, pipes are refused: to
/// read one waits for somebody at its other end, and nothing could end that.
pub fn read_up_to(view: &View, text: &str, limit: u64) -> Result<Vec<u8>> {
    use std::os::unix::fs::FileTypeExt;
    let failed = |error| Error::system(format_args!("cannot read file '{text}'"), &error);
    let file = beneath::open(view.reach.root.as_deref(), &path(view, text), How::Read).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_fifo() {
        return Err(Error::new(Kind::Unsupported, format!("cannot read file '{text}': it is a pipe")));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        let limit = if limit >= 1 << 20 { format!("{} MiB", limit >> 20) } else { format!("{limit} bytes") };
        return Err(Error::new(Kind::Limit, format!("file '{text}' is larger than {limit}")));
    }
    Ok(bytes)
}

/// Opens a file for writing: in the place of what it holds, or behind it.
pub fn create(view: &View, text: &str, append: bool) -> Result<File> {
    let failed = |error| Error::system(format_args!("cannot write file '{text}'"), &error);
    let how = if append { How::Append } else { How::Replace };
    let file = beneath::open(view.reach.root.as_deref(), &path(view, text), how).map_err(failed)?;
    // It was opened without waiting; from now on a slow reader of a pipe is waited for.
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| failed(error.into()))?;
    rustix::fs::fcntl_setfl(&file, flags - rustix::fs::OFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
    Ok(file)
}

/// What is in a directory, by name.
pub fn list(view: &View, text: &str) -> Result<Vec<Entry>> {
    let mut entries = beneath::list(view.reach.root.as_deref(), &path(view, text))
        .map_err(|error| Error::system(format_args!("cannot list '{text}'"), &error))?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The working directory that going to `text` (`None`: home) leads to.
pub fn enter(view: &View, text: Option<&str>) -> Result<PathBuf> {
    let text = text.unwrap_or(if view.reach.root.is_some() { "/" } else { "~" });
    beneath::enter(view.reach.root.as_deref(), &path(view, text))
        .map_err(|error| Error::system(format_args!("cannot go to '{text}'"), &error))
}

/// The working directory.
pub fn directory(view: &View) -> Result<PathBuf> {
    match &view.directory {
        Some(directory) => Ok(directory.clone()),
        None if view.reach.root.is_some() => Ok(PathBuf::from("/")),
        None => std::env::current_dir().map_err(|error| Error::system("no working directory", &error)),
    }
}

/// Makes a directory and those above it.
pub fn make_directories(view: &View, text: &str) -> Result<()> {
    beneath::make_directories(view.reach.root.as_deref(), &path(view, text))
        .map_err(|error| Error::system(format_args!("cannot make '{text}'"), &error))
}

/// Removes a file.
pub fn remove(view: &View, text: &str) -> Result<()> {
    beneath::remove(view.reach.root.as_deref(), &path(view, text))
        .map_err(|error| Error::system(format_args!("cannot remove '{text}'"), &error))
}

/// Whether `path`, as it is, is a program that can be run. Only for clients that see all files.
pub fn is_program(view: &View, text: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let text = path(view, &text.to_string_lossy());
    std::fs::metadata(text).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
