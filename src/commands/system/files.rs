//! Paths and permissions of the commands and operators that touch this machine.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::session::{Permissions, View};

/// Checks that the client may do what `what` (a command or operator) needs.
pub fn require(view: &View, needed: Permissions, what: &str) -> Result<()> {
    if view.permissions.allow(needed) {
        return Ok(());
    }
    let missing = needed.without(view.permissions).names();
    Err(Error::new(Kind::Permission, format!("'{what}' is not permitted here: it needs {missing}")))
}

/// The path that `text` means to the client: `~/` is the home directory, relative paths start at the client's
/// working directory.
pub fn path(view: &View, text: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
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

/// The whole of a file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    use std::os::unix::fs::FileTypeExt;
    let failed = |error: std::io::Error| Error::system(format_args!("cannot read '{}'", path.display()), &error);
    // Asked before opening: to open a pipe waits for somebody at its other end, and nothing could end that.
    if std::fs::metadata(path).map_err(failed)?.file_type().is_fifo() {
        return Err(Error::new(Kind::Unsupported, format!("cannot read '{}': it is a pipe", path.display())));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::new(Kind::Limit, format!("'{}' is longer than {limit} bytes", path.display())));
    }
    Ok(bytes)
}
