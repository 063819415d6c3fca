//! The supervisor's own settings, and where it is found.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checker::Checker;
use super::raw::RawKennel;
use super::source::{Problem, Problems, Sources, Span, quoted};
use super::tree::Node;
use super::{files, interpolate, parse};

/// The longest path of a Unix socket, `unix(7)`: sun_path without its NUL.
pub const MAX_SOCKET_PATH_BYTES: usize = 107;

/// What a configuration takes from the process that reads it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Environment {
    /// The environment variables.
    pub vars: HashMap<String, String>,
    /// Whether the supervisor runs as root; decides where its files stand.
    pub is_root: bool,
}

impl Environment {
    /// That of this process. Variables that are no UTF-8 are left out.
    pub fn current() -> Environment {
        Environment {
            vars: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            is_root: nix::unistd::geteuid().is_root(),
        }
    }

    /// A directory from a variable; the XDG base directory rules ignore relative ones.
    fn directory(&self, variable: &str) -> Option<PathBuf> {
        self.vars.get(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// The supervisor's own settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SupervisorSettings {
    /// Names the state directory and the socket.
    pub name: String,
    /// Where it keeps what has to survive it; absolute.
    pub state_dir: PathBuf,
    /// Whether that follows from the name of the configuration file alone, so that another
    /// file of this name would have the same one.
    pub is_named_after_file: bool,
    /// The control socket; absolute.
    pub socket: PathBuf,
    /// How long an orderly shutdown may take.
    pub shutdown_timeout: Duration,
    /// How many services may be starting at once; at least 1.
    pub max_concurrent_starts: u32,
    /// How many restarts a second across all services; at least 1.
    pub max_restarts_per_second: u32,
}

/// Where a supervisor's files stand when the configuration does not say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DefaultPaths {
    /// None when neither XDG_STATE_HOME nor HOME is set.
    pub state_dir: Option<PathBuf>,
    /// None when there is no directory for sockets: then it is `kennel.sock` in the state
    /// directory.
    pub socket: Option<PathBuf>,
}

/// Where the files of a supervisor of that name stand when the configuration does not
/// say, after the XDG base directory specification.
pub fn default_paths(name: &str, env: &Environment) -> DefaultPaths {
    if env.is_root {
        return DefaultPaths {
            state_dir: Some(Path::new("/var/lib/kennel").join(name)),
            socket: Some(Path::new("/run/kennel").join(format!("{name}.sock"))),
        };
    }
    let state = env
        .directory("XDG_STATE_HOME")
        .or_else(|| env.directory("HOME").map(|home| home.join(".local/state")));
    let run = env.directory("XDG_RUNTIME_DIR");
    DefaultPaths {
        state_dir: state.map(|state| state.join("kennel").join(name)),
        socket: run.map(|run| run.join("kennel").join(format!("{name}.sock"))),
    }
}

/// The name of a supervisor whose configuration does not say: the file's name without
/// its extension, other characters than a name may have replaced by dashes.
pub fn default_name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let name: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(64)
        .collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "kennel".to_owned() } else { name.to_owned() }
}

/// Whether this can be the name of a service or a supervisor: 1 to 64 letters, digits,
/// dots, dashes and underscores of ASCII, the first no dot and no dash.
pub fn is_valid_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !name.starts_with(['.', '-'])
}

/// Where clients find the supervisor that runs a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientPaths {
    /// The control socket; none when that depends on a home directory and there is none.
    pub socket: Option<PathBuf>,
    /// The state directory; none for the same reason.
    pub state_dir: Option<PathBuf>,
    /// Whether both follow from the name of the file alone.
    pub is_named_after_file: bool,
}

/// Where clients find the supervisor that runs the configuration at `path`. Looks at the `kennel:` block only: what is wrong elsewhere, or that there is
/// no such file, keeps nobody from talking to a supervisor that runs.
pub fn client_paths(path: &Path, env: &Environment) -> ClientPaths {
    let mut sources = Sources::default();
    let directory = directory_of(path);
    let block = files::read(path).ok().and_then(|text| {
        read_block(path, &directory, text.clone(), env, &mut sources)
            .or_else(|| read_block(path, &directory, kennel_block(&text), env, &mut sources))
    });
    let word = |key: &str| {
        let node = block.as_ref()?.get(key)?;
        if node.is_null() { None } else { node.text().map(str::to_owned) }
    };
    let given = |key: &str| Some(absolute(&directory, &word(key)?));
    let name = word("name").filter(|name| is_valid_name(name));
    let is_named_after_file = [&name, &word("socket"), &word("state_dir")] == [&None; 3];
    let defaults = default_paths(&name.unwrap_or_else(|| default_name(path)), env);
    let state_dir = given("state_dir").or(defaults.state_dir);
    let in_state_dir = state_dir.as_ref().map(|dir| dir.join("kennel.sock"));
    let socket = given("socket").or(defaults.socket).or(in_state_dir);
    ClientPaths { socket, state_dir, is_named_after_file }
}

/// The directory that relative paths in a file start from; absolute.
pub(super) fn directory_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().unwrap_or(Path::new("/")).to_owned()
}

fn absolute(directory: &Path, path: &str) -> PathBuf {
    directory.join(path).components().collect()
}

/// The `kennel` mapping with its variables replaced, if the text can be read.
fn read_block(
    path: &Path,
    directory: &Path,
    text: String,
    env: &Environment,
    sources: &mut Sources,
) -> Option<Node> {
    let file = sources.add(path.to_owned(), directory.to_owned(), text);
    let mut ignored = Problems::default();
    let root = parse::parse(file, sources, &mut ignored)?;
    let mut block = root.get("kennel").cloned().unwrap_or_else(|| Node::empty(root.span));
    interpolate::interpolate(&mut block, &env.vars, sources, &mut ignored);
    Some(block)
}

/// The lines of the `kennel:` block: up to the next line that is not indented.
fn kennel_block(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("kennel:"));
    let head = lines.next().into_iter();
    let body = lines.take_while(|line| line.starts_with([' ', '#']) || line.trim().is_empty());
    head.chain(body).flat_map(|line| [line, "\n"]).collect()
}

/// Checks the `kennel` block; `root` is the file's.
pub(super) fn check(
    raw: &RawKennel,
    root: &Node,
    path: &Path,
    env: &Environment,
    checker: &mut Checker<'_>,
) -> SupervisorSettings {
    // Not taken apart here: `include` is the loader's, `listen` and `token_file` wait.
    let RawKennel {
        name,
        state_dir,
        socket,
        listen: _,
        token_file: _,
        shutdown_timeout,
        max_concurrent_starts,
        max_restarts_per_second,
        include: _,
    } = raw;
    let is_named_after_file = name.is_none() && state_dir.is_none();
    let name = match name {
        Some(name) if is_valid_name(name) => name.clone(),
        Some(name) => {
            let span = checker.span(root, "kennel.name");
            checker.problems.error(bad_name("the supervisor", name, span));
            default_name(path)
        }
        None => default_name(path),
    };
    let mut given = |key: &str, value: &Option<String>| {
        value.as_ref().and_then(|value| checker.path(root, key, value))
    };
    let state_dir = given("kennel.state_dir", state_dir);
    let socket = given("kennel.socket", socket);
    let defaults = default_paths(&name, env);
    let state_dir = state_dir.or(defaults.state_dir).unwrap_or_else(|| {
        checker.problems.error(
            Problem::nowhere("cannot choose a state directory: HOME is not set")
                .hint("set kennel.state_dir"),
        );
        PathBuf::from("/")
    });
    let socket = socket.or(defaults.socket).unwrap_or_else(|| state_dir.join("kennel.sock"));
    if socket.as_os_str().as_bytes().len() > MAX_SOCKET_PATH_BYTES {
        let message = format!(
            "the socket's path {} is longer than {MAX_SOCKET_PATH_BYTES} bytes",
            quoted(&socket.to_string_lossy())
        );
        let at = root.find("kennel.socket").map(|node| node.span);
        let hint = Some("set kennel.socket to a shorter one".to_owned());
        checker.problems.error(Problem { span: at, message, hint });
    }
    SupervisorSettings {
        name,
        state_dir,
        is_named_after_file,
        socket,
        shutdown_timeout: checker.positive(
            root,
            "kennel.shutdown_timeout",
            shutdown_timeout.as_ref(),
            Duration::from_secs(60),
        ),
        max_concurrent_starts: checker.within(
            root,
            "kennel.max_concurrent_starts",
            max_concurrent_starts.unwrap_or(64),
            1..=10_000,
        ),
        max_restarts_per_second: checker.within(
            root,
            "kennel.max_restarts_per_second",
            max_restarts_per_second.unwrap_or(100),
            1..=10_000,
        ),
    }
}

/// What is wrong with a name, for supervisors and services.
pub(super) fn bad_name(whose: &str, name: &str, span: Span) -> Problem {
    Problem::at(span, format!("{} cannot be the name of {whose}", quoted(name))).hint(
        "a name is 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\", and starts with a letter, a digit or \"_\"",
    )
}
