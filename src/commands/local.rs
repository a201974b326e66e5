//! This machine's files, for the commands that read and write them (all of them need `Permissions::FILES`).

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::session::View;

/// The most bytes that a command takes from a file at once; longer ones are opened as devices.
pub const READ_LIMIT: u64 = 64 << 20;

/// The path that `text` means to this client.
pub fn path(view: &View, text: &str) -> PathBuf {
    match &view.directory {
        Some(directory) => directory.join(text),
        None => PathBuf::from(text),
    }
}

/// Opens a regular file, with its size in bytes.
pub fn open(view: &View, text: &str) -> Result<(File, u64)> {
    let path = path(view, text);
    let failed = |error| Error::system(format_args!("cannot open file '{text}'"), &error);
    // Asked before opening: to open a pipe waits for somebody at its other end.
    let metadata = std::fs::metadata(&path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::new(Kind::Unsupported, format!("cannot open file '{text}': not a regular file")));
    }
    Ok((File::open(&path).map_err(failed)?, metadata.len()))
}

/// The contents of a regular file of at most [`READ_LIMIT`] bytes.
pub fn read(view: &View, text: &str) -> Result<Vec<u8>> {
    let (file, _) = open(view, text)?;
    let mut bytes = Vec::new();
    file.take(READ_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::system(format_args!("cannot read file '{text}'"), &e))?;
    if bytes.len() as u64 > READ_LIMIT {
        return Err(Error::new(Kind::Limit, format!("file '{text}' is larger than 64 MiB")));
    }
    Ok(bytes)
}
