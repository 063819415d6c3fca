//! The contract with plugins: frozen, documented, and shipped with the crates that need it.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wit_component::{OutputToString, WitPrinter};
use wit_parser::{PackageId, Resolve};

/// SHA-256 of each frozen file. What was released never changes, so a line here only ever
/// comes with a new version and its new folder. Until 0.1.0 is released, and not after that,
/// its lines are changed deliberately, together with the contract.
const FROZEN: [(&str, &str); 3] = [
    ("0.1.0/host.wit", "ae407ebf97c5b5ce48010639791924cb53ab1c85025a6f0d6b090f182fa502d8"),
    ("0.1.0/kinds.wit", "449a5b76ec5ca0521b2c1609edcb6b2ba9e95ccc9e596249bec7fa4cde729163"),
    ("0.1.0/types.wit", "969a9c2b153bee824607f8b544252210af1330e8dfe47a9bab3278cf5d7dc978"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn parse(folder: &Path) -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder).expect("valid WIT");
    (resolve, package)
}

/// Interfaces and worlds of a package, each with its text, without documentation.
fn items((resolve, package): &(Resolve, PackageId)) -> Vec<(String, String)> {
    let mut printer = WitPrinter::new(OutputToString::default());
    printer.emit_docs(false);
    printer.print(resolve, *package, &[]).expect("printed");
    let text = printer.output.to_string();
    let mut items: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.starts_with("interface ") || line.starts_with("world ") {
            items.push((line.trim_end_matches(" {").into(), String::new()));
        }
        if let Some((_, text)) = items.last_mut() {
            *text += line.trim();
            text.push('\n');
        }
    }
    assert!(items.len() > 5, "{items:?}");
    items
}

fn version((resolve, package): &(Resolve, PackageId)) -> (u64, u64, u64) {
    let version = resolve.packages[*package].name.version.as_ref().expect("a version");
    (version.major, version.minor, version.patch)
}

fn frozen() -> Vec<PathBuf> {
    let folder = root().join("wit/frozen");
    let mut versions: Vec<_> =
        fs::read_dir(folder).expect("there").flatten().map(|entry| entry.path()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

#[test]
fn what_is_frozen_stands_in_the_contract_as_it_was() {
    let now = parse(&root().join("wit"));
    let (items_now, version_now) = (items(&now), version(&now));
    for folder in frozen() {
        let then = parse(&folder);
        let then_version = version(&then);
        let (major, minor, patch) = then_version;
        assert_eq!(
            folder.file_name().and_then(|n| n.to_str()),
            Some(&*format!("{major}.{minor}.{patch}"))
        );
        // Of an older, incompatible version the frozen copy is all there is.
        if (major, minor) != (version_now.0, version_now.1) {
            continue;
        }
        let items_then = items(&then);
        for (name, text) in &items_then {
            let found = items_now.iter().find(|(other, _)| other == name);
            assert_eq!(
                found.map(|(_, text)| text),
                Some(text),
                "{name} of {} was released and never changes: see wit/README.md",
                folder.display()
            );
        }
        if then_version == version_now {
            let names =
                |items: &[(String, String)]| items.iter().map(|i| i.0.clone()).collect::<Vec<_>>();
            assert_eq!(names(&items_now), names(&items_then), "new interfaces need a new version");
        }
    }
}

#[test]
fn the_frozen_files_are_byte_by_byte_what_they_were() {
    let mut files = Vec::new();
    for folder in frozen() {
        let version = folder.file_name().and_then(|name| name.to_str()).expect("a version");
        for file in fs::read_dir(&folder).expect("there").flatten() {
            let bytes = fs::read(file.path()).expect("readable");
            let sum: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            files.push((format!("{version}/{}", file.file_name().to_string_lossy()), sum));
        }
    }
    files.sort();
    let expected: Vec<_> =
        FROZEN.iter().map(|(file, sum)| ((*file).to_owned(), (*sum).to_owned())).collect();
    assert_eq!(
        files, expected,
        "a frozen version of the contract is not edited: undo that, raise the version in \
         wit/*.wit, copy them to the new folder wit/frozen/VERSION/, and add its files to FROZEN"
    );
}

#[test]
fn the_version_of_the_contract_has_a_frozen_copy() {
    let (major, minor, patch) = version(&parse(&root().join("wit")));
    let newest = frozen().pop().expect("one");
    assert_eq!(
        newest.file_name().and_then(|n| n.to_str()),
        Some(&*format!("{major}.{minor}.{patch}"))
    );
}

#[test]
fn every_item_of_the_contract_is_documented() {
    let (resolve, package) = parse(&root().join("wit"));
    let mut silent = Vec::new();
    let mut items = 0;
    let mut look = |name: String, docs: &wit_parser::Docs| {
        items += 1;
        if docs.contents.as_ref().is_none_or(|text| text.trim().is_empty()) {
            silent.push(name);
        }
    };
    let of = &resolve.packages[package];
    for (name, world) in &of.worlds {
        look(name.clone(), &resolve.worlds[*world].docs);
    }
    for (name, interface) in &of.interfaces {
        let interface = &resolve.interfaces[*interface];
        look(name.clone(), &interface.docs);
        for (function, what) in &interface.functions {
            look(format!("{name}.{function}"), &what.docs);
        }
        for (kind, of) in &interface.types {
            let of = &resolve.types[*of];
            let name = format!("{name}.{kind}");
            let members: Vec<(&String, &wit_parser::Docs)> = match &of.kind {
                // What is used from elsewhere is documented there.
                wit_parser::TypeDefKind::Type(wit_parser::Type::Id(_)) => continue,
                wit_parser::TypeDefKind::Record(record) => {
                    record.fields.iter().map(|field| (&field.name, &field.docs)).collect()
                }
                wit_parser::TypeDefKind::Variant(variant) => {
                    variant.cases.iter().map(|case| (&case.name, &case.docs)).collect()
                }
                wit_parser::TypeDefKind::Enum(of) => {
                    of.cases.iter().map(|case| (&case.name, &case.docs)).collect()
                }
                _ => Vec::new(),
            };
            look(name.clone(), &of.docs);
            for (member, docs) in members {
                look(format!("{name}.{member}"), docs);
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new(), "without a word of documentation");
    assert!(items > 100, "only {items} items were looked at");
}

#[test]
fn the_crates_that_need_the_contract_have_it_with_them() {
    for of in ["host/wasm/wit", "plugin-sdk/wit"] {
        let copy = root().join(of);
        for file in ["types.wit", "host.wit", "kinds.wit"] {
            let here = fs::read(copy.join(file)).expect("readable");
            assert_eq!(here, fs::read(root().join("wit").join(file)).expect("readable"), "{of}");
        }
    }
}
