//! The table of options (`e`): name, kind, default, meaning. Help, completion, docs and checks come from it.

use self::Default::{Address, Bool, Number, Text};

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

impl Default {
    /// The kind as `et` names it: `bool`, `int`, `addr` or `str`.
    pub fn kind(self) -> &'static str {
        match self {
            Bool(_) => "bool",
            Number(_) => "int",
            Address(_) => "addr",
            Text(_) => "str",
        }
    }
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

impl OptionSpec {
    /// The part of the name before the first dot: `hex` for `hex.cols`.
    pub fn space(&self) -> &'static str {
        self.name.split('.').next().unwrap_or(self.name)
    }
}

/// Encodings of strings.
const ENCODINGS: &[&str] = &["guess", "ascii", "utf8", "utf16le", "utf32le"];

const fn option(name: &'static str, default: Default, summary: &'static str) -> OptionSpec {
    OptionSpec { name, default, summary, choices: &[] }
}

const fn choice(
    name: &'static str,
    default: Default,
    choices: &'static [&'static str],
    summary: &'static str,
) -> OptionSpec {
    OptionSpec { name, default, summary, choices }
}

/// Where a search or an analysis may look.
const RANGES: &[&str] = &[
    "raw",
    "block",
    "io.map",
    "io.maps",
    "io.maps.r",
    "io.maps.rw",
    "io.maps.rx",
    "io.maps.rwx",
    "io.maps.wx",
    "io.maps.x",
    "bin.section",
    "bin.sections",
    "bin.sections.r",
    "bin.sections.rw",
    "bin.sections.rx",
    "bin.sections.rwx",
    "bin.sections.wx",
    "bin.sections.x",
    "dbg.stack",
    "dbg.heap",
    "dbg.map",
    "dbg.maps",
    "dbg.maps.r",
    "dbg.maps.rw",
    "dbg.maps.rx",
    "dbg.maps.rwx",
    "dbg.maps.wx",
    "dbg.maps.x",
    "analysis.fcn",
    "analysis.bb",
    "range",
];

const BITS: &[&str] = &["8", "16", "32", "64"];

/// Every option, sorted by name. "Accepted for scripts" marks those that nothing reads: scripts written for the
/// ancestors set them, and may.
#[rustfmt::skip]
pub const OPTIONS: &[OptionSpec] = &[
    option("analysis.arch", Text("x86"), "architecture of the analysis (accepted for scripts)"),
    option("analysis.depth", Number(64), "how many calls deep the analysis follows"),
    option("analysis.from", Address(u64::MAX), "first address of the analysis when analysis.in=range"),
    option("analysis.hasnext", Bool(false), "go on with the function that follows"),
    choice("analysis.in", Text("io.maps.x"), RANGES, "where the analysis looks"),
    option("analysis.strings", Bool(false), "look for strings that code refers to"),
    option("analysis.timeout", Number(0), "seconds after which the analysis stops; 0: never"),
    option("analysis.to", Address(u64::MAX), "address after the last of the analysis when analysis.in=range"),
    choice("asm.arch", Text("x86"), crate::disasm::NAMES, "architecture of disassembly and assembly"),
    choice("asm.bits", Number(64), BITS, "word size in bits"),
    option("asm.bytes", Bool(false), "show the bytes of instructions"),
    option("asm.cmt.col", Number(71), "column at which comments start"),
    option("asm.cmt.refs", Bool(false), "show the comments of referenced addresses"),
    option("asm.cmt.right", Bool(true), "show comments on the right of instructions"),
    option("asm.comments", Bool(true), "show comments"),
    option("asm.cpu", Text(""), "model of the processor"),
    option("asm.demangle", Bool(true), "show demangled names"),
    option("asm.describe", Bool(false), "explain what each instruction does"),
    option("asm.emu", Bool(false), "emulate along and show the values (accepted for scripts)"),
    option("asm.flags", Bool(true), "show flags above instructions"),
    option("asm.functions", Bool(true), "mark the lines of functions"),
    option("asm.lines", Bool(true), "draw arrows for jumps"),
    option("asm.lines.width", Number(7), "columns for the arrows of jumps"),
    option("asm.meta", Bool(true), "show data as data, not as instructions"),
    option("asm.nbytes", Number(6), "how many bytes of an instruction are shown"),
    option("asm.offset", Bool(true), "show addresses"),
    option("asm.os", Text("linux"), "operating system whose conventions hold"),
    option("asm.pseudo", Bool(false), "show pseudocode instead of mnemonics"),
    option("asm.seggrn", Number(4), "how far a segment is shifted left, in bits"),
    option("asm.segoff", Bool(false), "show addresses as segment:offset"),
    option("asm.size", Bool(false), "show the sizes of instructions"),
    option("asm.slow", Bool(true), "do all of the disassembler's work (accepted for scripts)"),
    option("asm.sub.names", Bool(true), "show names instead of addresses"),
    option("asm.sub.var", Bool(true), "show variables instead of offsets"),
    option("asm.sub.varonly", Bool(true), "show a variable without its base register"),
    choice("asm.syntax", Text("intel"), &["intel", "att", "masm", "jz", "regnum"], "notation of instructions"),
    option("asm.tabs", Number(6), "columns for the mnemonic"),
    option("asm.ucase", Bool(false), "show instructions in upper case"),
    option("asm.var", Bool(true), "list variables at the start of functions"),
    option("asm.xrefs", Bool(true), "show who refers to an address"),
    option("asm.xrefs.fold", Number(5), "how many references are shown in full"),
    option("bin.baddr", Address(u64::MAX), "base address to load a file at; -1: as the file says"),
    option("bin.cache", Bool(false), "load through the overlay (accepted for scripts)"),
    option("bin.dbginfo", Bool(true), "read debug information"),
    option("bin.demangle", Bool(true), "demangle symbols"),
    option("bin.filter", Bool(true), "make symbols fit for expressions"),
    option("bin.laddr", Address(0), "address that a library is loaded at"),
    option("bin.maxstr", Number(0), "longest string looked for, in characters; 0: any"),
    option("bin.maxstrbuf", Address(0x00a0_0000), "largest section searched for strings when a file is opened, in bytes"),
    option("bin.minstr", Number(0), "shortest string looked for, in characters; 0: by format"),
    option("bin.relocs", Bool(true), "apply relocations"),
    choice("bin.str.enc", Text("guess"), ENCODINGS, "encoding of the strings looked for"),
    option("bin.strings", Bool(true), "look for strings"),
    option("bin.verbose", Bool(false), "report oddities of files (accepted for scripts)"),
    option("cfg.bigendian", Bool(false), "numbers in memory have their high byte first"),
    option("cfg.debug", Bool(false), "a process is being debugged"),
    option("cfg.editor", Text("vi"), "program that edits text"),
    option("cfg.fortunes", Bool(false), "greet with a tip (accepted for scripts)"),
    option("cfg.newshell", Bool(true), "shell of the later dialect (accepted for scripts: both are understood)"),
    option("cfg.plugins", Bool(true), "load plugins at start (accepted for scripts: they are built in)"),
    option("cfg.seek.histsize", Number(63), "how many places s- can go back"),
    option("cfg.seek.silent", Bool(false), "leave seeks out of the history"),
    option("cfg.wseek", Bool(false), "move the seek behind what was written"),
    option("cmd.bp", Text(""), "command run at each breakpoint"),
    option("cmd.depth", Number(10), "how deep scripts, macros and iterators may nest"),
    option("cmd.hit", Text(""), "command run at each search hit"),
    option("cmd.load", Text(""), "command run after a file was loaded"),
    option("cmd.prompt", Text(""), "command run before each prompt"),
    option("cmd.repeat", Bool(false), "an empty line repeats the last command"),
    option("dbg.args", Text(""), "arguments of a program that is started"),
    option("dbg.aslr", Bool(false), "started programs lie at other addresses each time"),
    option("dbg.backend", Text("native"), "who controls processes"),
    choice("dbg.bep", Text("loader"), &["loader", "entry", "constructor", "main"], "where a started program first stops"),
    option("dbg.bpinmaps", Bool(true), "breakpoints must lie in a map"),
    option("dbg.btalgo", Text("fuzzy"), "how the call stack is found"),
    option("dbg.btdepth", Number(128), "most frames of a call stack"),
    option("dbg.clearenv", Bool(false), "started programs get no environment but dbg.env"),
    option("dbg.dir", Text(""), "working directory of started programs"),
    option("dbg.env", Text(""), "environment of started programs: NAME=value, or NAME to remove it, with blanks between"),
    option("dbg.exitkills", Bool(true), "leaving ends the processes that were started"),
    option("dbg.follow", Number(32), "follow the program counter when it is further away, in bytes"),
    option("dbg.follow.child", Bool(false), "go on with the child after a fork"),
    option("dbg.forks", Bool(false), "stop when a process forks"),
    option("dbg.hwbp", Number(0), "prefer hardware breakpoints"),
    choice(
        "dbg.lost",
        Text("usual"),
        &["usual", "keep", "continue", "detach", "kill"],
        "what becomes of a far process when the line is lost (usual: started ones are kept, others continue)",
    ),
    option("dbg.profile", Text(""), "file that says how programs are started"),
    option("dbg.stderr", Text(""), "file for the errors of started programs"),
    option("dbg.stdin", Text(""), "file that started programs read"),
    option("dbg.stdout", Text(""), "file for the output of started programs"),
    option("dbg.swstep", Bool(false), "step with breakpoints"),
    option("dbg.threads", Bool(false), "resume all threads together"),
    option("hex.align", Bool(false), "align dumps to hex.cols"),
    option("hex.ascii", Bool(true), "show the characters beside a dump"),
    option("hex.bytes", Bool(true), "show the bytes of a dump"),
    option("hex.cols", Number(16), "bytes in a row of a dump"),
    option("hex.comments", Bool(true), "show comments beside a dump"),
    option("hex.compact", Bool(false), "no blanks between the bytes of a dump"),
    option("hex.depth", Number(5), "how many references pxr follows"),
    option("hex.header", Bool(true), "show the header of a dump"),
    option("hex.offset", Bool(true), "show the addresses of a dump"),
    option("hex.pairs", Bool(true), "show the bytes of a dump in pairs"),
    option("hex.section", Bool(false), "show the section before the addresses of a dump"),
    option("hex.stride", Number(0), "bytes between the rows of a dump; 0: hex.cols"),
    option("http.allow", Text(""), "addresses that may connect to the web server, with commas; empty: any"),
    option("http.anonymous", Bool(true), "programs of this machine may read over /cmd/ without a token"),
    option("http.auth", Bool(true), "clients need a token (accepted for scripts: they always do)"),
    option("http.authfile", Text(""), "accepted for scripts: '=h --token-file' names the tokens"),
    option("http.bind", Text("localhost"), "address that the web server listens on"),
    option("http.browser", Text("xdg-open"), "program that =H opens the page with"),
    option("http.cors", Bool(false), "accepted for scripts: http.origins lists the pages that may ask"),
    option("http.dirlist", Bool(false), "accepted for scripts: directories are not listed"),
    option("http.hosts", Text(""), "further names by which the web server is called, with commas"),
    option("http.index", Text("index.html"), "page shown for a directory of http.root"),
    option("http.log", Bool(true), "report the web server's clients as they come and go"),
    option("http.maxport", Number(9999), "last port tried (accepted for scripts)"),
    option("http.maxsize", Number(0), "largest body of a request, in bytes; 0: 16 MiB"),
    option("http.origins", Text(""), "pages elsewhere that may use the API, with commas: https://tool.example"),
    option("http.port", Number(9090), "port that the web server listens on"),
    option("http.root", Text(""), "directory with the pages; empty: the built-in one"),
    option("http.timeout", Number(10), "seconds that a client may take for the start of a request"),
    option("http.upget", Bool(false), "uploads can be fetched"),
    option("http.upload", Bool(false), "clients with a token may upload files to /up/"),
    option("http.uproot", Text(""), "directory for uploads"),
    option("io.0xff", Number(0xff), "what unmapped bytes read as"),
    option("io.autofd", Bool(true), "an opened file becomes the current one (accepted for scripts: it always does)"),
    option("io.cache", Bool(false), "hold writes back until wci"),
    option("io.exec", Bool(true), "maps can be executable (accepted for scripts)"),
    option("io.ff", Bool(true), "unmapped bytes read as io.0xff (accepted for scripts: they always do)"),
    option("io.maxblk", Address(0x0320_0000), "largest block size that b accepts, in bytes"),
    option("io.pcache", Bool(false), "cache pages of devices (accepted for scripts: remote devices always do)"),
    option("io.unalloc", Bool(false), "dumps show unmapped bytes as io.unalloc.ch"),
    option("io.unalloc.ch", Text("."), "how dumps show unmapped bytes"),
    option("io.va", Bool(true), "addresses are virtual (maps)"),
    option("log.level", Number(5), "how much is logged (accepted for scripts)"),
    option("net.certificate", Text(""), "PEM file with the certificate shown to servers that want one"),
    choice(
        "net.compress",
        Text("auto"),
        &["auto", "always", "never"],
        "whether bytes of far files travel compressed; auto: over slow lines that are not encrypted",
    ),
    option("net.fingerprint", Text(""), "the only certificate accepted of a server: sha256:..."),
    option("net.firstuse", Bool(false), "record and trust the certificate of a new host; on at a prompt"),
    option("net.key", Text(""), "PEM file with the key of net.certificate; empty: in the same file"),
    option("net.knownhosts", Text(""), "file of certificates seen before; empty: known_hosts in the state directory"),
    option("net.timeout", Number(3000), "how long to wait for a peer, in milliseconds"),
    option("net.token.file", Text(""), "file with the token for servers; empty: REMORA_TOKEN, then this account's own"),
    option("rap.loop", Bool(true), "a rap server takes further clients after the first"),
    option("scr.color", Number(0), "colours: 0 none, 1 16 colours, 2 256 colours, 3 all"),
    option("scr.color.grep", Bool(false), "filters see and keep colours"),
    option("scr.color.pipe", Bool(false), "programs behind a pipe get colours"),
    option("scr.columns", Number(0), "width of the output in columns; 0: of the terminal"),
    option("scr.echo", Bool(false), "also show what is redirected to a file"),
    option("scr.histsave", Bool(true), "keep the history of lines for the next time"),
    option("scr.html", Bool(false), "write HTML instead of colour codes"),
    option("scr.interactive", Bool(false), "somebody can answer questions"),
    choice("scr.nkey", Text("flag"), &["flag", "hit"], "what sn and sp go to"),
    option("scr.null", Bool(false), "throw the output of commands away"),
    option("scr.pager", Text(""), "program that shows long output"),
    option("scr.prompt", Bool(true), "show a prompt"),
    option("scr.prompt.file", Bool(false), "the prompt names the file"),
    option("scr.prompt.flag", Bool(false), "the prompt names the flag at the seek"),
    option("scr.prompt.vi", Bool(false), "edit lines like vi"),
    option("scr.rows", Number(0), "height of the output in rows; 0: of the terminal"),
    option("scr.utf8", Bool(false), "show characters beyond ASCII"),
    option("search.align", Number(0), "hits must be multiples of this; 0: any"),
    option("search.chunk", Number(0), "bytes searched at a time (accepted for scripts)"),
    option("search.contiguous", Bool(true), "hits may cross maps that touch"),
    option("search.distance", Number(0), "how many bytes of a string may differ"),
    option("search.flags", Bool(true), "set a flag at each hit"),
    option("search.from", Address(u64::MAX), "first address searched; all ones: no limit"),
    choice("search.in", Text("io.maps"), RANGES, "where a search looks"),
    option("search.kwidx", Number(0), "number of the next search"),
    option("search.maxhits", Number(0), "stop after so many hits; 0: never"),
    option("search.overlap", Bool(false), "hits may overlap"),
    option("search.prefix", Text("hit"), "start of the names of hits"),
    option("search.show", Bool(true), "print hits"),
    option("search.to", Address(u64::MAX), "address after the last searched; all ones: no limit"),
    option("stack.bytes", Bool(true), "show the stack as bytes, not as words"),
    option("stack.size", Number(64), "bytes of the stack shown"),
    option("str.escbslash", Bool(false), "show the backslash in strings as two"),
    option("tcp.islocal", Bool(true), "a plain TCP server listens on this machine's own address only"),
    option("time.fmt", Text("%Y-%m-%d %H:%M:%S %z"), "how dates are shown"),
    option("time.zone", Number(0), "hours from UTC in which dates are shown"),
    choice("zoom.byte", Text("h"), &["p", "f", "s", "0", "F", "e", "h"], "what a zoomed byte stands for: printable, flags, strings, zero, 0xff, entropy, head"),
    option("zoom.from", Number(0), "first address of a zoom"),
    choice("zoom.in", Text("io.map"), RANGES, "where a zoom looks"),
    option("zoom.maxsz", Number(512), "most bytes of a zoom"),
    option("zoom.to", Number(0), "address after the last of a zoom"),
];

/// The option called `name`. The spelling `anal.` of radare2 stands for `analysis.`.
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    let exact = |name: &str| OPTIONS.binary_search_by(|option| option.name.cmp(name)).ok().map(|at| &OPTIONS[at]);
    exact(name).or_else(|| exact(&format!("analysis.{}", name.strip_prefix("anal.")?)))
}

/// The options whose names start with `prefix`, sorted.
pub fn starting_with(prefix: &str) -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS.iter().filter(move |option| option.name.starts_with(prefix))
}

/// The option whose name is nearest to `name`, for hints; `None` when all are far away.
pub fn nearest(name: &str) -> Option<&'static str> {
    OPTIONS
        .iter()
        .map(|option| (distance(name, option.name), option.name))
        .min()
        .filter(|(distance, _)| *distance <= 3.min(name.len() / 2))
        .map(|(_, nearest)| nearest)
}

/// How many letters must be changed, added or removed to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // A name that long is no slip of the fingers, and the work grows with the product of the lengths.
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_aliases_and_neighbours() {
        assert_eq!(find("hex.cols").map(|option| option.default), Some(Number(16)));
        assert_eq!(find("anal.depth").map(|option| option.name), Some("analysis.depth"));
        assert!(find("nosuch").is_none() && find("anal.").is_none() && find("").is_none());
        assert_eq!(nearest("hex.col"), Some("hex.cols"));
        assert_eq!(nearest("asm.bitz"), Some("asm.bits"));
        assert_eq!(nearest("zz"), None);
        assert_eq!(nearest(&"x".repeat(100_000)), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
