//! The documented sessions, line by line, with real processes.

use std::collections::VecDeque;
use std::sync::mpsc::channel;

use super::{Process, Typed, listener, port, typed};
use crate::harness::{run, session};

#[test]
fn a_session_with_two_hosts() {
    let (one, two) = (Process::serve(&["rap://:0"]), Process::serve(&["rap://:0"]));
    let (first, second) = (&one.place, &two.place);
    // dbg:// stands for any other URI of the far side; file:// is one that every machine can open.
    let lines = format!(
        "=+ rap://{first}//bin/ls\n=\n=+ =+ rap://{second}/file:///bin/ls\n=0 p8 4\n= s 0x666\n=0 s\n==1\np8 2\ns\nq\ns\n=-\n=\n"
    );
    let said = typed(&["-N", "-q", "-"], &lines);
    let wanted = format!(
        "Connected to: 127.0.0.1 at port {}\nwaiting... ok\n\
         0 - rap://{first}//bin/ls\n\
         Connected to: 127.0.0.1 at port {}\nwaiting... ok\n\
         0 - rap://{first}//bin/ls\n1 - rap://{second}/file:///bin/ls\n\
         7f454c46\n0x666\n7f45\n0x0\n0x0\n",
        port(first),
        port(second)
    );
    assert_eq!(said.err, "");
    assert_eq!(said.out, wanted);
}

#[test]
fn uris_of_the_far_side_are_its_own_to_open() {
    let there = Process::serve(&["rap://:0"]);
    let mut here = session("malloc://512");
    let said = run(&mut here, &format!("=+ rap://{}/dbg:///no/such/program", there.place));
    assert!(said.err.starts_with(&format!("Error: 'dbg:///no/such/program' cannot be opened at {}", there.place)));
    assert_eq!((said.err.lines().count(), run(&mut here, "=").out.as_str()), (1, ""));
    let said = run(&mut here, &format!("=+ rap://{}/malloc://32;=0 px 16~0x0000", there.place));
    assert!(said.out.ends_with("0x00000000  0000 0000 0000 0000 0000 0000 0000 0000  ................\n"), "{said:?}");
}

#[test]
fn a_session_with_one_host_shows_its_number() {
    let there = Process::serve(&["rap://:0"]);
    let mut here = session("malloc://512");
    run(&mut here, &format!("=+ rap://{0}//bin/ls;=+ rap://{0}//bin/ls", there.place));
    let (prompts, shown) = channel();
    here.lines = Some(Box::new(Typed { lines: VecDeque::from(["p8 4", "q"]), prompts }));
    assert_eq!(run(&mut here, "==1").out, "7f454c46\n");
    assert_eq!(shown.try_iter().collect::<Vec<_>>(), ["fd:1> "; 2]);
}

#[test]
fn output_is_redirected_to_a_listener() {
    let (at, received) = listener(None);
    let lines = format!("=+ tcp://{at}/\n=<0 ?e redirected\n=< p8 2\n=-\n");
    let said = typed(&["-N", "-q", "-"], &lines);
    let wanted = format!("Connected to: 127.0.0.1 at port {}\n0 - tcp://{at}/\n", port(&at));
    assert_eq!((said.out, said.err), (wanted, String::new()));
    let text = received.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(text, b"redirected\n0000\n");
}

#[test]
fn servers_are_started_from_a_prompt_and_asked_in_one_go() {
    let there = Process::serve(&["rap://:0"]);
    let at = &there.place;
    let said = typed(&["-N", "-q", "-"], &format!("=r {at} ?e one\nRr {at} ?e two\n=r :{} ?e three\n=\n", port(at)));
    assert_eq!((said.out.as_str(), said.err.as_str()), ("one\ntwo\nthree\n", ""));
    // The program ends though its servers run.
    let said = typed(&["-N", "-q", "-"], "=&r 0\n=&t 0\n=l~?\n");
    assert_eq!(said.out.lines().last(), Some("2"), "{said:?}");
}
