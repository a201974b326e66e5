//! Round trips: what is asked for at once, and what is kept.

use super::{Stub, debug, fixture, has};

/// The numbers of round trips that `=!traffic` printed.
fn trips(out: &str) -> Vec<u64> {
    let lines = out.lines().filter(|line| line.ends_with(" received"));
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn connecting_and_stepping_cost_few_round_trips() {
    let Some(program) = fixture("cc", &["-no-pie"]).filter(|_| has("gdbserver")) else { return };
    let (_stub, uri) = Stub::gdbserver(&program, &["r"]);
    // Names of code are looked up when code is first shown: what is loaded where is asked for then, once.
    let line = "dr=~?; px 64; =!traffic; pd 4; =!traffic; ds; dr=~?; pd 4; px 64 @ rsp; =!traffic; ds 10; =!traffic; px 64; dr=~?; =!traffic";
    let (out, err) = debug(&uri, line);
    let [connected, named, stepped, ten, again] = trips(&out)[..] else { panic!("{out}{err}") };
    assert!(connected <= 6, "{connected} round trips until registers and code are shown: {out}");
    assert!(named - connected <= 12, "{} round trips for the names of what is loaded", named - connected);
    assert!(stepped - named <= 3, "{} round trips for a step with its screen", stepped - named);
    assert!(ten - stepped <= 12, "{} round trips for ten steps", ten - stepped);
    assert_eq!(again, ten, "what is known is not asked for again");
}
