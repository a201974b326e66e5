//! The table of options (`e`): name, default, meaning. Help, completion, docs and checks come from it.

/// What kind of value an option has, with its default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// `true` or `false`.
    Bool(bool),
    /// A number, shown in decimal.
    Number(u64),
    /// An address, shown in hexadecimal.
    Address(u64),
    /// Free text.
    Text(&'static str),
}

/// One option.
pub struct OptionSpec {
    /// Dotted name.
    pub name: &'static str,
    /// Kind and default.
    pub default: Default,
    /// One line of help.
    pub summary: &'static str,
    /// The only values allowed, if they are few.
    pub choices: &'static [&'static str],
}

const fn option(name: &'static str, default: Default, summary: &'static str) -> OptionSpec {
    OptionSpec { name, default, summary, choices: &[] }
}

/// Every option, sorted by name.
pub const OPTIONS: &[OptionSpec] = &[
    option("asm.bits", Default::Number(64), "word size in bits"),
    option("cfg.bigendian", Default::Bool(false), "numbers in memory have their high byte first"),
    option("cmd.depth", Default::Number(10), "how deep scripts, macros and iterators may nest"),
    option("io.0xff", Default::Number(0xff), "what unmapped bytes read as"),
    option("io.cache", Default::Bool(false), "hold writes back until wci"),
    option("io.va", Default::Bool(true), "addresses are virtual (maps)"),
    option("net.timeout", Default::Number(3000), "how long to wait for a peer, in milliseconds"),
    option("scr.color", Default::Number(0), "colours: 0 none, 1 16 colours"),
    option("scr.interactive", Default::Bool(false), "somebody can answer questions"),
    option("scr.utf8", Default::Bool(false), "show characters beyond ASCII"),
];

/// The option called `name`.
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.binary_search_by(|option| option.name.cmp(name)).ok().map(|index| &OPTIONS[index])
}
