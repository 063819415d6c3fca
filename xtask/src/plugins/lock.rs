//! What `Cargo.lock` says of a package and of all that it depends on.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

/// The packages of a lock file by name, each as its lines.
pub(crate) struct Lock<'a> {
    packages: BTreeMap<&'a str, Vec<Package<'a>>>,
}

struct Package<'a> {
    version: &'a str,
    dependencies: Vec<&'a str>,
    text: &'a str,
}

impl<'a> Lock<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Lock<'a>> {
        let mut packages: BTreeMap<&str, Vec<Package<'_>>> = BTreeMap::new();
        for text in text.split("[[package]]\n").skip(1) {
            let value = |key: &str| {
                let lines = text.lines().filter_map(|line| line.strip_prefix(key));
                lines.map(|rest| rest.trim_matches([' ', '=', '"'])).next()
            };
            let (Some(name), Some(version)) = (value("name"), value("version")) else {
                anyhow::bail!("Cargo.lock has a package without name or version");
            };
            let listed = text.lines().filter_map(|line| line.strip_prefix(" \""));
            let dependencies = listed.map(|line| line.trim_end_matches([',', '"'])).collect();
            packages.entry(name).or_default().push(Package { version, dependencies, text });
        }
        Ok(Lock { packages })
    }

    /// A dependency is named by as much as it takes to tell it from others: `name`,
    /// `name version` or `name version (source)`.
    fn find(&self, dependency: &str) -> Result<&Package<'a>> {
        let mut words = dependency.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let candidates = self.packages.get(name).into_iter().flatten();
        candidates
            .into_iter()
            .find(|package| version.is_none_or(|version| package.version == version))
            .with_context(|| format!("Cargo.lock has no package \"{dependency}\""))
    }

    /// The lines of all that `package` depends on, itself included.
    pub(crate) fn closure(&self, package: &str) -> Result<BTreeSet<&'a str>> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.find(package)?];
        while let Some(package) = open.pop() {
            if found.insert(package.text) {
                for dependency in &package.dependencies {
                    open.push(self.find(dependency)?);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    const LOCK: &str = r#"version = 4

[[package]]
name = "a"
version = "1.0.0"
dependencies = [
 "b 2.0.0",
 "c",
]

[[package]]
name = "b"
version = "1.0.0"

[[package]]
name = "b"
version = "2.0.0"
source = "registry+https://example.com"
checksum = "22"

[[package]]
name = "c"
version = "1.0.0"
dependencies = [
 "a",
]
"#;

    #[test]
    fn what_a_package_depends_on_is_found_and_nothing_else() {
        let lock = Lock::parse(LOCK).expect("valid");
        let found: Vec<_> = lock.closure("c").expect("there").into_iter().collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|text| text.contains("checksum = \"22\"")));
        assert!(!found.iter().any(|text| text.contains("\"b\"\nversion = \"1")));
        assert_eq!(lock.closure("b 1.0.0").expect("there").len(), 1);
        assert!(lock.closure("d").is_err());
    }
}
