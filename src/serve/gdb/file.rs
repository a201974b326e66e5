//! Files of this machine, for `target remote` without a local copy and for `remote get` and `put`.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::PACKET;
use super::conversation::{Answer, Conversation};
use crate::error::{Error, Kind, Result};
use crate::protocol::rsp::file::{Facts, File, Outcome, errno, flags};
use crate::protocol::rsp::link::fitting;

/// Files that a client may have open.
const OPEN: usize = 256;

/// What a client has open, and whose files it sees.
#[derive(Debug, Default)]
pub struct Files {
    open: HashMap<u64, fs::File>,
    /// The process whose root directory paths begin at; 0: this one's.
    process: u64,
}

impl Files {
    /// The path as this process sees it.
    fn path(&self, path: &str) -> PathBuf {
        match self.process {
            0 => PathBuf::from(path),
            process => {
                let root = PathBuf::from(format!("/proc/{process}/root"));
                // The same root, or one that cannot be looked at: paths are as they are here.
                let here = (fs::metadata("/").ok(), fs::metadata(&root).ok());
                match here {
                    (Some(ours), Some(theirs)) if (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()) => {
                        root.join(path.trim_start_matches('/'))
                    }
                    _ => PathBuf::from(path),
                }
            }
        }
    }

    fn carry_out(&mut self, request: File) -> io::Result<Outcome> {
        let missing = || io::Error::from_raw_os_error(libc::EBADF);
        Ok(match request {
            File::FileSystem(process) => {
                self.process = process;
                Outcome::Done(0)
            }
            File::Open { path, flags, mode } => {
                let file = open(&self.path(&path), flags, mode)?;
                if self.open.len() >= OPEN {
                    return Err(io::Error::from_raw_os_error(libc::EMFILE));
                }
                // Numbers of the client's own, from 3 as programs expect them.
                let number = (3..).find(|number| !self.open.contains_key(number)).unwrap_or(u64::MAX);
                self.open.insert(number, file);
                Outcome::Done(number)
            }
            File::Close(descriptor) => {
                self.open.remove(&descriptor).ok_or_else(missing)?;
                Outcome::Done(0)
            }
            File::Read { descriptor, count, offset } => {
                let file = self.open.get(&descriptor).ok_or_else(missing)?;
                let room = PACKET - 16;
                let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX).min(room)];
                let count = file.read_at(&mut bytes, offset)?;
                bytes.truncate(count);
                bytes.truncate(fitting(&bytes, room));
                Outcome::Bytes(bytes)
            }
            File::Write { descriptor, offset, bytes } => {
                let file = self.open.get(&descriptor).ok_or_else(missing)?;
                Outcome::Done(file.write_at(&bytes, offset)? as u64)
            }
            File::Facts(descriptor) => {
                Outcome::Bytes(facts(&self.open.get(&descriptor).ok_or_else(missing)?.metadata()?).bytes())
            }
            File::PathFacts(path) => Outcome::Bytes(facts(&fs::metadata(self.path(&path))?).bytes()),
            File::Remove(path) => {
                fs::remove_file(self.path(&path))?;
                Outcome::Done(0)
            }
            File::LinkTarget(path) => {
                let target = fs::read_link(self.path(&path))?;
                Outcome::Bytes(target.into_os_string().into_encoded_bytes())
            }
            File::Symlink { target, path } => {
                std::os::unix::fs::symlink(target, self.path(&path))?;
                Outcome::Done(0)
            }
            File::Size(path) => Outcome::Done(fs::metadata(self.path(&path))?.len()),
            File::Mode(path) => Outcome::Done(u64::from(fs::metadata(self.path(&path))?.mode() & 0o7777)),
            // These two have replies of their own.
            File::Exists(_) | File::Md5(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// `F,1` or `F,0`.
    fn exists(&self, path: &str) -> &'static str {
        if self.path(path).exists() { "F,1" } else { "F,0" }
    }

    /// `F,` and the sum of the file, or `F,x`.
    fn md5(&self, path: &str) -> String {
        use md5::{Digest, Md5};
        let mut digest = Md5::new();
        let regular = fs::metadata(self.path(path)).is_ok_and(|facts| facts.is_file());
        let mut file = match fs::File::open(self.path(path)) {
            Ok(file) if regular => file,
            _ => return "F,x".into(),
        };
        let mut buffer = vec![0; 1 << 16];
        loop {
            match io::Read::read(&mut file, &mut buffer) {
                Ok(0) => break,
                Ok(count) => digest.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return "F,x".into(),
            }
        }
        digest.finalize().iter().fold(String::from("F,"), |text, byte| format!("{text}{byte:02x}"))
    }
}

fn open(path: &Path, wanted: u64, mode: u32) -> io::Result<fs::File> {
    let has = |flag| wanted & flag != 0;
    let (read, write) = match wanted & 3 {
        0 => (true, false),
        flags::WRITE => (false, true),
        flags::READ_WRITE => (true, true),
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    let mut options = OpenOptions::new();
    options.read(read).write(write).mode(mode & 0o7777);
    let mut more = libc::O_NOCTTY | libc::O_CLOEXEC;
    for (flag, system) in [
        (flags::APPEND, libc::O_APPEND),
        (flags::CREATE, libc::O_CREAT),
        (flags::TRUNCATE, libc::O_TRUNC),
        (flags::EXCLUSIVE, libc::O_EXCL),
    ] {
        if has(flag) {
            more |= system;
        }
    }
    // A pipe without a writer would hold everything up.
    let file = options.custom_flags(more | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_dir() && write {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    Ok(file)
}

fn facts(known: &fs::Metadata) -> Facts {
    // The protocol's fields are narrower; numbers that do not fit lose their upper half.
    Facts {
        device: known.dev() as u32,
        inode: known.ino() as u32,
        mode: known.mode(),
        links: known.nlink() as u32,
        user: known.uid(),
        group: known.gid(),
        special: known.rdev() as u32,
        size: known.size(),
        block_size: known.blksize(),
        blocks: known.blocks(),
        accessed: known.atime() as u32,
        modified: known.mtime() as u32,
        changed: known.ctime() as u32,
    }
}

impl Conversation<'_> {
    pub(super) fn file(&mut self, request: File, out: &mut Vec<u8>) -> Result<Answer> {
        if !self.stub.with(|target| Ok(target.kind() == "ptrace"))? {
            return Err(Error::new(Kind::Unsupported, "the files of this target are not here"));
        }
        match &request {
            File::Exists(path) => out.extend_from_slice(self.files.exists(path).as_bytes()),
            File::Md5(path) => out.extend_from_slice(self.files.md5(path).as_bytes()),
            _ => {
                let outcome = self.files.carry_out(request);
                let failed = |error: io::Error| Outcome::Failed(errno(error.raw_os_error().unwrap_or(0)));
                outcome.unwrap_or_else(failed).print(out);
            }
        }
        Ok(Answer::Reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_read_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a b").to_str().unwrap().to_string();
        let mut files = Files::default();
        let wanted = flags::READ_WRITE | flags::CREATE | flags::EXCLUSIVE;
        let open = File::Open { path: path.clone(), flags: wanted, mode: 0o600 };
        assert_eq!(files.carry_out(open.clone()).unwrap(), Outcome::Done(3));
        assert_eq!(files.carry_out(open).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        let write = File::Write { descriptor: 3, offset: 2, bytes: b"#}*".to_vec() };
        assert_eq!(files.carry_out(write).unwrap(), Outcome::Done(3));
        let read =
            |files: &mut Files, offset| files.carry_out(File::Read { descriptor: 3, count: u64::MAX, offset }).unwrap();
        assert_eq!(read(&mut files, 0), Outcome::Bytes(b"\0\0#}*".to_vec()));
        assert_eq!(read(&mut files, 99), Outcome::Bytes(vec![]));
        let Outcome::Bytes(bytes) = files.carry_out(File::Facts(3)).unwrap() else { panic!() };
        let facts = Facts::parse(&bytes).unwrap();
        assert_eq!((facts.size, facts.mode & 0o777), (5, 0o600));
        assert_eq!(files.carry_out(File::Size(path.clone())).unwrap(), Outcome::Done(5));
        assert_eq!(files.exists(&path), "F,1");
        assert_eq!(files.md5(&path).len(), 2 + 32);
        assert_eq!(files.carry_out(File::Close(3)).unwrap(), Outcome::Done(0));
        assert!(files.carry_out(File::Close(3)).is_err() && files.carry_out(File::Facts(0)).is_err());
        assert_eq!(files.carry_out(File::Remove(path.clone())).unwrap(), Outcome::Done(0));
        assert_eq!((files.exists(&path), files.md5(&path).as_str()), ("F,0", "F,x"));
    }
}
