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
    option("hex.align", Default::Bool(false), "hexdump rows start at flags"),
    option("hex.ascii", Default::Bool(true), "the column of characters in hexdumps"),
    option("hex.bytes", Default::Bool(true), "the column of bytes in hexdumps"),
    option("hex.cols", Default::Number(16), "bytes in a hexdump row"),
    option("hex.comments", Default::Bool(true), "flags and comments beside the rows of pxc"),
    option("hex.compact", Default::Bool(false), "hexdumps without blanks between the bytes"),
    option("hex.depth", Default::Number(5), "how many references pxr follows"),
    option("hex.header", Default::Bool(true), "the header line of hexdumps"),
    option("hex.offset", Default::Bool(true), "the column of addresses in hexdumps"),
    option("hex.pairs", Default::Bool(true), "bytes in pairs in hexdumps"),
    option("hex.section", Default::Bool(false), "name of the map in front of the address"),
    option("hex.stride", Default::Number(0), "bytes from one hexdump row to the next; 0: as many as a row shows"),
    option("io.0xff", Default::Number(0xff), "what unmapped bytes read as"),
    option("io.cache", Default::Bool(false), "hold writes back until wci"),
    option("io.va", Default::Bool(true), "addresses are virtual (maps)"),
    option("net.timeout", Default::Number(3000), "how long to wait for a peer, in milliseconds"),
    option("scr.color", Default::Number(0), "colours: 0 none, 1 16 colours"),
    option("scr.interactive", Default::Bool(false), "somebody can answer questions"),
    option("scr.utf8", Default::Bool(false), "show characters beyond ASCII"),
    option("time.zone", Default::Number(0), "hours east of Greenwich in which dates are shown"),
    option("zoom.byte", Default::Text("h"), "what a byte of pz stands for (see pz)"),
    option("zoom.from", Default::Address(0), "first address of zoom.in=range"),
    option("zoom.in", Default::Text("io.map"), "what pz, p= and p- cover"),
    option("zoom.maxsz", Default::Number(512), "most bytes read for one value of pz and p="),
    option("zoom.to", Default::Address(0), "end of zoom.in=range"),
];

/// The option called `name`.
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.binary_search_by(|option| option.name.cmp(name)).ok().map(|index| &OPTIONS[index])
}
