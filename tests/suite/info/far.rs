//! Tests: a program at the far end of a slow line is looked into for a few round trips and a small part of its bytes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use remora::io::Access;
use remora::io::plugin::rap::Remote;
use remora::link::rap::Target;
use remora::output::Cancel;
use remora::serve::Clients;
use remora::session::{Load, Session};

use super::absent;
use crate::harness::run;
use crate::rap::device::{Traffic, counted};

/// A session with the file at `path` open over a line of 100 ms, and what crossed the line.
fn far(path: &str) -> (Session, Traffic, Arc<Clients>) {
    let target = Target {
        place: "memory".to_string(),
        path: path.to_string(),
        flags: 5,
        timeout: Duration::from_secs(10),
        cancel: Cancel::new(),
    };
    let (client, traffic, clients) = counted(Duration::from_millis(50), target);
    let mut session = Session::new();
    session.with(|core, view| {
        let fd = core.io.adopt("rap://memory", Access::RX, Box::new(Remote::new(client, Access::RX)));
        view.seek = core.load(fd, Load { known: true, ..Load::default() }).unwrap().unwrap_or(0);
    });
    (session, traffic, clients)
}

#[test]
fn a_program_costs_six_round_trips_and_a_twelfth_of_its_bytes() {
    let path = ["/usr/bin/python3.11", "/usr/bin/python3.12", "/usr/bin/python3.13", "/usr/bin/gdb"]
        .into_iter()
        .find(|path| Path::new(path).is_file());
    let Some(path) = path else { return absent("python3", "a program of some megabytes is looked into") };
    let (mut session, traffic, _clients) = far(path);
    let said = run(&mut session, "i;iS;is~main;pd 64 @ entry0");
    assert_eq!(said.err, "");
    let mut near = super::loaded(Path::new(path));
    let expected = run(&mut near, "iS;is~main;pd 64 @ entry0").out;
    assert!(said.out.ends_with(&expected), "{}", said.out);
    let size = std::fs::metadata(path).unwrap().len();
    let (trips, received) = (traffic.flights.load(Ordering::SeqCst), traffic.received.load(Ordering::SeqCst));
    assert!(trips <= 6, "{trips} round trips");
    assert!(received * 100 < size * 8, "{received} of {size} bytes");
}

#[test]
fn what_is_not_asked_for_does_not_travel() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = super::built(folder.path(), "program", &["-g"]) else { return };
    // As long as a program of 100 MB, without being one on disk.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(100 << 20).unwrap();
    let (mut session, traffic, _clients) = far(&path.to_string_lossy());
    let before = traffic.received.load(Ordering::SeqCst);
    assert!(before < 300_000, "{before} bytes to open it");
    assert!(run(&mut session, "i;iS;iSS;ie").out.contains(".debug_info"));
    assert!(traffic.received.load(Ordering::SeqCst) < 400_000);
    assert!(traffic.flights.load(Ordering::SeqCst) <= 5);
    assert_eq!(run(&mut session, "?v main").out, run(&mut super::loaded(&path), "?v main").out);
}
