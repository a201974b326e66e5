//! Servers of this process, and commands for servers elsewhere in one go.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde::Serialize;

use super::hosts::line;
use crate::error::{Error, Kind, Result};
use crate::link::private;
use crate::output::{Executor, Item, Out, Style, visible};
use crate::session::context::Args;
use crate::session::hosts;
use crate::session::servers::{Guest, Kept, Request, Server};
use crate::session::{Session, config};

/// How often a server in the foreground looks for Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

/// `=r`.
pub fn rap(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    serve_or_ask(session, "rap", args, out)
}

/// `=t`.
pub fn tcp(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    serve_or_ask(session, "tcp", args, out)
}

/// `=g`.
pub fn gdb(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    serve(session, "gdb", &args.words, out)
}

/// `=g!`.
pub fn gdb_logged(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let words: Vec<String> = std::iter::once("--debug".to_string()).chain(args.words.iter().cloned()).collect();
    serve(session, "gdb", &words, out)
}

/// `=&g`.
pub fn gdb_behind(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    behind(session, "gdb", args, out)
}

/// `=&r`.
pub fn rap_behind(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    behind(session, "rap", args, out)
}

/// `=&t`.
pub fn tcp_behind(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    behind(session, "tcp", args, out)
}

/// `=h`.
pub fn http(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    serve(session, "http", &args.words, out)
}

/// `=h&`.
pub fn http_behind(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    behind(session, "http", args, out)
}

/// The web servers of this process.
fn web(session: &Session) -> Vec<(u32, Arc<dyn Server>)> {
    let servers = session.core().servers.list();
    servers.into_iter().filter(|(_, server)| matches!(server.service(), "http" | "https")).collect()
}

/// `=h-`.
pub fn http_stop(session: &mut Session, _args: &Args, _out: &mut Out<'_>) -> Result<()> {
    web(session).into_iter().try_for_each(|(id, _)| end(session, id))
}

/// `=h*`.
pub fn http_restart(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    http_stop(session, args, out)?;
    http_behind(session, args, out)
}

/// `=H`.
pub fn browse(session: &mut Session, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let server = match web(session).into_iter().next() {
        Some((_, server)) => server,
        None => start(session, "http", &args.words, None, out)?.1,
    };
    let Some(url) = server.invitation() else { return Ok(()) };
    let browser = config::lookup(&session.view.overrides, &session.core().config, "http.browser").to_string();
    open_page(&browser, &url)
}

/// Shows `url` in a browser. It lets whoever has it in, and arguments can be seen by everybody on this machine, so that
/// it goes through a file.
fn open_page(browser: &str, url: &str) -> Result<()> {
    let mut words = browser.split_whitespace();
    let Some(program) = words.next() else {
        return Err(Error::new(Kind::Usage, "http.browser names no program").hint("e http.browser=firefox"));
    };
    let path = private::state_directory()?.join("page.html");
    // Of an older one nothing is left to use.
    let _ = std::fs::remove_file(&path);
    let page = format!("<!doctype html><meta http-equiv=\"refresh\" content=\"0; url={url}\">\n");
    private::create(&path, page.as_bytes())?;
    let nobody = std::process::Stdio::null;
    let mut child = std::process::Command::new(program)
        .args(words)
        .arg(&path)
        .stdin(nobody())
        .stdout(nobody())
        .stderr(nobody())
        .env_remove("REMORA_TOKEN")
        .spawn()
        .map_err(|e| Error::system(format_args!("cannot start the browser '{program}'"), &e))?;
    // How it ends is for its user to see.
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// A place alone is where to serve, until Ctrl-C; with a command it is where to run that.
fn serve_or_ask(session: &mut Session, service: &str, args: &Args, out: &mut Out<'_>) -> Result<()> {
    // Flags are for servers; no command begins like one.
    let flags = args.words.iter().take(2).any(|word| word.starts_with("--"));
    if !flags && args.words.len() > 1 {
        return ask(session, service, args, out);
    }
    serve(session, service, &args.words, out)
}

/// Serves until Ctrl-C, or until the server has nothing more to do.
fn serve(session: &mut Session, service: &str, words: &[String], out: &mut Out<'_>) -> Result<()> {
    let (sender, events) = channel();
    let (id, server) = start(session, service, words, Some(sender), out)?;
    out.flush()?;
    while server.is_running() && !out.cancel().is_set() {
        match events.recv_timeout(TICK) {
            Ok(event) => out.note(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // Somebody may have stopped it with `=l-`, and then it is out of the table.
    let _ = session.core().servers.remove(id);
    server.stop();
    events.try_iter().for_each(|event| out.note(event));
    Ok(())
}

fn behind(session: &mut Session, service: &str, args: &Args, out: &mut Out<'_>) -> Result<()> {
    start(session, service, &args.words, None, out).map(drop)
}

/// Starts a server, registers it, and says where it listens.
fn start(
    session: &mut Session,
    service: &str,
    words: &[String],
    events: Option<Sender<String>>,
    out: &mut Out<'_>,
) -> Result<(u32, Arc<dyn Server>)> {
    let Some(doors) = &session.doors else {
        return Err(Error::new(Kind::Permission, "servers are started at the prompt that they end with, not here"));
    };
    let server = (doors.listen)(session, Request { service, words, events })?;
    let id = session.core().servers.add(Arc::clone(&server));
    let service = server.service();
    out.line(format_args!("{service}: listening at {}", server.address()))?;
    if let Some(url) = server.invitation() {
        out.note(format_args!("{service}: open {url}"));
    }
    server.warnings().into_iter().for_each(|warning| out.note(format_args!("{service}: {warning}")));
    Ok((id, server))
}

/// Connects, runs one command, and leaves.
fn ask(session: &mut Session, service: &str, args: &Args, out: &mut Out<'_>) -> Result<()> {
    let (place, command) = args.text.split_once(char::is_whitespace).unwrap_or((&args.text, ""));
    let place = match place.strip_prefix(':').unwrap_or(place) {
        port if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => format!("localhost:{port}"),
        place => place.to_string(),
    };
    let uri = if place.contains("://") { place } else { format!("{service}://{place}") };
    session.view.may_connect(hosts::scheme(&uri).0)?;
    let mut connected = hosts::connect(&uri, &line(session, out)?)?;
    if let Some(note) = connected.note {
        out.note(note);
    }
    let result = connected.host.execute(command.trim_start(), out);
    super::hosts::follow(session, connected.host.outcome());
    result
}

/// A server, as `=l` lists it.
#[derive(Serialize)]
struct Row {
    id: u32,
    service: &'static str,
    address: String,
    clients: Vec<ClientRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptRow>,
}

/// A process whose client was lost.
#[derive(Serialize)]
struct KeptRow {
    uri: String,
    of: String,
    running: bool,
    seconds: u64,
    left: u64,
}

#[derive(Serialize)]
struct ClientRow {
    id: u64,
    from: String,
    seconds: u64,
}

impl Item for Row {
    fn text(&self, out: &mut dyn Write, _style: Style) -> io::Result<()> {
        writeln!(out, "{} - {}://{}/", self.id, self.service, self.address)?;
        self.clients.iter().try_for_each(|client| {
            writeln!(out, "    client {} from {} for {} s", client.id, client.from, client.seconds)
        })?;
        self.kept.iter().try_for_each(|kept| {
            let (uri, of, does) =
                (visible(&kept.uri), visible(&kept.of), if kept.running { "runs" } else { "stopped" });
            writeln!(out, "    kept {uri} of {of}: {does}, lost for {} s, {} s left", kept.seconds, kept.left)
        })
    }
}

/// `=l`.
pub fn list(session: &mut Session, _args: &Args, out: &mut Out<'_>) -> Result<()> {
    let servers = session.core().servers.list();
    servers.into_iter().try_for_each(|(id, server)| {
        let row = |guest: Guest| ClientRow { id: guest.id, from: guest.peer, seconds: guest.connected.as_secs() };
        let kept = |kept: Kept| {
            let (seconds, left) = (kept.age.as_secs(), kept.left.as_secs());
            KeptRow { uri: kept.uri, of: kept.who, running: kept.running, seconds, left }
        };
        out.item(&Row {
            id,
            service: server.service(),
            address: server.address(),
            clients: server.guests().into_iter().map(row).collect(),
            kept: server.kept().into_iter().map(kept).collect(),
        })
    })
}

/// `=l-`.
pub fn stop(session: &mut Session, args: &Args, _out: &mut Out<'_>) -> Result<()> {
    let id = number(args)?;
    end(session, u32::try_from(id).unwrap_or(u32::MAX))
}

fn end(session: &Session, id: u32) -> Result<()> {
    let server = session.core().servers.remove(id)?;
    if session.doors.is_some() {
        server.stop();
    } else {
        // This may run in a thread that the server's end waits for.
        std::thread::spawn(move || server.stop());
    }
    Ok(())
}

/// `=lk`.
pub fn disconnect(session: &mut Session, args: &Args, _out: &mut Out<'_>) -> Result<()> {
    let servers = session.core().servers.clone();
    servers.disconnect(number(args)?)
}

fn number(args: &Args) -> Result<u64> {
    let word = args.words.first().map(String::as_str).unwrap_or_default();
    word.parse().map_err(|_| Error::new(Kind::Usage, format!("'{word}' is not a number as '=l' shows them")))
}
