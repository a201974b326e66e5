//! Opening by path, for clients that see all files and for those that are kept beneath one directory.
//!
//! Every path that a client names comes through here. For a client with a [`Root`] the directory is its `/`: the
//! kernel resolves the path beneath it (openat2 with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS), so that neither
//! `..` nor a symbolic link nor a link of `/proc` leads out, whoever changes the tree meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};

/// A directory that a client does not leave.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// The directory at `path`, as it is now: renaming it later changes nothing.
    ///
    /// # Errors
    /// When it is no directory, or the system cannot keep paths beneath one.
    pub fn open(path: &Path) -> Result<Root> {
        let failed = |e: io::Error| Error::system(format_args!("cannot serve '{}'", path.display()), &e);
        let path = path.canonicalize().map_err(failed)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        let root = Root { directory, path };
        // Said when the server starts, not when the first client asks.
        match resolve(Some(&root), Path::new("/"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
                Err(Error::new(Kind::Unsupported, "this system cannot keep paths beneath a directory")
                    .hint("--root needs openat2, Linux 5.6"))
            }
            outcome => outcome.map(|_| root).map_err(failed),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What a client may open by path: everything, or what is beneath a directory.
pub type Beneath = Option<Arc<Root>>;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// For reading.
    Read,
    /// For reading and writing; made when it does not exist if so wished.
    Update {
        /// Make the file.
        create: bool,
    },
    /// For writing, emptied or made.
    Replace,
    /// For writing behind what it holds, made when it does not exist.
    Append,
}

/// Opens the file at `path`. Neither a pipe without a writer nor a terminal stops the caller.
pub fn open(root: Option<&Root>, path: &Path, how: How) -> io::Result<File> {
    let flags = match how {
        How::Read => OFlags::RDONLY,
        How::Update { create } => OFlags::RDWR | if create { OFlags::CREATE } else { OFlags::empty() },
        How::Replace => OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC,
        How::Append => OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND,
    };
    // openat2 refuses a mode where no file is made.
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o666) } else { Mode::empty() };
    resolve(root, path, flags | OFlags::NONBLOCK | OFlags::NOCTTY, mode).map(File::from)
}

/// Whether a regular file is at `path`.
pub fn is_file(root: Option<&Root>, path: &Path) -> bool {
    resolve(root, path, OFlags::PATH, Mode::empty())
        .and_then(|file| rustix::fs::fstat(&file).map_err(io::Error::from))
        .is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile)
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a directory (or, for a client that sees all files, leads to one).
    pub directory: bool,
    /// Bytes in it.
    pub size: u64,
}

/// What is in the directory at `path`, in no order.
pub fn list(root: Option<&Root>, path: &Path) -> io::Result<Vec<Entry>> {
    let directory = resolve(root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    // What a link points to may lie outside: a client that is kept beneath a directory sees the link alone.
    let follow = if root.is_some() { AtFlags::SYMLINK_NOFOLLOW } else { AtFlags::empty() };
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let facts = rustix::fs::statat(&directory, entry.file_name(), follow).ok();
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            directory: facts.is_some_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::Directory),
            size: facts.map_or(0, |facts| u64::try_from(facts.st_size).unwrap_or(0)),
        });
    }
    Ok(entries)
}

/// The directory at `path` by the name that does not change with links: absolute, seen from the client's `/`.
pub fn enter(root: Option<&Root>, path: &Path) -> io::Result<PathBuf> {
    let Some(root) = root else {
        let path = path.canonicalize()?;
        return if path.is_dir() { Ok(path) } else { Err(Errno::NOTDIR.into()) };
    };
    let directory = resolve(Some(root), path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let name = |file: BorrowedFd<'_>| {
        use std::os::fd::AsRawFd;
        std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
    };
    let (top, here) = (name(root.directory.as_fd())?, name(directory.as_fd())?);
    Ok(Path::new("/").join(here.strip_prefix(top).map_err(|_| io::Error::from(Errno::XDEV))?))
}

/// Makes the directory at `path` and those above it.
pub fn make_directories(root: Option<&Root>, path: &Path) -> io::Result<()> {
    let mut here = PathBuf::new();
    for component in path.components() {
        if let Component::Normal(name) = component {
            let parent = directory(root, &here)?;
            match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        here.push(component);
    }
    directory(root, &here).map(drop)
}

/// Removes the file at `path`; a link is removed, not followed.
pub fn remove(root: Option<&Root>, path: &Path) -> io::Result<()> {
    let (parent, name) = split(path)?;
    Ok(rustix::fs::unlinkat(directory(root, parent)?, name, AtFlags::empty())?)
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(Errno::ISDIR.into()),
    }
}

fn directory(root: Option<&Root>, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    resolve(root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

/// The one place that turns a path into a file.
fn resolve(root: Option<&Root>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let Some(root) = root else { return retry(|| rustix::fs::openat(CWD, path, flags, mode)) };
    let relative: PathBuf = path.components().filter(|part| !matches!(part, Component::RootDir)).collect();
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { &relative };
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    retry(|| rustix::fs::openat2(&root.directory, relative, flags, mode, beneath)).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::EXDEV | libc::ELOOP) => {
                io::Error::new(io::ErrorKind::PermissionDenied, "the path leads out of the served directory")
            }
            _ => error,
        }
    })
}

/// Tries again after a signal, and when the kernel saw the tree change while it looked (EAGAIN, a few times).
fn retry(mut open: impl FnMut() -> rustix::io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let mut tries = 0;
    loop {
        match open() {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if tries < 16 => tries += 1,
            outcome => return outcome.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    fn text(root: &Root, path: &str) -> io::Result<String> {
        let mut text = String::new();
        open(Some(root), Path::new(path), How::Read)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn nothing_leads_out() {
        let here = tempfile::tempdir().unwrap();
        let inside = here.path().join("in");
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::write(here.path().join("secret"), "secret").unwrap();
        std::fs::write(inside.join("file"), "file").unwrap();
        symlink(here.path().join("secret"), inside.join("absolute")).unwrap();
        symlink("../secret", inside.join("relative")).unwrap();
        symlink("..", inside.join("up")).unwrap();
        symlink("file", inside.join("fine")).unwrap();
        symlink("/proc/self/root", inside.join("magic")).unwrap();
        let root = Root::open(&inside).unwrap();
        for good in ["file", "/file", "fine", "deep/../file", "/deep/../fine", "./file"] {
            assert_eq!(text(&root, good).unwrap(), "file", "{good}");
        }
        let secret = here.path().join("secret").display().to_string();
        for bad in ["../secret", "/../secret", "absolute", "relative", "up/secret", "deep/../../secret", "magic/etc"] {
            let error = text(&root, bad).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{bad}: {error}");
        }
        assert_eq!(text(&root, &secret).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(open(Some(&root), Path::new("relative"), How::Replace).is_err());
        assert!(open(Some(&root), Path::new("up/new"), How::Append).is_err());
        assert!(make_directories(Some(&root), Path::new("up/new/er")).is_err());
        assert!(make_directories(Some(&root), Path::new("../new")).is_err());
        assert!(remove(Some(&root), Path::new("up/secret")).is_err());
        assert!(remove(Some(&root), Path::new("../secret")).is_err());
        assert!(list(Some(&root), Path::new("..")).is_err() && list(Some(&root), Path::new("up")).is_err());
        assert!(enter(Some(&root), Path::new("up")).is_err());
        assert!(!is_file(Some(&root), Path::new("relative")) && is_file(Some(&root), Path::new("fine")));
        let names: Vec<String> = std::fs::read_dir(here.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(std::fs::read_to_string(here.path().join("secret")).unwrap(), "secret");
    }

    #[test]
    fn inside_everything_works() {
        let here = tempfile::tempdir().unwrap();
        let root = Root::open(here.path()).unwrap();
        make_directories(Some(&root), Path::new("/a/b")).unwrap();
        assert_eq!(enter(Some(&root), Path::new("a/b")).unwrap(), Path::new("/a/b"));
        assert_eq!(enter(Some(&root), Path::new("/")).unwrap(), Path::new("/"));
        open(Some(&root), Path::new("/a/b/c"), How::Replace).unwrap().write_all(b"12").unwrap();
        open(Some(&root), Path::new("a/b/c"), How::Append).unwrap().write_all(b"3").unwrap();
        assert_eq!(text(&root, "a/b/c").unwrap(), "123");
        let listed = list(Some(&root), Path::new("a/b")).unwrap();
        assert_eq!(listed, [Entry { name: "c".into(), directory: false, size: 3 }]);
        remove(Some(&root), Path::new("a/b/c")).unwrap();
        assert!(list(Some(&root), Path::new("a/b")).unwrap().is_empty());
    }
}
