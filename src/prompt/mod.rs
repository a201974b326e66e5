//! The interactive prompt: line editing, history, completion.

pub mod completion;

use std::borrow::Cow;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use reedline::{
    ColumnarMenu, CompletionResult, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, PromptEditMode,
    PromptHistorySearch, PromptHistorySearchStatus, Reedline, ReedlineEvent, ReedlineMenu, Signal, Span, Suggestion,
    default_emacs_keybindings,
};

use crate::error::{Error, Result};
use crate::session::hosts::Peer;
use crate::session::{LineSource, Session};

/// Lines that the history keeps.
const HISTORY: usize = 10_000;

/// What came of reading a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C: the line was thrown away.
    Cleared,
    /// Ctrl-D, or the end of the input.
    End,
}

/// What the completion may ask while a line is being edited.
#[derive(Default)]
enum Knows {
    #[default]
    Nothing,
    Session(Box<Session>),
    Peer(Box<dyn Peer>),
}

/// The session or the host, lent to the completion.
type Lent = Arc<Mutex<Knows>>;

/// A line editor at the terminal.
pub struct Prompt {
    editor: Reedline,
    lent: Lent,
}

impl Prompt {
    /// An editor whose history is kept in the file `history`, which only the user can read. Without a file, or when
    /// it cannot be used, the history lasts as long as the program.
    pub fn new(history: Option<&Path>) -> Prompt {
        let lent = Lent::default();
        let mut keys = default_emacs_keybindings();
        keys.add_binding(
            KeyModifiers::NONE,
            KeyCode::Tab,
            ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu("completion".into()), ReedlineEvent::MenuNext]),
        );
        let menu = ColumnarMenu::default().with_name("completion");
        let mut editor = Reedline::create()
            .with_completer(Box::new(Completer(Arc::clone(&lent))))
            .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
            .with_quick_completions(true)
            .with_partial_completions(true)
            .use_bracketed_paste(true)
            .with_edit_mode(Box::new(Emacs::new(keys)))
            .with_ansi_colors(false);
        if let Some(path) = history
            && private(path).is_ok()
            && let Ok(history) = FileBackedHistory::with_file(HISTORY, path.to_path_buf())
        {
            editor = editor.with_history(Box::new(history));
        }
        Prompt { editor, lent }
    }

    /// Reads a line after `prompt`, completing it from what `session` knows.
    pub fn read(&mut self, session: &mut Session, prompt: &str) -> Result<Read> {
        *self.slot() = Knows::Session(Box::new(std::mem::take(session)));
        let read = self.read_line(prompt);
        if let Knows::Session(lent) = std::mem::take(&mut *self.slot()) {
            *session = *lent;
        }
        read
    }

    /// Reads a line after `prompt` for the host that `peer` holds, completing it from what the host says.
    fn read_for(&mut self, prompt: &str, peer: &mut Option<Box<dyn Peer>>) -> Result<Read> {
        *self.slot() = peer.take().map_or(Knows::Nothing, Knows::Peer);
        let read = self.read_line(prompt);
        if let Knows::Peer(lent) = std::mem::take(&mut *self.slot()) {
            *peer = Some(lent);
        }
        read
    }

    /// Reads a line after `prompt`, without completion.
    fn read_line(&mut self, prompt: &str) -> Result<Read> {
        let signal = self.editor.read_line(&Text(prompt));
        // Other running programs see the line at once; a full disk must not take the prompt away.
        let _ = self.editor.sync_history();
        match signal {
            Ok(Signal::Success(line)) => Ok(Read::Line(line)),
            Ok(Signal::CtrlD) => Ok(Read::End),
            Ok(_) => Ok(Read::Cleared),
            Err(error) => Err(Error::system("cannot read from the terminal", &error)),
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Knows> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A prompt for the program and for sessions inside its session.
#[derive(Clone)]
pub struct SharedPrompt(Arc<Mutex<Prompt>>);

impl SharedPrompt {
    /// Shares `prompt`.
    pub fn new(prompt: Prompt) -> SharedPrompt {
        SharedPrompt(Arc::new(Mutex::new(prompt)))
    }

    /// See [`Prompt::read`].
    pub fn read(&self, session: &mut Session, prompt: &str) -> Result<Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(session, prompt)
    }
}

impl LineSource for SharedPrompt {
    fn read_line(&mut self, prompt: &str) -> Option<String> {
        self.read_line_for(prompt, &mut None)
    }

    fn read_line_for(&mut self, prompt: &str, peer: &mut Option<Box<dyn Peer>>) -> Option<String> {
        let mut editor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match editor.read_for(prompt, peer) {
                Ok(Read::Line(line)) => return Some(line),
                Ok(Read::Cleared) => {}
                Ok(Read::End) | Err(_) => return None,
            }
        }
    }
}

/// Makes sure that `path` exists and is the user's alone.
fn private(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// The prompt's text, and nothing else.
struct Text<'a>(&'a str);

impl reedline::Prompt for Text<'_> {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        self.0.into()
    }
    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }
    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "".into()
    }
    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "> ".into()
    }
    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "failing ",
        };
        format!("({failing}search: {}) ", search.term).into()
    }
}

struct Completer(Lent);

impl reedline::Completer for Completer {
    fn complete(&mut self, line: &str, cursor: usize) -> CompletionResult {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let completion = match &mut *lent {
            Knows::Nothing => return CompletionResult::fresh(Vec::new()),
            Knows::Session(session) => completion::complete(line, cursor, session),
            Knows::Peer(peer) => completion::complete_for(line, cursor, &mut **peer),
        };
        let span = Span::new(completion.start, cursor);
        let suggestions: Vec<Suggestion> = completion
            .candidates
            .into_iter()
            .map(|candidate| Suggestion {
                value: candidate.text,
                description: candidate.summary.map(str::to_string),
                append_whitespace: candidate.complete,
                span,
                ..Suggestion::default()
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_history_is_the_users_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/remora/history");
        drop(Prompt::new(Some(&path)));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn a_history_that_cannot_be_kept_is_no_obstacle() {
        drop(Prompt::new(Some(Path::new("/dev/null/history"))));
        drop(Prompt::new(None));
    }
}
