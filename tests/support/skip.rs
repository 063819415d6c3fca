//! Tests that cannot run here say so. Under `KENNEL_FORBID_SKIPS` a missing server is a
//! failure: where everything is installed, a skip would hide that nothing was tested.

use std::path::Path;

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
    let lacking = !is_installed(program);
    if lacking {
        assert!(
            std::env::var_os("KENNEL_FORBID_SKIPS").is_none(),
            "{program} is not installed, and skips are forbidden"
        );
        println!("skipped: {program} is not installed");
    }
    lacking
}

fn is_installed(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned()])
        .any(|directory| directory.join(program).exists())
}
