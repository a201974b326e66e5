//! The debugger's engine on small programs. Each test ends by looking that nothing is left behind: see [`Watched`].

mod attach;
mod basics;
mod devices;
mod far;
mod forks;
mod lost;
mod points;
mod sessions;
mod sharing;
mod stress;
mod transcripts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use object::{Object, ObjectSymbol};
use remora::debug::ptrace::Ptrace;
use remora::debug::{Launch, Place, ProcessId, Reason, Register, Resume, Spec, Stop, Target, ThreadId, number};
use remora::output::Cancel;

/// How long anything may take, on a machine that does other things, too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Compiles `tests/fixtures/NAME.c`. `None`, said once: there is no compiler for it.
pub fn fixture_with(name: &str, flags: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.c"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let tag: String = flags.concat().chars().filter(char::is_ascii_alphanumeric).collect();
    let program = folder.join(format!("{name}-{tag}"));
    let age = |path: &Path| fs::metadata(path).and_then(|facts| facts.modified()).ok();
    if age(&program) > age(&source) {
        return Some(program);
    }
    let made = tempfile::NamedTempFile::new_in(&folder).expect("a file can be made").into_temp_path();
    let flags = ["-g", "-O1", "-fno-omit-frame-pointer", "-pthread"].iter().chain(flags);
    match Command::new("cc").args(flags).arg("-o").arg(&made).arg(&source).output() {
        Ok(output) if output.status.success() => {
            // Tests that run at the same time make the same file; the last one wins.
            fs::rename(&made, &program).expect("a file can be renamed");
            Some(program)
        }
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            println!("ABSENT: cc for {name}.c {tag} ({})", why.lines().next().unwrap_or_default());
            None
        }
        Err(error) => {
            println!("ABSENT: cc ({error})");
            None
        }
    }
}

pub fn fixture(name: &str) -> Option<PathBuf> {
    fixture_with(name, &[])
}

/// A target whose processes are watched: when this is dropped they have to be gone, or untraced if they were only
/// attached to.
pub struct Watched {
    pub target: Option<Ptrace>,
    seen: BTreeSet<ProcessId>,
    /// Processes of the test's own that live on.
    pub alive: BTreeSet<ProcessId>,
    pub program: PathBuf,
}

impl Watched {
    pub fn launch(program: &Path, arguments: &[&str]) -> Watched {
        let mut launch = Launch::new(program.to_string_lossy(), arguments.iter().map(|a| a.to_string()).collect());
        launch.stdout = Some("/dev/null".into());
        Watched::with(program, &launch)
    }

    pub fn with(program: &Path, launch: &Launch) -> Watched {
        let target = Ptrace::start(launch).expect("the program starts");
        let mut watched = Watched {
            target: Some(target),
            seen: BTreeSet::new(),
            alive: BTreeSet::new(),
            program: program.to_path_buf(),
        };
        let pid = watched.pid();
        watched.seen.insert(pid);
        watched
    }

    pub fn attach(program: &Path, pid: ProcessId) -> Watched {
        let target = Ptrace::of(pid).expect("the process can be attached to");
        let seen = BTreeSet::from([pid]);
        Watched { target: Some(target), alive: seen.clone(), seen, program: program.to_path_buf() }
    }

    pub fn target(&mut self) -> &mut Ptrace {
        self.target.as_mut().expect("the target is there until the end")
    }

    pub fn thread(&mut self) -> ThreadId {
        self.target().current().expect("a thread is current")
    }

    pub fn pid(&mut self) -> ProcessId {
        self.thread().process
    }

    /// The address of a symbol of the program.
    pub fn symbol(&mut self, name: &str) -> u64 {
        let pid = self.pid();
        let bias = self.target().modules(pid).expect("modules can be listed")[0].bias;
        let data = fs::read(&self.program).expect("the program can be read");
        let file = object::File::parse(&*data).expect("it is an object file");
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).expect("the symbol is there");
        bias.wrapping_add(symbol.address())
    }

    pub fn register(&mut self, name: &str) -> u64 {
        let thread = self.thread();
        self.register_of(thread, name)
    }

    pub fn register_of(&mut self, thread: ThreadId, name: &str) -> u64 {
        let register = self.find(thread, name);
        number(&self.target().read_register(thread, &register).expect("a register can be read"), false) as u64
    }

    pub fn find(&mut self, thread: ThreadId, name: &str) -> Register {
        let layout = self.target().layout(thread.process).expect("there is a layout");
        layout.find(name).expect("the register is there").clone()
    }

    pub fn set_register(&mut self, name: &str, value: u64) {
        let thread = self.thread();
        let register = self.find(thread, name);
        let bytes = value.to_le_bytes();
        self.target().write_register(thread, &register, &bytes[..register.bytes()]).expect("it can be written");
    }

    pub fn word(&mut self, address: u64) -> u64 {
        let pid = self.pid();
        let mut bytes = [0; 8];
        assert_eq!(self.target().read_memory(pid, address, &mut bytes).expect("memory can be read"), 8);
        u64::from_le_bytes(bytes)
    }

    pub fn resume(&mut self, actions: &[Resume]) -> Stop {
        self.target().resume(actions).expect("it can be resumed");
        self.wait()
    }

    pub fn wait(&mut self) -> Stop {
        let deadline = Instant::now() + PATIENCE;
        let stop = self.target().wait(Some(deadline), &Cancel::new()).expect("it can be waited for");
        let stop = stop.expect("it stops in time");
        self.seen.insert(stop.thread.process);
        if let Reason::Fork { child } | Reason::Vfork { child } = &stop.reason {
            self.seen.insert(child.process);
        }
        stop
    }

    pub fn go(&mut self) -> Reason {
        self.resume(&[Resume::ALL]).reason
    }

    pub fn insert(&mut self, address: u64) -> u32 {
        self.target().insert(&Spec::at(address)).expect("a breakpoint can be made")
    }

    pub fn insert_at(&mut self, place: Place) -> u32 {
        self.target().insert(&Spec::new(place)).expect("a breakpoint can be made")
    }

    pub fn hits(&mut self, id: u32) -> u64 {
        let all = self.target().breakpoints().expect("breakpoints can be listed");
        all.iter().find(|point| point.id == id).map_or(0, |point| point.hits)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.target.take());
        if std::thread::panicking() {
            return;
        }
        for pid in &self.seen {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).map(str::trim);
            assert!(matches!(tracer, None | Some("0")), "{pid} is still traced");
            assert!(tracer.is_none() || self.alive.contains(pid), "{pid} is left behind:\n{status}");
        }
    }
}
