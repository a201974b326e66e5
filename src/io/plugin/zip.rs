//! `zip://ARCHIVE//MEMBER` and `zip://ARCHIVE::INDEX`: a member of a zip archive, unpacked to memory. `apk://` and
//! `jar://` are the same; `apk://ARCHIVE` alone is its `classes.dex`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::malloc::Memory;
use super::{Plugin, Touches, UNPACK_LIMIT, file, refuse_writes, unpack};
use crate::error::{Error, Kind, Result};
use crate::io::{Device, Open, beneath};
use crate::output::visible;
use crate::uri::Uri;

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    name: "zip",
    schemes: &["zip", "apk", "jar"],
    summary: "members of zip archives, unpacked to memory",
    example: "zip:///tmp/app.apk//classes.dex",
    writes: false,
    touches: Touches::Files,
    open,
};

/// Members named in an error message.
const LISTED: usize = 30;

type Archive = ZipArchive<BufReader<File>>;

enum Member<'a> {
    Name(&'a str),
    Index(usize),
}

fn open(uri: &Uri, open: &Open) -> Result<Box<dyn Device>> {
    refuse_writes(open)?;
    let (path, member) = split(uri.rest(), open);
    let mut archive = ZipArchive::new(BufReader::new(file::open_plain(path, open)?)).map_err(broken)?;
    let index = match member {
        Some(Member::Index(index)) if index < archive.len() => index,
        Some(Member::Index(index)) => {
            return Err(list(&archive, format!("no member {index}: the archive has {}", archive.len())));
        }
        Some(Member::Name(name)) => archive
            .index_for_name(name)
            .ok_or_else(|| list(&archive, format!("no member '{}' in the archive", visible(name))))?,
        // The code of an Android package is what one wants of it.
        None if uri.scheme() == Some("apk") => archive
            .index_for_name("classes.dex")
            .ok_or_else(|| list(&archive, "no member 'classes.dex' in the archive".to_string()))?,
        None => return Err(list(&archive, "which member?".to_string())),
    };
    let member = archive.by_index(index).map_err(broken)?;
    if member.is_dir() {
        return Err(Error::new(Kind::Unsupported, "the member is a directory"));
    }
    // Only a hint of its header, but it saves unpacking what would be refused at the end.
    if member.size() > UNPACK_LIMIT {
        let size = member.size();
        return Err(Error::new(Kind::Limit, format!("the member unpacks to {size} bytes"))
            .hint(format!("at most {} MiB; unpack it to a file first", UNPACK_LIMIT >> 20)));
    }
    let mut bytes = Vec::new();
    unpack(member, &mut bytes, UNPACK_LIMIT, &open.cancel)?;
    Ok(Box::new(Memory::read_only(bytes)))
}

/// Divides `ARCHIVE//MEMBER`: at the first `//` before which a file stands, for members may be named with one, and
/// paths written with one.
fn split<'a>(rest: &'a str, open: &Open) -> (&'a str, Option<Member<'a>>) {
    for (at, _) in rest.match_indices("//") {
        if at > 0 && beneath::is_file(open.root.as_deref(), Path::new(&rest[..at])) && at + 2 < rest.len() {
            return (&rest[..at], Some(Member::Name(&rest[at + 2..])));
        }
    }
    if let Some((path, index)) = rest.rsplit_once("::")
        && let Ok(index) = index.parse()
    {
        return (path, Some(Member::Index(index)));
    }
    match rest.split_once("//") {
        Some((path, name)) if !path.is_empty() && !name.is_empty() => (path, Some(Member::Name(name))),
        _ => (rest.strip_suffix("//").unwrap_or(rest), None),
    }
}

/// An error that names the members, so that the next try can be right.
fn list(archive: &Archive, problem: String) -> Error {
    // The list of an archive may be long, and it is hostile text.
    let names = (0..archive.len()).filter_map(|index| archive.name_for_index(index).map(|name| (index, name)));
    let mut shown: Vec<String> =
        names.take(LISTED).map(|(index, name)| format!("{index} '{}'", visible(name))).collect();
    if archive.len() > LISTED {
        shown.push(format!("and {} more", archive.len() - LISTED));
    }
    let members = if shown.is_empty() { "none".to_string() } else { shown.join(", ") };
    Error::new(Kind::NotFound, problem).hint(format!("ARCHIVE//NAME or ARCHIVE::INDEX; members: {members}"))
}

fn broken(error: ZipError) -> Error {
    match error {
        ZipError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::new(Kind::Format, "the archive ends in the middle")
        }
        ZipError::Io(error) => Error::os(&error),
        ZipError::UnsupportedArchive(what) => Error::new(Kind::Unsupported, visible(what).into_owned()),
        other => Error::new(Kind::Format, visible(&other.to_string()).into_owned()),
    }
}
