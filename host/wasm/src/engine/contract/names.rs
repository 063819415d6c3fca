//! Names of interfaces: what they mean and which the host knows.

use crate::error::LoadError;
use crate::model::Kind;

use super::NEWEST;

/// The package of the contract, without version.
const PACKAGE: &str = "kennel:plugin";
/// Interfaces of it that the host offers.
const OFFERED: [&str; 6] = ["types", "log", "probe", "connection", "exec", "file"];
/// Packages of WASI 0.2 that the host offers.
const WASI: [&str; 6] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// The name of an interface, taken apart: `package/interface@version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: Option<&'a str>,
}

impl<'a> Name<'a> {
    /// None if it is a plain name.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (package, rest) = text.split_once('/')?;
        let (interface, version) = match rest.split_once('@') {
            Some((interface, version)) => (interface, Some(version)),
            None => (rest, None),
        };
        Some(Self { package, interface, version })
    }

    /// Whether a version may stand in for another: for `0.x` the same `x`, from 1 on the
    /// same first number (semver.org, "caret requirements").
    fn is_compatible_with(&self, version: &str) -> bool {
        match self.version {
            // What is neither released nor compatible with anything but itself.
            Some(own) if own.contains('-') => own == version,
            Some(own) => track(own) == track(version),
            None => false,
        }
    }

    /// What kind of plugin it makes of a component that exports it.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let of = |kind: &Kind| self.package == PACKAGE && self.interface == kind.name();
        Kind::ALL.into_iter().find(of)
    }

    /// Whether it is of a version of the contract that the host speaks.
    pub(crate) fn is_spoken(&self) -> bool {
        self.is_compatible_with(NEWEST)
    }

    /// Its version, if it is of the contract.
    pub(crate) fn contract_version(&self) -> Option<&'a str> {
        self.version.filter(|_| self.package == PACKAGE)
    }

    /// Whether the host offers it.
    pub(crate) fn is_offered(&self) -> bool {
        if self.package == PACKAGE {
            return OFFERED.contains(&self.interface) && self.is_spoken();
        }
        WASI.contains(&self.package) && self.is_compatible_with("0.2.0")
    }

    /// The grant that is of use to who imports it.
    pub(crate) fn grants(&self) -> &'static [&'static str] {
        match (self.package, self.interface) {
            (PACKAGE, "probe") => &["net", "http", "unix"],
            (PACKAGE, "connection") => &["net", "unix"],
            (PACKAGE, "exec") => &["exec"],
            (PACKAGE, "file") => &["files"],
            ("wasi:sockets", "tcp") => &["net"],
            _ => &[],
        }
    }
}

/// What compatible versions have in common.
fn track(version: &str) -> (&str, Option<&str>) {
    let mut numbers = version.split(['.', '-', '+']);
    let major = numbers.next().unwrap_or_default();
    (major, if major == "0" { numbers.next() } else { None })
}

/// The export that a plugin of a kind has, in the newest version.
pub(crate) fn export_of(kind: Kind) -> String {
    format!("{PACKAGE}/{kind}@{NEWEST}")
}

/// The export that every plugin has.
pub(crate) fn lifecycle() -> String {
    format!("{PACKAGE}/lifecycle@{NEWEST}")
}

/// What a component with such exports is for.
pub(crate) fn kinds(exports: &[String]) -> Result<Vec<Kind>, LoadError> {
    let names = || exports.iter().filter_map(|export| Name::parse(export));
    let mut kinds: Vec<Kind> =
        names().filter(|name| name.is_spoken()).filter_map(|name| name.kind()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() {
        let other =
            exports.iter().find(|e| Name::parse(e).is_some_and(|name| name.kind().is_some()));
        return Err(match other {
            Some(found) => LoadError::WrongVersion {
                found: found.clone(),
                expected: format!("{PACKAGE}@{NEWEST}"),
            },
            None => LoadError::NoKind {
                exports: exports.to_vec(),
                expected: Kind::ALL.into_iter().map(export_of).collect(),
            },
        });
    }
    let is_lifecycle = |name: &Name<'_>| {
        name.package == PACKAGE && name.interface == "lifecycle" && name.is_spoken()
    };
    if !names().any(|name| is_lifecycle(&name)) {
        return Err(LoadError::NoLifecycle { exports: exports.to_vec(), expected: lifecycle() });
    }
    Ok(kinds)
}

/// Imports that the host does not have.
pub(crate) fn unknown(imports: &[String]) -> Vec<String> {
    let known = |import: &&String| Name::parse(import).is_some_and(|name| name.is_offered());
    imports.iter().filter(|import| !known(import)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compatible_as_semver_has_it() {
        let cases = [
            ("kennel:plugin/log@0.1.0", true),
            ("kennel:plugin/log@0.1.7", true),
            ("kennel:plugin/log@0.2.0", false),
            ("kennel:plugin/log@1.1.0", false),
            ("kennel:plugin/log@0.1.0-rc.1", false),
            ("kennel:plugin/log", false),
            ("kennel:plugin/unheard-of@0.1.0", false),
            ("wasi:io/streams@0.2.0", true),
            ("wasi:io/streams@0.2.99", true),
            ("wasi:io/streams@0.3.0", false),
            ("wasi:http/types@0.2.0", false),
            ("wasi:clocks/wall-clock@0.2.0-rc-2023-11-10", false),
        ];
        for (name, expected) in cases {
            let offered = Name::parse(name).expect("a name").is_offered();
            assert_eq!(offered, expected, "{name}");
        }
        assert_eq!(Name::parse("run"), None);
    }

    #[test]
    fn kinds_are_found_by_exports_of_any_compatible_version() {
        let exports = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let found = kinds(&exports(&[
            "exports",
            "kennel:plugin/event-sink@0.1.3",
            "kennel:plugin/health-check@0.1.0",
            "kennel:plugin/lifecycle@0.1.0",
        ]));
        assert_eq!(found, Ok(vec![Kind::HealthCheck, Kind::EventSink]));
        let missing = kinds(&exports(&["kennel:plugin/event-sink@0.1.0"]));
        assert!(matches!(missing, Err(LoadError::NoLifecycle { .. })), "{missing:?}");
        let other = kinds(&exports(&["kennel:plugin/event-sink@0.9.0"]));
        assert!(matches!(other, Err(LoadError::WrongVersion { .. })), "{other:?}");
        let none = kinds(&exports(&["wasi:cli/run@0.2.0"]));
        assert!(matches!(none, Err(LoadError::NoKind { .. })), "{none:?}");
    }
}
