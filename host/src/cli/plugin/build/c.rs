//! C: clang for wasm32, with the libc that the project brings in `include/`, else wasi-libc.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::contract::Contract;
use super::tool;
use crate::cli::Failure;
use crate::cli::plugin::project::Project;

/// Newest first; the plain name is what the user chose.
const NAMES: &[&str] = &[
    "clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16",
    "clang-15", "clang-14",
];

/// Compiles all C files of the project and the bindings into a core module.
pub(super) fn module(project: &Project) -> Result<PathBuf, Failure> {
    let clang = clang()?;
    let bindings = project.scratch().join("bindings");
    let generator = &mut *wit_bindgen_c::Opts::default().build();
    Contract::open(project)?.write_bindings(generator, &bindings, &[])?;
    let module = project.scratch().join("module.wasm");
    let mut command = Command::new(clang);
    let include = project.directory.join("include");
    if include.is_dir() {
        // The project has as much of a libc as it needs.
        command.args(["--target=wasm32", "-ffreestanding", "-nostdlib", "-Wl,--no-entry"]);
        command.arg("-isystem").arg(include);
    } else {
        command.args(["--target=wasm32-wasi", "-mexec-model=reactor"]);
    }
    command
        .args(["-mbulk-memory", "-std=c11", "-Os", "-Wall", "-Wextra"])
        // What the bindings leave unused is none of the author's.
        .args(["-Wno-unused-parameter", "-ffunction-sections"])
        .args(["-Wl,--gc-sections", "-Wl,--strip-all"])
        // An overflow of the stack meets the end of the memory, not the data.
        .args(["-Wl,--stack-first", "-Wl,-z,stack-size=65536"])
        .arg("-I")
        .arg(&bindings)
        .args(&project.manifest.flags)
        .args(files(&project.directory, "c")?)
        .args(files(&bindings, "c")?)
        // It holds the types: what makes the component finds them in the module.
        .args(files(&bindings, "o")?)
        .arg("-o")
        .arg(&module);
    tool::run(&mut command)?;
    Ok(module)
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A clang that has wasm32 (Apple's has not) and a linker for it.
fn clang() -> Result<PathBuf, Failure> {
    const HINT: &str =
        "clang and lld of LLVM 14 or later make WebAssembly; with apt: apt-get install clang lld";
    let mut found = NAMES.iter().filter_map(|name| tool::find(&[name], &[])).peekable();
    if found.peek().is_none() {
        return Err(tool::missing("clang", HINT));
    }
    let has_target = |clang: &PathBuf| {
        let targets = tool::ask(Command::new(clang).arg("--print-targets"));
        targets.is_some_and(|targets| targets.contains("wasm32"))
    };
    let mut able = found.filter(has_target).peekable();
    if able.peek().is_none() {
        return Err(tool::missing("a clang that can make WebAssembly", HINT));
    }
    let has_linker = |clang: &PathBuf| {
        let asked = ["--target=wasm32", "-print-prog-name=wasm-ld"];
        let linker = tool::ask(Command::new(clang).args(asked));
        linker.is_some_and(|linker| tool::find(&[linker.as_str()], &[]).is_some())
    };
    able.find(has_linker).ok_or_else(|| tool::missing("wasm-ld, the linker of clang,", HINT))
}
