//! The syntax tree of a line or script. It owns its text and knows no session.

/// A line or a whole script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// The statements in order.
    pub statements: Vec<Statement>,
}

/// One command with everything that is attached to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text that it was made of.
    pub source: String,
    /// How often it runs (`3p8 1`).
    pub count: u64,
    /// The command.
    pub head: Head,
    /// What is attached to it; each wraps everything before it.
    pub suffixes: Vec<Suffix>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A name and arguments; the first argument may still be glued to the name.
    Command(Vec<Word>),
    /// `"whole command"`: the text between the quotes, in which nothing is special.
    Whole(String),
    /// A number by itself: go there.
    Seek(Vec<Word>),
    /// A command whose argument is text in another language (`!ls | wc`) or for later (`& cmd`).
    Raw {
        /// The command's name in the table.
        name: &'static str,
        /// Its only argument; may be empty.
        text: String,
    },
    /// `(name a b; body)`, and the arguments of an immediate call `(…)(1 2)`.
    Macro {
        /// What stands between the parentheses.
        text: String,
        /// The arguments of the call.
        call: Option<Vec<Word>>,
    },
    /// `@?` and its like: help about an operator.
    Help(String),
}

/// A piece of a line that becomes one argument, or several when an unquoted substitution has blanks in it.
pub type Word = Vec<Part>;

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Plain text.
    Text(String),
    /// Text that was quoted or escaped.
    Quoted(String),
    /// `'A'`: one quoted character, which in an expression is a number.
    Character(char),
    /// `` `cmd` `` or `$(cmd)`: the output of a script.
    Output {
        /// What runs.
        script: Script,
        /// Whether it stands in double quotes, so that its blanks do not separate arguments.
        quoted: bool,
    },
}

/// What follows a command and changes how it runs or where its output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suffix {
    /// `@ addr`, `@x:9090`, …: a temporary change.
    At(Vec<Word>),
    /// `@@…` and `@@@…`.
    Each(Iterator),
    /// `~…`: the text after the tilde.
    Grep(Word),
    /// `| prog`: the rest belongs to the system's shell.
    Pipe(String),
    /// `|` alone: no colours.
    Plain,
    /// `|H`: the output as HTML.
    Html,
    /// `|.` and a leading `.`: the output is run as commands.
    Interpret,
    /// `> file` and its like.
    Redirect(Redirect),
}

/// An iterator: the command runs once for each address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iterator {
    /// `@@@`: addresses with sizes.
    pub sized: bool,
    /// A blank after the operator: the old dialect's globs and numbers.
    pub spaced: bool,
    /// What follows the operator.
    pub words: Vec<Word>,
}

/// Where output goes instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// What is redirected.
    pub what: Stream,
    /// `>>`: append.
    pub append: bool,
    /// A path, or `$alias`.
    pub target: Word,
}

/// What a redirect takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The answer.
    Output,
    /// The answer as HTML (`H>`).
    Html,
    /// Errors and notes (`2>`).
    Errors,
}
