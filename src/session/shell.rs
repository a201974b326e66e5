//! What the shell remembers between lines for one client: last output, environment, background tasks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::output::Cancel;

/// Aliases in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub struct Aliases {
    list: Vec<(String, String)>,
}

impl Aliases {
    /// What `name` stands for.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Lets `name` stand for `value`; an existing alias keeps its place.
    pub fn insert(&mut self, name: &str, value: String) {
        match self.list.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.list.push((name.to_string(), value)),
        }
    }

    /// Forgets `name`.
    pub fn remove(&mut self, name: &str) {
        self.list.retain(|(other, _)| other != name);
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The values of a macro's parameters while its body runs.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Declared names, in order.
    pub parameters: Vec<String>,
    /// Their values.
    pub values: Vec<String>,
}

impl Frame {
    /// Puts the values into `text`: for `$0`, for `$name` and, with `bare`, for a declared name that stands as a word
    /// of its own. `text` has been parsed already, so that a value is data whatever characters it holds.
    pub fn fill(&self, text: &str, bare: bool) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        let mut at_border = true;
        while let Some(c) = rest.chars().next() {
            let (sign, after) = if c == '$' { (true, &rest[1..]) } else { (false, rest) };
            let length = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
            let word = &after[..length];
            if !word.is_empty() && (sign || at_border) {
                let index = self.parameters.iter().position(|parameter| parameter == word);
                let index = if sign { word.parse().ok().or(index) } else { index.filter(|_| bare) };
                match index.and_then(|index: usize| self.values.get(index)) {
                    Some(value) => filled.push_str(value),
                    None => filled.push_str(&rest[..length + usize::from(sign)]),
                }
                rest = &after[length..];
                at_border = false;
                continue;
            }
            filled.push(c);
            rest = &rest[c.len_utf8()..];
            at_border = " \t@=+-*,:[(;".contains(c);
        }
        filled
    }
}

/// The shell's memory of one client.
#[derive(Default)]
pub struct ShellState {
    /// The parameters of the macros that are running, the innermost last.
    pub frames: Vec<Frame>,
    /// What the last statement printed (`_`), up to [`ShellState::OUTPUT_LIMIT`] bytes.
    pub last_output: Vec<u8>,
    /// The last line (`.`).
    pub last_line: String,
    /// Set by `()`: the enclosing macro or iteration ends.
    pub leave: bool,
    /// Environment variables that this client set (`None`: unset) for the programs it runs.
    pub environment: BTreeMap<String, Option<String>>,
    /// The background tasks of this client; they end with it.
    pub tasks: Tasks,
}

impl ShellState {
    /// Longest output that `_` can repeat, in bytes.
    pub const OUTPUT_LIMIT: usize = 1 << 20;
}

/// Whether a task still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Its thread is at work.
    Running,
    /// It ended by itself or was broken off.
    Done,
}

/// What a task's thread shares with the session that started it.
#[derive(Debug)]
pub struct Progress {
    /// Whether it still runs.
    pub state: TaskState,
    /// What it has printed: answers and errors.
    pub output: Vec<u8>,
}

/// A command line that runs in the background.
pub struct Task {
    /// Number shown to the user, from 1 (0 is the session itself).
    pub id: u32,
    /// The command line.
    pub command: String,
    /// Whether it disappears from the list when it is done.
    pub transient: bool,
    /// Ends it.
    pub cancel: Cancel,
    /// Its state and output.
    pub progress: Arc<Mutex<Progress>>,
    /// Its thread, until somebody has waited for it.
    pub thread: Option<JoinHandle<()>>,
}

impl Task {
    /// The state and output, locked.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it still runs.
    pub fn running(&self) -> bool {
        self.progress().state == TaskState::Running
    }

    /// Waits for its thread.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the task has been printed by its thread; here only its end matters.
            let _ = thread.join();
        }
    }
}

/// The background tasks of one client. Dropping the list ends them all.
#[derive(Default)]
pub struct Tasks {
    /// The tasks, by number.
    pub list: Vec<Task>,
    /// How many were started so far.
    pub started: u32,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.list {
            task.cancel.set();
        }
        for task in &mut self.list {
            task.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_replace_numbers_and_names() {
        let frame = Frame {
            parameters: vec!["s".to_string(), "len".to_string()],
            values: vec!["0x10".to_string(), "4".to_string()],
        };
        assert_eq!(frame.fill("$0", false), "0x10");
        assert_eq!(frame.fill("wv$1", false), "wv4");
        assert_eq!(frame.fill("s", false), "s");
        assert_eq!(frame.fill("len", true), "4");
        assert_eq!(frame.fill("$len+$$+$b+$9", true), "4+$$+$b+$9");
        assert_eq!(frame.fill("lens é", true), "lens é");
    }
}
