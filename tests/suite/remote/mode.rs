//! Remote command mode.

use remora::serve::ServeOptions;

use super::{host, place, typed};
use crate::harness::{run, session};
use crate::rap::Running;

#[test]
fn statements_go_there_whole_and_the_family_stays_here() {
    let server = Running::start(ServeOptions::default());
    let at = server.place();
    let mut here = session("malloc://512");
    run(&mut here, &format!("s 0x40;=+ rap://{at}/malloc://64;=!=0"));
    // Filters, repeats and several commands happen there; none of it leaves a trace here.
    assert_eq!(run(&mut here, "s 0x10;s").out, "0x10\n");
    assert_eq!(run(&mut here, "p8 2~00;2p8 1 @ 4").out, "0000\n00\n00\n");
    assert_eq!((here.view.seek, here.view.remote), (0x40, Some(0)));
    assert_eq!(run(&mut here, "w hi @ 0;p8 2 @ 0").out, "6869\n");
    assert_eq!(run(&mut here, "=;R").out, format!("0 - rap://{at}/malloc://64\n").repeat(2));
    // A command whose output goes elsewhere runs here, as its own escape says.
    assert!(run(&mut here, "=< 0 px").err.starts_with("Error: Cannot use '=<' to a rap connection."));
    // What is wrong is for the other side to say, also when it is no sentence here.
    let quux = run(&mut here, "quux");
    assert_eq!((quux.out.as_str(), quux.err.as_str()), ("", "Error: Command 'quux' does not exist.\n"));
    assert!(run(&mut here, "?e a(b").err.starts_with("Error: "));
    assert_eq!(run(&mut here, "!=!;p8 2 @ 0;s").out, "0000\n0x40\n");
    assert_eq!(run(&mut here, "R!= 0;p8 2 @ 0;R=!;p8 2 @ 0").out, "6869\n0000\n");
    run(&mut here, "=!=;q");
    assert_eq!((here.view.remote, here.view.quit), (None, None));
}

#[test]
fn the_place_over_there_is_asked_for_once() {
    let server = Running::start(ServeOptions::default());
    let mut here = session("malloc://512");
    run(&mut here, &format!("=+ rap://{}/malloc://64;=!=;s 0x20", server.place()));
    let cancel = remora::output::Cancel::new();
    let before = here.hosts.get(0).unwrap().peer.traffic().round_trips;
    for _ in 0..3 {
        assert_eq!(here.hosts.get(0).unwrap().seek(&cancel), Some(0x20));
    }
    assert!(here.hosts.get(0).unwrap().peer.traffic().round_trips <= before + 1);
    assert_eq!(here.view.seek, 0);
}

#[test]
fn a_dead_host_is_named_and_can_be_left() {
    let server = Running::start(ServeOptions::default());
    let at = server.place();
    let mut here = session("malloc://512");
    run(&mut here, &format!("=+ rap://{at}/malloc://64;=!="));
    drop(server);
    let said = run(&mut here, "px;px");
    let refused = format!("Error: cannot connect to {at}: Connection refused\n");
    assert_eq!(said.err, format!("{at} says: stopping\n{refused}{refused}"));
    assert_eq!(here.view.remote, Some(0));
    assert_eq!(here.hosts.get(0).unwrap().seek(&Default::default()), None);
    assert_eq!(run(&mut here, "!=!;p8 1").out, "00\n");
    let said = run(&mut here, "=!=;=-0;p8 1");
    assert_eq!((said.out.as_str(), said.err.as_str()), ("00\n", "the remote command mode has ended with its host\n"));
    assert!(run(&mut here, "=!=9999").err.starts_with("Error: Unknown host"));
    assert_eq!(here.view.remote, None);
}

#[test]
fn the_program_starts_in_the_mode() {
    let mut there = host();
    let rap = place(&run(&mut there, "=&r 0;s 0x30").out);
    let tcp = place(&run(&mut there, "=&t 0").out);
    for uri in [format!("rap://{rap}"), format!("tcp://{tcp}")] {
        let said = typed(&["-N", "-q", "-C", &uri], "s 0x11\ns\n!=!\np8 1\n");
        assert_eq!((said.out.as_str(), said.err.as_str()), ("0x11\nff\n", ""), "{uri}");
    }
    let said = typed(&["-N", "-C", &format!("rap://{rap}"), "-qc", "p8 2;=-"], "");
    assert_eq!(said.out, "0000\n");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let said = typed(&["-N", "-C", &closed, "-qc", "px"], "");
    assert_eq!(said.err, format!("Error: cannot connect to {closed}: Connection refused\n"));
}
