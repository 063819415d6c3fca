//! How the process of a service is made: checked values, as plain data.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::os::{CgroupLimits, Resource, Rlimit, UNLIMITED};
use crate::task::TaskBody;

use super::checker::Checker;
use super::raw::{
    OneOrMany, RawCgroup, RawCommand, RawLimits, RawRlimit, RawService, RlimitPair, Text,
};
use super::sockets::{self, SocketConfig};
use super::source::{Problem, Problems, Sources, quoted};
use super::tree::{Kind, Node};
use super::{env_file, files, suggest};

/// How the process of a service is made.
#[derive(Clone, PartialEq, Debug)]
pub struct LaunchConfig {
    /// What runs.
    pub command: Command,
    /// The directory it runs in, absolute. Default: that of the file the service stands
    /// in, so that it does not depend on where the supervisor was started.
    pub working_dir: PathBuf,
    /// What is added to the environment: the file's `env_file`, its `env`, the service's
    /// `env_file` and its `env`, each over those before it.
    pub env: BTreeMap<String, String>,
    /// User name or number, as written.
    pub user: Option<String>,
    /// Group name or number, as written.
    pub group: Option<String>,
    /// File mode creation mask, 0 to 0o777.
    pub umask: Option<u32>,
    /// Resource limits, at most one of each kind.
    pub rlimits: Vec<Rlimit>,
    /// Scheduling priority, -20 to 19.
    pub nice: Option<i32>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// What all its processes may use together.
    pub cgroup: CgroupLimits,
    /// What is opened for it and handed over as descriptors 3, 4 and so on.
    pub sockets: Vec<SocketConfig>,
}

/// What a service runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A program and its arguments; never empty. A program with a slash in it is an
    /// absolute path, another one is looked for in PATH.
    Argv(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// No process: a task of the program that embeds the supervisor.
    Task(TaskBody),
}

/// Environment variables from files, each read once; of one that cannot be read the
/// message and the hint.
#[derive(Default)]
pub(super) struct EnvFiles(HashMap<PathBuf, Result<Variables, (String, Option<String>)>>);

type Variables = BTreeMap<String, String>;

impl EnvFiles {
    /// Reads the files that `env_file` of `node` names, for `load`. Apart from it because
    /// the texts have to be among the sources before anything is checked.
    pub(super) fn read(&mut self, node: &Node, sources: &mut Sources, problems: &mut Problems) {
        let Some(list) = node.get("env_file") else { return };
        let items = match &list.kind {
            Kind::Sequence(items) => items.as_slice(),
            Kind::Scalar(_) | Kind::Mapping(_) => std::slice::from_ref(list),
        };
        for item in items.iter().filter(|item| !item.is_null()) {
            let Some(text) = item.text() else { continue };
            let path = sources.resolve(item.span.file, text);
            let result = self.0.entry(path).or_insert_with_key(|path| {
                let text = files::read(path).map_err(|problem| (problem.message, problem.hint))?;
                let file = sources.add(path.clone(), PathBuf::from("/"), text);
                Ok(env_file::parse(file, sources, problems))
            });
            if let Err((message, hint)) = result {
                let problem = Problem::at(item.span, message.clone()).maybe_hint(hint.clone());
                problems.error(problem);
            }
        }
    }

    /// The variables of the files that the decoded `list` at `env_file` of `node` names.
    pub(super) fn load(
        &self,
        node: &Node,
        list: Option<&OneOrMany>,
        sources: &Sources,
    ) -> BTreeMap<String, String> {
        let names = match list {
            None => &[][..],
            Some(OneOrMany::Scalar(name)) => std::slice::from_ref(name),
            Some(OneOrMany::Sequence(names)) => names,
        };
        let Some(file) = node.get("env_file").map(|list| list.span.file) else {
            return BTreeMap::new();
        };
        names
            .iter()
            .filter_map(|name| self.0.get(&sources.resolve(file, name))?.clone().ok())
            .fold(BTreeMap::new(), over)
    }
}

/// `under` with what `over` says on top.
fn over(
    mut under: BTreeMap<String, String>,
    over: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    under.extend(over);
    under
}

/// The `env_file` and `env` of the file or of a service, over `under`.
pub(super) fn environment(
    under: &BTreeMap<String, String>,
    node: &Node,
    files: Option<&OneOrMany>,
    env: Option<&BTreeMap<String, Text>>,
    env_files: &EnvFiles,
    checker: &mut Checker<'_>,
) -> BTreeMap<String, String> {
    let mut result = over(under.clone(), env_files.load(node, files, checker.sources));
    for (name, Text(value)) in env.into_iter().flatten() {
        // By the entry, not by a path: the name may have dots in it.
        let entry = node.get("env").and_then(|env| env.entry(name));
        let span = entry.map_or(node.span, |entry| entry.key_span);
        if !env_file::is_name(name) {
            let message = format!("{} cannot be the name of a variable", quoted(name));
            checker.problems.error(Problem::at(span, message));
        } else if value.contains('\0') {
            let message = format!("the value of {} has a NUL byte", quoted(name));
            checker.problems.error(Problem::at(span, message));
        } else {
            result.insert(name.clone(), value.clone());
        }
    }
    result
}

/// A program with its arguments from the key at `path`; none when it is wrong.
pub(super) fn argv(
    raw: &RawCommand,
    node: &Node,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Vec<String>> {
    let hint = Some("write [\"program\", \"argument\"]");
    let mut argv = match raw {
        RawCommand::Sequence(words) => words.iter().map(|Text(word)| word.clone()).collect(),
        RawCommand::Scalar(line) => match shell_words::split(line) {
            Ok(words) => words,
            Err(_) => {
                let message = format!("cannot split {}: a quote is never closed", quoted(line));
                checker.error(node, path, message, hint);
                return None;
            }
        },
    };
    if argv.iter().any(|word: &String| word.contains('\0')) {
        checker.error(node, path, format!("\"{path}\" has a NUL byte"), None);
        return None;
    }
    let Some(program) = argv.first_mut().filter(|program| !program.is_empty()) else {
        checker.error(node, path, format!("\"{path}\" names no program"), hint);
        return None;
    };
    if program.contains('/') && !Path::new(program).is_absolute() {
        let file = checker.span(node, path).file;
        let path = checker.sources.resolve(file, program);
        *program = path.to_string_lossy().into_owned();
    }
    Some(argv)
}

/// Checks what the process of a service is made of. `service` names it in messages;
/// `global` is the environment that the file gives to all.
pub(super) fn check(
    raw: &RawService,
    node: &Node,
    service: &str,
    global: &BTreeMap<String, String>,
    env_files: &EnvFiles,
    checker: &mut Checker<'_>,
) -> LaunchConfig {
    let within = |checker: &mut Checker<'_>, path: &str, value: Option<i32>, low, high| {
        value.map(|value| checker.within(node, path, value, low..=high))
    };
    LaunchConfig {
        command: command(raw, node, service, checker),
        working_dir: raw
            .working_dir
            .as_ref()
            .and_then(|dir| working_dir(dir, node, checker))
            .unwrap_or_else(|| checker.directory(node)),
        env: environment(global, node, raw.env_file.as_ref(), raw.env.as_ref(), env_files, checker),
        user: account(raw.user.as_ref(), "user", node, checker, |name| {
            nix::unistd::User::from_name(name).map(|user| user.is_some())
        }),
        group: account(raw.group.as_ref(), "group", node, checker, |name| {
            nix::unistd::Group::from_name(name).map(|group| group.is_some())
        }),
        umask: raw.umask.as_ref().map(|umask| umask.0),
        rlimits: raw.limits.as_ref().map(rlimits).unwrap_or_default(),
        nice: within(checker, "nice", raw.nice, -20, 19),
        oom_score_adj: within(checker, "oom_score_adj", raw.oom_score_adj, -1000, 1000),
        cgroup: cgroup(raw.cgroup.as_ref(), node, checker),
        sockets: sockets::check(raw.sockets.as_ref(), node, checker),
    }
}

fn command(raw: &RawService, node: &Node, service: &str, checker: &mut Checker<'_>) -> Command {
    if let Some(task) = checker.described.and_then(|definition| definition.task.clone()) {
        return Command::Task(task);
    }
    match (&raw.command, &raw.shell) {
        (Some(_), Some(_)) => {
            let message = format!("both \"command\" and \"shell\" in service {}", quoted(service));
            checker.error(node, "shell", message, Some("keep one of them"));
        }
        (Some(raw), None) => {
            return Command::Argv(argv(raw, node, "command", checker).unwrap_or_default());
        }
        (None, Some(line)) => {
            if line.trim().is_empty() || line.contains('\0') {
                checker.error(node, "shell", "\"shell\" has no command in it".to_owned(), None);
            }
            return Command::Shell(line.clone());
        }
        (None, None) => {
            if !complained(node) {
                let message =
                    format!("service {} has neither \"command\" nor \"shell\"", quoted(service));
                let hint = "add command: [\"program\", \"argument\"]";
                checker.problems.error(Problem::at(node.span, message).hint(hint));
            }
        }
    }
    Command::Argv(Vec::new())
}

/// Whether a missing command is explained by another error: a value that could not be
/// read, or a key that was meant to be it.
fn complained(node: &Node) -> bool {
    const KEYS: [&str; 2] = ["command", "shell"];
    node.entries().iter().any(|entry| {
        if KEYS.contains(&entry.key.as_str()) {
            return !entry.value.is_null();
        }
        suggest::for_key(&entry.key, &KEYS, "").is_some_and(|hint| {
            KEYS.iter().any(|key| {
                hint.ends_with(&format!("\"{key}\"?"))
                    || hint.ends_with(&format!("write \"{key}\""))
                    || hint.ends_with(&format!("into \"{key}\""))
            })
        })
    })
}

fn working_dir(dir: &str, node: &Node, checker: &mut Checker<'_>) -> Option<PathBuf> {
    let path = checker.path(node, "working_dir", dir)?;
    if !path.is_dir() {
        let span = checker.span(node, "working_dir");
        let shown = quoted(&path.to_string_lossy());
        let what = if path.exists() { "is no directory" } else { "does not exist yet" };
        checker.problems.warn(Problem::at(span, format!("the working_dir {shown} {what}")));
    }
    Some(path)
}

/// A user or a group: a number, or a name that `exists`.
fn account(
    name: Option<&Text>,
    key: &str,
    node: &Node,
    checker: &mut Checker<'_>,
    exists: impl Fn(&str) -> nix::Result<bool>,
) -> Option<String> {
    let Text(name) = name?;
    let shown = quoted(name);
    let fault = match name.parse::<i64>() {
        // The highest number means "leave it" to setuid's relatives.
        Ok(number) if (0..i64::from(u32::MAX)).contains(&number) => None,
        Ok(_) => Some(format!("{shown} is out of the range of {key} numbers")),
        Err(_) if name.is_empty() || name.contains('\0') => Some(format!("{shown} is no {key}")),
        Err(_) => match exists(name) {
            Ok(true) => None,
            Ok(false) => Some(format!("no {key} {shown} on this machine")),
            Err(errno) => Some(format!("cannot look up the {key} {shown}: {}", errno.desc())),
        },
    };
    if let Some(message) = fault {
        checker.error(node, key, message, None);
    }
    Some(name.clone())
}

/// Limits of all processes together. A limit of nothing would let nothing run.
fn cgroup(raw: Option<&RawCgroup>, node: &Node, checker: &mut Checker<'_>) -> CgroupLimits {
    let Some(RawCgroup { memory_max, cpu_max, pids_max }) = raw else {
        return CgroupLimits::default();
    };
    let mut least = |path: &str, is_enough: bool, least: &str| {
        if !is_enough {
            let message = format!("\"{path}\" is less than {least}: nothing could run");
            checker.error(node, path, message, None);
        }
    };
    let limits = CgroupLimits {
        memory_max: memory_max.as_ref().map(|size| size.0),
        cpu_max: cpu_max.as_ref().map(|share| share.0),
        pids_max: *pids_max,
    };
    least("cgroup.memory_max", limits.memory_max.is_none_or(|bytes| bytes >= 64 * 1024), "64KiB");
    // The kernel's least share is a millisecond of each 100.
    least("cgroup.cpu_max", limits.cpu_max.is_none_or(|share| share >= 0.01), "1%");
    least("cgroup.pids_max", limits.pids_max.is_none_or(|count| count >= 1), "1");
    limits
}

fn rlimits(raw: &RawLimits) -> Vec<Rlimit> {
    let RawLimits {
        address_space,
        core,
        cpu,
        data,
        fsize,
        locks,
        memlock,
        msgqueue,
        nice,
        nofile,
        nproc,
        rss,
        rtprio,
        rttime,
        sigpending,
        stack,
    } = raw;
    [
        (Resource::As, address_space),
        (Resource::Core, core),
        (Resource::Cpu, cpu),
        (Resource::Data, data),
        (Resource::Fsize, fsize),
        (Resource::Locks, locks),
        (Resource::Memlock, memlock),
        (Resource::Msgqueue, msgqueue),
        (Resource::Nice, nice),
        (Resource::Nofile, nofile),
        (Resource::Nproc, nproc),
        (Resource::Rss, rss),
        (Resource::Rtprio, rtprio),
        (Resource::Rttime, rttime),
        (Resource::Sigpending, sigpending),
        (Resource::Stack, stack),
    ]
    .into_iter()
    .filter_map(|(resource, limit)| {
        let RawRlimit(RlimitPair { soft, hard }) = limit.as_ref()?;
        Some(Rlimit { resource, soft: soft.unwrap_or(UNLIMITED), hard: hard.unwrap_or(UNLIMITED) })
    })
    .collect()
}
