//! `remora gdbserver`: drops in where scripts and front ends call gdbserver.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::arguments::{Door, FLAGS, Wanted, What, parse};
use super::stdio::Standard;
use super::{SERVICE, Stub};
use crate::debug::Target;
use crate::debug::ptrace::Ptrace;
use crate::error::{Error, Kind, Result};
use crate::link::dial::Place;
use crate::serve::{Clients, Home, ServeOptions, Server};
use crate::session::Session;
use crate::session::servers::{self, Guest, Request};

/// How often a server looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

const USAGE: &str = "\
remora gdbserver [FLAGS] PLACE PROGRAM [ARGUMENTS]
remora gdbserver [FLAGS] --attach PLACE PID
remora gdbserver [FLAGS] --multi PLACE

PLACE is [HOST:]PORT (without a host for this machine alone, port 0 takes a free one), gdbs://HOST:PORT,
gdb+unix:///path/of/socket, or stdio (-).

";

/// A target of this machine, without a process yet.
fn here() -> Result<Box<dyn Target>> {
    Ok(Box::new(Ptrace::new()?))
}

/// Runs with the words behind `gdbserver`; the exit code.
pub fn main(words: &[String]) -> Result<i32> {
    match words.first().map(String::as_str) {
        Some("--version") => {
            println!("remora gdbserver {} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
            return Ok(0);
        }
        Some("--help") | None => {
            let flags: Vec<String> = crate::serve::arguments::FLAGS
                .iter()
                .map(|flag| format!("  {:<29} {}\n", [flag.name, flag.value.unwrap_or_default()].join(" "), flag.help))
                .collect();
            let text = format!("{USAGE}{FLAGS}{}", flags.concat());
            if words.is_empty() {
                eprint!("{text}");
                return Ok(1);
            }
            print!("{text}");
            return Ok(0);
        }
        _ => {}
    }
    let wanted = parse(words)?;
    if wanted.what == What::Nothing && !wanted.manner.multi {
        return Err(
            Error::new(Kind::Usage, "a program, --attach PID or --multi is missing").hint("remora gdbserver --help")
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Error::system("cannot catch signals", &error))?;
    }
    let Wanted { door, what, mut manner, options } = wanted;
    manner.narrates = true;
    let stub = Arc::new(Stub::own(here()?, manner));
    let options = ServeOptions { stub: Some(Arc::clone(&stub)), ..options };
    let serve: Box<dyn Fn()> = match door {
        Door::Listen(place) => {
            let server = listen(&place, options)?;
            begin(&stub, &what)?;
            match &place {
                Place::Unix(_) => eprintln!("Listening on {}", server.place()),
                _ => eprintln!("Listening on port {}", server.address().port()),
            }
            for line in server.announcements() {
                eprintln!("gdb: {line}");
            }
            let running = server.clone();
            let thread = Builder::new()
                .name("gdb-accept".into())
                .spawn(move || running.attend())
                .map_err(|error| Error::system("cannot start a thread", &error))?;
            let thread = std::sync::Mutex::new(Some(thread));
            Box::new(move || {
                server.stop();
                if let Some(thread) = thread.lock().ok().and_then(|mut thread| thread.take()) {
                    // A panic was reported when it happened.
                    let _ = thread.join();
                }
            })
        }
        Door::Standard => {
            begin(&stub, &what)?;
            eprintln!("Remote debugging using stdio");
            let clients = Clients::new(&SERVICE, options)?;
            clients.admit(Box::new(Standard::new()))?;
            let ended = Arc::clone(&stub);
            // There is no second connection.
            while !ended.has_ended(TICK) && !stop.load(Ordering::SeqCst) && !clients.guests().is_empty() {}
            clients.stop();
            return Ok(0);
        }
    };
    while !stub.has_ended(TICK) && !stop.load(Ordering::SeqCst) {}
    serve();
    Ok(0)
}

fn listen(place: &Place, options: ServeOptions) -> Result<Server> {
    Server::listen_at(&SERVICE, place, options).map_err(|error| match error.message().contains("in use") {
        // What scripts look for.
        true => Error::new(error.kind(), "Can't bind address: Address already in use."),
        false => error,
    })
}

/// Starts or attaches, and says so as gdbserver does.
fn begin(stub: &Stub, what: &What) -> Result<()> {
    match what {
        What::Program => {
            let process = stub.start()?;
            if let (Some(process), Some(launch)) = (process, &stub.manner.launch) {
                eprintln!("Process {} created; pid = {process}", launch.program);
            }
            Ok(())
        }
        What::Process(process) => {
            stub.with(|target| target.attach(*process))?;
            eprintln!("Attached; pid = {process}");
            Ok(())
        }
        What::Nothing => Ok(()),
    }
}

/// What `=g` has started.
pub enum Offered {
    /// It listens.
    Listening(Server),
    /// It speaks over standard input and output.
    Standard(Piped),
}

/// A debugger at the other end of standard input and output.
pub struct Piped {
    clients: Clients,
    stub: Arc<Stub>,
}

impl servers::Server for Piped {
    fn service(&self) -> &'static str {
        SERVICE.name
    }

    fn address(&self) -> String {
        "stdio".to_string()
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn guests(&self) -> Vec<Guest> {
        self.clients.guests()
    }

    fn disconnect(&self, guest: u64) -> bool {
        self.clients.disconnect(guest)
    }

    fn is_running(&self) -> bool {
        // There is no second connection.
        !self.stub.has_ended(Duration::ZERO) && !self.clients.guests().is_empty()
    }

    fn stop(&self) {
        self.clients.stop();
    }
}

/// Starts a server for `=g`.
///
/// # Errors
/// As [`Server::listen_at`], and when the program cannot be started.
pub fn offer(session: &Session, request: Request<'_>, home: Arc<Home>) -> Result<Offered> {
    let Wanted { door, what, mut manner, options } = parse(request.words)?;
    if door == Door::Standard && (request.events.is_none() || std::io::stdin().is_terminal()) {
        let error = Error::new(Kind::Usage, "standard input belongs to the prompt");
        return Err(error.hint("as the only command of a script, or: remora gdbserver stdio PROGRAM"));
    }
    if let (Some(_), Some(events)) = (&manner.log, &request.events) {
        manner.log = Some(super::Log::Events(events.clone()));
    }
    let alone = what == What::Nothing && !manner.multi;
    let stub = Arc::new(if alone { Stub::shared(session.shared(), manner)? } else { Stub::own(here()?, manner) });
    let options = ServeOptions { home: Some(home), events: request.events, stub: Some(Arc::clone(&stub)), ..options };
    let place = match door {
        Door::Listen(place) => place,
        Door::Standard => {
            begin(&stub, &what)?;
            let clients = Clients::new(&SERVICE, options)?;
            clients.admit(Box::new(Standard::new()))?;
            return Ok(Offered::Standard(Piped { clients, stub }));
        }
    };
    let server = listen(&place, options)?;
    begin(&stub, &what)?;
    let watched = server.clone();
    Builder::new()
        .name("gdb-end".into())
        .spawn(move || {
            while watched.is_running() {
                if stub.has_ended(TICK) {
                    watched.stop();
                }
            }
        })
        .map_err(|error| Error::system("cannot start a thread", &error))?;
    Ok(Offered::Listening(server))
}
