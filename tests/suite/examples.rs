//! The examples in the declarations of commands run as tests.

use crate::harness::{run, session};
use remora::commands;

#[test]
fn every_example_prints_what_it_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for command in commands::all() {
        for example in command.examples {
            count += 1;
            let said = run(&mut session("malloc://512"), example.line);
            if said.out.trim_end_matches('\n') != example.shows.trim_end_matches('\n') || !said.err.is_empty() {
                wrong.push(format!(
                    "{}\n  shows {:?}\n  not   {:?} {:?}",
                    example.line, said.out, example.shows, said.err
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} examples differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 0);
}

#[test]
fn names_are_unique_and_every_command_is_explained() {
    let mut seen = std::collections::HashSet::new();
    for command in commands::all() {
        for name in std::iter::once(&command.name).chain(command.aliases) {
            assert!(seen.insert(*name), "'{name}' is declared twice");
        }
        assert!(!command.summary.is_empty(), "'{}' has no summary", command.name);
    }
}
