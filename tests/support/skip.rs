//! Tests that cannot run here say so. Under `KENNEL_FORBID_SKIPS` a missing server is a
//! failure: where everything is installed, a skip would hide that nothing was tested.

use std::fs;
use std::path::PathBuf;

use super::Kennel;

/// Whether this is root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether the test has to be left out because it is not run as root.
pub(crate) fn needs_root(why: &str) -> bool {
    let lacking = !is_root();
    if lacking {
        println!("skipped: needs root: {why}");
    }
    lacking
}

/// Whether the test has to be left out because it is run as root.
pub(crate) fn needs_ordinary_user(why: &str) -> bool {
    let lacking = is_root();
    if lacking {
        println!("skipped: needs an ordinary user: {why}");
    }
    lacking
}

/// Whether the test has to be left out because a program is not installed.
pub(crate) fn needs_program(program: &str) -> bool {
    let lacking = find(program).is_none();
    if lacking {
        is_not_installed(program);
    }
    lacking
}

/// Says that something is missing, where that may be.
pub(crate) fn is_not_installed(what: &str) {
    assert!(
        std::env::var_os("KENNEL_FORBID_SKIPS").is_none(),
        "{what} is not installed, and skips are forbidden"
    );
    println!("skipped: {what} is not installed");
}

/// Where a supervisor makes cgroups; none, said aloud, where it can make none. Root mostly can, so
/// where skips are forbidden that is a failure.
pub(crate) fn place_of_cgroups(kennel: &Kennel) -> Option<PathBuf> {
    let cgroups = kennel.status()["supervisor"]["cgroups"].clone();
    if cgroups["used"] == true {
        return cgroups["place"].as_str().map(PathBuf::from);
    }
    let why = cgroups["reason"].as_str().unwrap_or_default();
    assert!(!why.is_empty(), "nobody says why there are none: {cgroups}");
    cannot_be_had("a cgroup", why);
    None
}

/// Says that root could mostly have something, and that it is not there.
pub(crate) fn cannot_be_had(what: &str, why: &str) {
    assert!(
        !is_root() || std::env::var_os("KENNEL_FORBID_SKIPS").is_none(),
        "{what} cannot be had ({why}), and skips are forbidden"
    );
    println!("skipped: {what} cannot be had here: {why}");
}

/// Where a program is. Servers stand in places that are not in everybody's `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(postgres_directories())
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Debian keeps the programs of each PostgreSQL version apart; the newest first.
fn postgres_directories() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    versions.reverse();
    versions
}
