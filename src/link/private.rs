//! Files that only their owner may read: keys, tokens, known hosts.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// The directory for what must survive (`$XDG_STATE_HOME/remora` or `~/.local/state/remora`), if there is a home.
pub fn state_directory() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("remora"))
        .ok_or_else(|| Error::new(Kind::NotFound, "no place for keys and tokens").hint("set HOME or XDG_STATE_HOME"))
}

fn directory_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() && !directory.exists() => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| failed("make", directory, &e)),
        _ => Ok(()),
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::system(format_args!("cannot {what} '{}'", path.display()), error)
}

/// Makes the file at `path` with `bytes` in one step, readable by its owner alone, unless there is one: of two programs
/// that try at the same time one wins, and both find the same file. Directories are made.
pub fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    directory_of(path)?;
    let mut name = path.as_os_str().to_owned();
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| Error::new(Kind::System, format!("no random numbers: {e}")))?;
    name.push(format!(".{:016x}", u64::from_ne_bytes(random)));
    let temporary = PathBuf::from(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| match fs::hard_link(&temporary, path) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            outcome => outcome,
        });
    // The name was only for the way; an error that matters is the other one.
    let _ = fs::remove_file(&temporary);
    written.map_err(|e| failed("write", path, &e))
}

/// Appends `bytes` to the file at `path` with one write, making it (for its owner alone) when it is not there.
pub fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    open_append(path)?.write_all(bytes).map_err(|e| failed("write", path, &e))
}

/// Opens the file at `path` for appending, making it for its owner alone.
pub fn open_append(path: &Path) -> Result<File> {
    directory_of(path)?;
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(|e| failed("open", path, &e))
}

/// The text of a secret file, which must be its owner's alone: one that others can read is refused.
pub fn read(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|e| failed("read", path, &e))?;
    let metadata = file.metadata().map_err(|e| failed("read", path, &e))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(Error::new(Kind::Permission, format!("others can read the secrets in '{}'", path.display()))
            .hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| failed("read", path, &e))?;
    Ok(text)
}
