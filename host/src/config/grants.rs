//! What a plugin is granted, each text with its place.

use std::path::PathBuf;

use kennel_wasm::Grants;
use kennel_wasm::grants::{GrantError, NetGrant, Origin, parse_path};

use super::checker::Checker;
use super::raw::RawGrants;
use super::source::Problem;
use super::tree::{Kind, Node};

/// Checks `grants` of the plugin at `node`.
pub(super) fn check(raw: &RawGrants, node: &Node, checker: &mut Checker<'_>) -> Grants {
    let RawGrants { net, http, unix, files, exec, give_up } = raw;
    Grants {
        net: each(net, "net", node, checker, |checker, item, text| {
            read(NetGrant::parse(text), item, checker)
        }),
        http: each(http, "http", node, checker, |checker, item, text| {
            read(Origin::parse(text), item, checker)
        }),
        unix: each(unix, "unix", node, checker, path),
        files: each(files, "files", node, checker, path),
        exec: exec.unwrap_or(false),
        give_up: give_up.unwrap_or(false),
        folder: checker.sources.directory(node.span.file).to_owned(),
    }
}

/// The texts of the list at `grants.KEY`, each through `read` with the node it stands in.
fn each<T>(
    texts: &Option<Vec<String>>,
    key: &str,
    node: &Node,
    checker: &mut Checker<'_>,
    read: impl Fn(&mut Checker<'_>, &Node, &str) -> Option<T>,
) -> Vec<T> {
    let list = node.find(&format!("grants.{key}"));
    let items = match list.map(|list| &list.kind) {
        Some(Kind::Sequence(items)) => items.as_slice(),
        Some(Kind::Scalar(_) | Kind::Mapping(_)) | None => &[],
    };
    let wanted = |text: &&str| texts.iter().flatten().any(|wanted| wanted == text);
    let readable = items.iter().filter_map(|item| Some((item, item.text()?)));
    readable
        .filter(|(_, text)| wanted(text))
        .filter_map(|(item, text)| read(checker, item, text))
        .collect()
}

fn read<T>(result: Result<T, GrantError>, item: &Node, checker: &mut Checker<'_>) -> Option<T> {
    result
        .map_err(|GrantError { message, hint }| {
            checker.problems.error(Problem::at(item.span, message).maybe_hint(hint));
        })
        .ok()
}

fn path(checker: &mut Checker<'_>, item: &Node, text: &str) -> Option<PathBuf> {
    let path = parse_path(text, checker.sources.directory(item.span.file));
    read(path, item, checker)
}
