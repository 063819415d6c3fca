//! Configuration: from the text of `services.yaml` to checked values.
//!
//! ```text
//!   files ──► tree ──► interpolate ──► merge ──► decode ──► check ──► Config ──► diff
//!   (text)    (spans)  (${VAR})        (defaults) (raw)     (checked)            (Plan)
//! ```
//!
//! Each step goes on after an error and notes it, so that the operator sees all of them
//! at once, each with the file, the line and a caret. A configuration with one error is
//! none: [`load`] gives everything or nothing, so a reload of a broken file changes
//! nothing.
//!
//! Deliberately absent: the process environment (it is an argument, [`Environment`]),
//! and anything that runs. Users, groups and directories are looked up, but only to
//! complain; they are resolved when a process starts.

mod binding;
mod budget;
mod check;
mod checker;
mod decode;
mod diff;
mod digest;
mod env_file;
mod error;
mod files;
mod grants;
mod health;
mod interpolate;
mod launch;
mod merge;
mod notify;
mod parse;
mod places;
mod plugin;
mod raw;
mod schema;
mod service;
mod sink;
mod sockets;
mod source;
mod suggest;
mod supervisor;
mod syntax;
mod target;
mod tree;
mod unavailable;
mod written;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use kennel_core::Graph;

pub use binding::{FileStamp, PluginConfig, PluginSource};
pub use diff::{Action, Change, Part, PartAction, PartChange, Plan, SupervisorChange, When, plan};
pub use error::{ConfigError, ConfigErrors, Place};
pub use health::ReadyWhen;
pub use launch::{Command, LaunchConfig};
pub use notify::Notify;
pub use places::Places;
pub use plugin::PluginUse;
pub use schema::schema;
pub(crate) use service::REPLICAS_MAX;
pub use service::{LogConfig, LogTarget, ServiceConfig};
pub use sink::SinkConfig;
pub use sockets::SocketConfig;
pub use supervisor::{
    ClientPaths, DefaultPaths, Environment, MAX_SOCKET_PATH_BYTES, SupervisorSettings,
    client_paths, default_name, default_paths, is_valid_name,
};

use checker::Checker;
pub(crate) use env_file::try_env_file;
use files::Included;
use places::Trees;
use raw::{RawFile, RawService};
pub(crate) use raw::{duration, size};
use source::{Problem, Problems, Sources, Span, quoted};
use tree::{Entry, Kind, Node};
pub(crate) use written::{Definition, Own, Written, WrittenSink};

/// A configuration that was checked as a whole.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The supervisor's own settings.
    pub supervisor: SupervisorSettings,
    /// The services, in the order of the files; names are unique.
    pub services: Vec<ServiceConfig>,
    /// The lives of all services, as the core takes them.
    pub graph: Graph,
    /// The plugins, in the order of the file; names are unique.
    pub plugins: Vec<PluginConfig>,
    /// Where events go besides the journal, in the order of the file; names are unique.
    pub sinks: Vec<SinkConfig>,
    /// The files it was read from, absolute, the main one first.
    pub files: Vec<PathBuf>,
}

/// A configuration, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where its parts are written.
    pub places: Places,
    /// What is odd but no error, in the order of the files and lines.
    pub warnings: Vec<ConfigError>,
}

/// Reads and checks the configuration at `path` with all files that it includes.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load(path: &Path, env: &Environment) -> Result<Loaded, ConfigErrors> {
    match files::read_main(path) {
        Ok(text) => load_text(path, Some(text), &Written::default(), env),
        Err(Problem { message, hint, .. }) => Err(ConfigError { at: None, message, hint }.into()),
    }
}

/// Checks what a program describes, over the file at `path` if there is one.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(crate) fn load_written(
    path: Option<&Path>,
    written: &Written,
    env: &Environment,
) -> Result<Loaded, ConfigErrors> {
    let Some(path) = path else {
        let program = written.directory.join(program_name());
        return load_text(&program, None, written, env);
    };
    match files::read_main(path) {
        Ok(text) => load_text(path, Some(text), written, env),
        Err(Problem { message, hint, .. }) => Err(ConfigError { at: None, message, hint }.into()),
    }
}

/// What names a supervisor that nobody has named.
fn program_name() -> PathBuf {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(Path::file_name);
    PathBuf::from(name.unwrap_or("kennel".as_ref()))
}

/// Checks `text` as if it stood in the file at `path`.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load_str(path: &Path, text: &str, env: &Environment) -> Result<Loaded, ConfigErrors> {
    load_text(path, Some(text.to_owned()), &Written::default(), env)
}

/// Without a text there is no file at `path`.
fn load_text(
    path: &Path,
    text: Option<String>,
    written: &Written,
    env: &Environment,
) -> Result<Loaded, ConfigErrors> {
    let mut loader = Loader {
        env,
        written,
        sources: Sources::default(),
        problems: Problems::default(),
        files: Vec::new(),
        services: Vec::new(),
        names: HashMap::new(),
    };
    let loaded = loader.load(path, text);
    let Loader { sources, problems, .. } = loader;
    let warnings = problems.finish(&sources)?;
    let (config, trees) = loaded.expect("a configuration is missing only with an error");
    Ok(Loaded { config, places: Places::new(sources, trees), warnings })
}

struct Loader<'a> {
    env: &'a Environment,
    written: &'a Written,
    sources: Sources,
    problems: Problems,
    files: Vec<PathBuf>,
    /// The services of all files, without defaults.
    services: Vec<Entry>,
    names: HashMap<String, Span>,
}

impl Loader<'_> {
    fn load(&mut self, path: &Path, text: Option<String>) -> Option<(Config, Trees)> {
        let has_file = text.is_some();
        let mut root = match text {
            Some(text) => self.tree(path, text)?,
            None => self.written.root(&mut self.sources),
        };
        if has_file {
            self.written.overlay(&mut root, &mut self.sources);
        }
        let defaults = take(&mut root, "defaults");
        if let Some(services) = take(&mut root, "services") {
            self.add_services(services);
        }
        let raw: RawFile = decode::decode(&root, "", &mut self.problems);
        unavailable::check_file(&root, &mut self.problems);
        self.include(&raw, &root, path);
        self.add_written();
        if has_file && self.services.is_empty() && !self.problems.has_errors() {
            self.problems.error(no_services(path));
        }

        let mut env_files = launch::EnvFiles::default();
        env_files.read(&root, &mut self.sources, &mut self.problems);
        let defaults = self.defaults(defaults);
        let nodes: Vec<(String, Node)> = std::mem::take(&mut self.services)
            .into_iter()
            .filter_map(|entry| self.service_node(entry, &defaults))
            .collect();
        for (_, node) in &nodes {
            env_files.read(node, &mut self.sources, &mut self.problems);
        }

        let raws: Vec<RawService> = nodes
            .iter()
            .map(|(name, node)| {
                let scope = format!("service {}", quoted(name));
                unavailable::check_service(node, &mut self.problems);
                decode::decode(node, &scope, &mut self.problems)
            })
            .collect();
        let mut checker = Checker {
            sources: &self.sources,
            problems: &mut self.problems,
            plugins: plugin::Bindings::of(&root),
            written: self.written,
            described: None,
        };
        let kennel = raw.kennel.unwrap_or_default();
        let supervisor = supervisor::check(&kennel, &root, path, self.env, &mut checker);
        let global = launch::environment(
            &BTreeMap::new(),
            &root,
            raw.env_file.as_ref(),
            raw.env.as_ref(),
            &env_files,
            &mut checker,
        );
        let plugins = binding::check(raw.plugins.as_ref(), &root, &mut checker);
        let services: Vec<service::Checked> = nodes
            .iter()
            .zip(&raws)
            .map(|((name, node), raw)| {
                service::check(name, raw, node, &global, &env_files, &mut checker)
            })
            .collect();
        let sinks = sink::check(raw.sinks.as_ref(), &root, &mut checker);
        checker.unused_plugins();
        let held = services.iter().zip(&nodes);
        let held = held.map(|(checked, (_, node))| (&*checked.config.launch.sockets, node));
        sockets::unique(held, &mut checker);
        check::graph(&services, &mut self.problems);
        check::log_files(&services, &mut self.problems);
        let groups = self.written.groups(&mut self.problems);
        let graph = check::assemble(&services, groups, &mut self.problems)?;
        let config = Config {
            supervisor,
            graph,
            plugins,
            sinks,
            services: services.into_iter().map(|checked| checked.config).collect(),
            files: std::mem::take(&mut self.files),
        };
        Some((config, Trees { root, services: nodes }))
    }

    /// The file's tree with its variables replaced: a mapping, or none after an error.
    fn tree(&mut self, path: &Path, text: String) -> Option<Node> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.files.push(absolute);
        let directory = supervisor::directory_of(path);
        let file = self.sources.add(path.to_owned(), directory, text);
        let mut root = parse::parse(file, &self.sources, &mut self.problems)?;
        interpolate::interpolate(&mut root, &self.env.vars, &self.sources, &mut self.problems);
        match &root.kind {
            Kind::Mapping(_) => Some(root),
            Kind::Scalar(_) | Kind::Sequence(_) => {
                let message =
                    format!("expected a mapping with \"services\", found {}", root.noun());
                let hint = format!("a file looks like this:\n{}", files::EXAMPLE);
                self.problems.error(Problem::at(root.span, message).hint(hint));
                None
            }
        }
    }

    /// Takes the services of a file in; names are checked here, where both places of a
    /// duplicate are known.
    fn add_services(&mut self, services: Entry) {
        let Entry { value, .. } = services;
        if value.is_null() {
            return;
        }
        let span = value.span;
        let Kind::Mapping(entries) = value.kind else {
            let message = format!("expected a mapping of services by name, found {}", value.noun());
            let hint = format!("write it like this:\n{}", files::EXAMPLE);
            self.problems.error(Problem::at(span, message).hint(hint));
            return;
        };
        for entry in entries {
            self.add_service(entry);
        }
    }

    fn add_service(&mut self, entry: Entry) {
        if !is_valid_name(&entry.key) {
            let problem = supervisor::bad_name("a service", &entry.key, entry.key_span);
            self.problems.error(problem);
        } else if let Some(first) = self.names.get(&entry.key) {
            let message = format!(
                "duplicate service {}, first given at {}",
                quoted(&entry.key),
                self.sources.name(*first)
            );
            self.problems.error(Problem::at(entry.key_span, message).hint("rename one of them"));
        } else {
            self.names.insert(entry.key.clone(), entry.key_span);
            self.services.push(entry);
        }
    }

    /// Takes the services of the program in.
    fn add_written(&mut self) {
        let written = self.written;
        for definition in &written.services {
            let directory = written.directory.clone();
            let entry = definition.entry(directory, &mut self.sources);
            self.add_service(entry);
        }
    }

    /// Reads the files that `kennel.include` names.
    fn include(&mut self, raw: &RawFile, root: &Node, path: &Path) {
        let patterns = raw.kennel.as_ref().and_then(|kennel| kennel.include.as_ref());
        let Some(Kind::Sequence(items)) = root.find("kennel.include").map(|node| &node.kind) else {
            return;
        };
        let mut seen: HashSet<PathBuf> = HashSet::new();
        seen.extend(std::fs::canonicalize(path));
        for pattern in patterns.into_iter().flatten() {
            let Some(item) = items.iter().find(|item| item.text() == Some(pattern)) else {
                continue;
            };
            let absolute = self.sources.resolve(item.span.file, pattern);
            let files = match files::included(&absolute) {
                Ok(Included::Files(files)) => files,
                Ok(Included::Nothing) => {
                    let message = format!("no file matches {}", quoted(pattern));
                    self.problems.warn(Problem::at(item.span, message));
                    continue;
                }
                Err(Problem { message, hint, .. }) => {
                    self.problems.error(Problem::at(item.span, message).maybe_hint(hint));
                    continue;
                }
            };
            for file in files {
                let identity = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
                if seen.insert(identity) {
                    self.include_file(&file, path, item.span);
                }
            }
        }
    }

    fn include_file(&mut self, file: &Path, main: &Path, at: Span) {
        if self.files.len() > files::MAX_INCLUDED_FILES {
            let message = format!("more than {} included files", files::MAX_INCLUDED_FILES);
            self.problems.error(Problem::at(at, message));
            return;
        }
        let text = match files::read(file) {
            Ok(text) => text,
            Err(Problem { message, hint, .. }) => {
                self.problems.error(Problem::at(at, message).maybe_hint(hint));
                return;
            }
        };
        // Shown as short as the main file is.
        let directory = supervisor::directory_of(main);
        let shown = match (file.strip_prefix(&directory), main.parent()) {
            (Ok(inner), Some(parent)) => parent.join(inner),
            _ => file.to_owned(),
        };
        let Some(mut root) = self.tree(&shown, text) else { return };
        if let Some(services) = take(&mut root, "services") {
            self.add_services(services);
        }
        for Entry { key, key_span, .. } in root.entries() {
            let known = suggest::key_paths().contains(key);
            let problem = if known {
                Problem::at(*key_span, format!("{} in an included file", quoted(key)))
                    .hint("an included file has services only; move this to the main file")
            } else {
                let hint = suggest::for_key(key, &["services"], "");
                let message = format!("unknown key {} in an included file", quoted(key));
                Problem::at(*key_span, message).maybe_hint(hint)
            };
            self.problems.error(problem);
        }
    }

    /// The defaults as a mapping. Their mistakes are noted here, once, and not again for
    /// every service that inherits them.
    fn defaults(&mut self, entry: Option<Entry>) -> Option<Node> {
        let node = entry?.value;
        if node.is_null() {
            return None;
        }
        unavailable::check_service(&node, &mut self.problems);
        let _: RawService = decode::decode(&node, "defaults", &mut self.problems);
        matches!(node.kind, Kind::Mapping(_)).then_some(node)
    }

    /// A service's node with the defaults; none after an error.
    fn service_node(&mut self, entry: Entry, defaults: &Option<Node>) -> Option<(String, Node)> {
        let Entry { key, key_span, value } = entry;
        let mut node = match &value.kind {
            Kind::Mapping(_) => value,
            Kind::Scalar(_) if value.is_null() => Node::empty(key_span),
            Kind::Scalar(_) | Kind::Sequence(_) => {
                let message = format!(
                    "expected a mapping for service {}, found {}",
                    quoted(&key),
                    value.noun()
                );
                let hint = "write what runs under \"command\"";
                self.problems.error(Problem::at(value.span, message).hint(hint));
                return None;
            }
        };
        node.span = key_span;
        let node = match defaults {
            Some(defaults) => merge::under(defaults, &key, &node),
            None => node,
        };
        Some((key, node))
    }
}

/// Takes an entry out of a mapping.
fn take(node: &mut Node, key: &str) -> Option<Entry> {
    let Kind::Mapping(entries) = &mut node.kind else { return None };
    let at = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(at))
}

fn no_services(path: &Path) -> Problem {
    Problem::nowhere(format!("no services in {}", quoted(&path.to_string_lossy())))
        .hint(format!("add one:\n{}", files::EXAMPLE))
}
