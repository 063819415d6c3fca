//! The files of a new project.
//!
//! They are in `templates/`, and within this binary. `plugins/examples` has what comes of
//! them for health checks, so that what is shown there is what one gets here.

use include_dir::{Dir, include_dir};

use super::args::{KindName, Language};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/plugin/templates");

/// The sources of the crate `kennel-plugin`: a project gets those of the same version as the
/// host that it is for. `host/sdk` links there, so that a package of this crate has them.
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/sdk/src");
const SDK_MANIFEST: &str = include_str!("../../../sdk/manifest.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../sdk/workspace.toml");

const WIT: [(&str, &str); 3] = [
    ("wit/types.wit", include_str!("../../../wit/types.wit")),
    ("wit/host.wit", include_str!("../../../wit/host.wit")),
    ("wit/kinds.wit", include_str!("../../../wit/kinds.wit")),
];

/// A file of a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// The files of a plugin `name`.
pub(super) fn files(kind: KindName, language: Language, name: &str) -> Vec<File> {
    let filled = Filled { kind, language, name };
    let file = |path: &str, template: &str| File {
        path: path.to_owned(),
        text: filled.in_text(text(template)),
    };
    let word = kind.word();
    let mut files = vec![
        file(".gitignore", "gitignore"),
        file("plugin.yaml", "plugin.yaml"),
        file("scenario.yaml", &format!("scenario/{word}.yaml")),
        file("services.yaml", &format!("services/{word}.yaml")),
        File { path: "README.md".to_owned(), text: filled.readme() },
    ];
    if kind == KindName::HealthCheck {
        files.push(file("stats.json", "stats.json"));
    }
    match language {
        Language::Rust => {
            files.push(file("Cargo.toml", "rust/manifest.toml"));
            files.push(file("src/lib.rs", &format!("rust/{word}.rs")));
        }
        Language::C => {
            files.push(file("plugin.c", &format!("c/{word}.c")));
            for name in ["json.h", "text.h", "memory.h", "memory.c"] {
                files.push(file(name, &format!("c/{name}")));
            }
            for name in ["include/stdlib.h", "include/string.h"] {
                files.push(file(name, &format!("c/{name}")));
            }
        }
        Language::Python => {
            files.push(file("plugin.py", &format!("python/{word}.py")));
            files.push(file("requirements.txt", "python/requirements.txt"));
        }
        Language::Javascript => {
            files.push(file("plugin.js", &format!("javascript/{word}.js")));
            files.push(file("package.json", "javascript/package.json"));
        }
        Language::Go => {
            let (package, source) = match kind {
                KindName::HealthCheck => ("export_kennel_plugin_health_check", "check.go"),
                KindName::RestartPolicy => ("export_kennel_plugin_restart_policy", "decide.go"),
                KindName::EventSink => ("export_kennel_plugin_event_sink", "deliver.go"),
            };
            files.push(file("go.mod", "go/go.mod"));
            files.push(file(&format!("{package}/{source}"), &format!("go/{word}/{source}")));
            let lifecycle = "export_kennel_plugin_lifecycle/configure.go";
            files.push(file(lifecycle, &format!("go/{word}/configure.go")));
        }
    }
    if language == Language::Rust {
        files.extend(vendored());
    }
    files.extend(WIT.map(|(path, text)| File { path: path.to_owned(), text: text.to_owned() }));
    files
}

/// A template by its name. They are all within the binary, and a test asks for each.
fn text(name: &str) -> &'static str {
    TEMPLATES.get_file(name).and_then(|file| file.contents_utf8()).unwrap_or_default()
}

/// What the marks in a template stand for.
struct Filled<'a> {
    kind: KindName,
    language: Language,
    name: &'a str,
}

impl Filled<'_> {
    fn in_text(&self, text: &str) -> String {
        text.replace("{{name}}", self.name)
            .replace("{{kind}}", self.kind.word())
            .replace("{{world}}", self.kind.world())
            .replace("{{language}}", self.language.word())
    }

    /// The notes of a language are: the command that gets its tools, rows of the table of
    /// files, an empty line, and what to know.
    fn readme(&self) -> String {
        let (install, rest) = notes(self.language).split_once('\n').unwrap_or_default();
        let (files, notes) = rest.split_once("\n\n").unwrap_or_default();
        let what = match self.kind {
            KindName::HealthCheck => "A health check",
            KindName::RestartPolicy => "A restart policy",
            KindName::EventSink => "An event sink",
        };
        let text = text("README.md")
            .replace("{{what}}", what)
            .replace("{{install}}", install)
            .replace("{{files}}", files)
            .replace("{{notes}}", notes.trim_end())
            .replace("{{language}}", self.language.name());
        self.in_text(&text)
    }
}

fn notes(language: Language) -> &'static str {
    text(match language {
        Language::Rust => "notes/rust.md",
        Language::C => "notes/c.md",
        Language::Python => "notes/python.md",
        Language::Javascript => "notes/javascript.md",
        Language::Go => "notes/go.md",
    })
}

/// The SDK as a crate of its own.
fn vendored() -> Vec<File> {
    let mut files = vec![File {
        path: "kennel-plugin/Cargo.toml".to_owned(),
        text: standalone(SDK_MANIFEST, WORKSPACE_MANIFEST),
    }];
    let mut open = vec![&SDK];
    while let Some(folder) = open.pop() {
        open.extend(folder.dirs());
        files.extend(folder.files().filter_map(|file| {
            let path = format!("kennel-plugin/src/{}", file.path().display());
            Some(File { path, text: file.contents_utf8()?.to_owned() })
        }));
    }
    files
}

/// A manifest with what it takes from the workspace written out.
fn standalone(manifest: &str, workspace: &str) -> String {
    let mut section = "";
    let mut text = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        // The lints of the workspace are none of a plugin's author's, and no example is there.
        if ["lints", "example"].contains(&section) {
            continue;
        }
        let inherited = line.strip_suffix(".workspace = true");
        let told = inherited.and_then(|key| {
            // Those of a target are in the same table as all others.
            let table = if section.ends_with("dependencies") { "dependencies" } else { section };
            let section = format!("[workspace.{table}]");
            let lines = workspace.lines().skip_while(|line| *line != section).skip(1);
            let mut lines = lines.take_while(|line| !line.starts_with('['));
            lines.find(|line| line.split_once(" = ").is_some_and(|(name, _)| name == key))
        });
        text.push_str(told.unwrap_or(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use clap::ValueEnum as _;

    use super::*;

    /// What comes of every template.
    fn all() -> impl Iterator<Item = (KindName, Language, Vec<File>)> {
        let kinds = KindName::value_variants().iter();
        let pairs = kinds.flat_map(|kind| {
            Language::value_variants().iter().map(move |language| (*kind, *language))
        });
        pairs.map(|(kind, lang)| (kind, lang, files(kind, lang, "some-name")))
    }

    #[test]
    fn every_template_is_there_and_no_mark_is_left_in_what_comes_of_it() {
        let mark = regex::Regex::new(r"\{\{[a-z]+\}\}").unwrap();
        for (kind, language, files) in all() {
            for File { path, text } in files {
                assert!(!text.is_empty(), "{kind:?} {language:?} {path}");
                assert!(!mark.is_match(&text), "{kind:?} {language:?} {path}: {text}");
            }
        }
    }

    #[test]
    fn every_file_among_the_templates_is_used() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/plugin/templates");
        let used: Vec<String> = all().flat_map(|(_, _, files)| files).map(|f| f.text).collect();
        let mut open = vec![folder];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if !path.components().any(|part| part.as_os_str() == "notes")
                    && path.file_name().unwrap() != "README.md"
                {
                    let text = fs::read_to_string(&path).unwrap();
                    let line = text.lines().find(|line| !line.contains("{{")).unwrap();
                    assert!(used.iter().any(|used| used.contains(line)), "{}", path.display());
                }
            }
        }
    }

    #[test]
    fn the_sdk_of_a_project_is_complete_and_needs_no_workspace() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk");
        let files = vendored();
        for File { path, text } in &files {
            assert!(!text.contains(".workspace"), "{path}");
            if let Some(path) = path.strip_prefix("kennel-plugin/src/") {
                assert_eq!(*text, fs::read_to_string(folder.join("src").join(path)).unwrap());
            }
        }
        let mut count = 1;
        let mut open = vec![folder.join("src")];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { open.push(path) } else { count += 1 }
            }
        }
        assert_eq!(files.len(), count);
    }

    #[test]
    fn what_is_inherited_from_a_workspace_is_written_out() {
        let workspace = "[workspace.package]\nedition = \"2024\"\n\n[workspace.dependencies]\nserde = \"1\"\nserde_json = \"2\"\n";
        let manifest = "[package]\nname = \"x\"\nedition.workspace = true\n\n[lints]\nworkspace = true\n\n[dependencies]\nserde.workspace = true\n\n[[example]]\nname = \"x\"\n";
        let expected =
            "[package]\nname = \"x\"\nedition = \"2024\"\n\n[dependencies]\nserde = \"1\"\n\n";
        assert_eq!(standalone(manifest, workspace), expected);
    }

    /// The examples are what `kennel plugin new` makes, but for the contract and the SDK,
    /// which are those of the repository.
    #[test]
    fn the_examples_are_what_comes_of_the_templates() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples");
        for language in Language::value_variants() {
            let folder: PathBuf = examples.join(language.word());
            for File { path, text } in files(KindName::HealthCheck, *language, "depth") {
                if path.starts_with("wit/") || path.starts_with("kennel-plugin/") {
                    continue;
                }
                let text = text.replace("\"kennel-plugin\"", "\"../../../plugin-sdk\"");
                let file = folder.join(&path);
                if std::env::var_os("KENNEL_BLESS").is_some() {
                    fs::create_dir_all(file.parent().unwrap()).unwrap();
                    fs::write(&file, &text).unwrap();
                }
                let committed = fs::read_to_string(&file).unwrap_or_default();
                let file = file.display();
                assert!(committed == text, "{file} is not its template; KENNEL_BLESS=1 writes it");
            }
        }
    }
}
