//! A session with a process, shared by several clients.

use std::time::{Duration, Instant};

use super::far::gone;
use super::{PATIENCE, fixture_with};
use crate::harness::{run, session};
use crate::remote::place;

#[test]
fn a_client_that_may_only_look_sees_how_it_stops() {
    let Some(program) = fixture_with("commands", &["-O0", "-no-pie"]) else { return };
    let mut there = session(&format!("dbg://{}", program.display()));
    remora::serve::offer(&mut there);
    let driving = place(&run(&mut there, "=&r --allow debug 0").out);
    let looking = place(&run(&mut there, "=&r --deny write,files 0").out);
    let process: u32 = run(&mut there, "dpq").out.trim().parse().unwrap();
    let mut driver = session("malloc://16");
    run(&mut driver, &format!("=+ rap://{driving}/"));
    let mut watcher = session("malloc://16");
    run(&mut watcher, &format!("=+ rap://{looking}/"));
    assert_eq!(run(&mut watcher, "=0 ?e here").out, "here\n");
    let main = run(&mut driver, "=0 dm~commands[0]:0").out;
    assert!(!main.trim().is_empty());
    // Whoever drives is answered; whoever looks is told, without having asked.
    let said = run(&mut driver, "=0 ds;=0 dr rip");
    assert!(said.out.starts_with("0x") || said.out.contains("0x"), "{said:?}");
    let deadline = Instant::now() + PATIENCE;
    let mut heard = String::new();
    while !heard.contains("stopped at 0x") {
        assert!(Instant::now() < deadline, "nothing is told: {heard}");
        std::thread::sleep(Duration::from_millis(10));
        heard.push_str(&run(&mut watcher, "=0 ?e still").err);
    }
    // Memory may be looked at; the process is not touched.
    let rip = run(&mut driver, "=0 dr rip").out;
    let bytes = run(&mut watcher, &format!("=0 p8 4 @ {}", rip.trim()));
    assert_eq!(bytes.out.trim().len(), 8, "{bytes:?}");
    for command in ["dc", "ds", "dr rip=0", "db main", "dk 9", "wx 90"] {
        let said = run(&mut watcher, &format!("=0 {command}"));
        assert!(said.err.contains("is not permitted here"), "{command}: {said:?}");
    }
    assert_eq!(run(&mut driver, "=0 dr rip").out, rip);
    run(&mut there, "=l- 0;=l- 1");
    drop(there);
    gone(process);
}
