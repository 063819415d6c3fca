//! What a plugin is granted, each text with its place.

use kennel_wasm::Grants;

use super::checker::Checker;
use super::raw::RawGrants;
use super::source::{Problem, quoted};
use super::tree::{Kind, Node};

/// Checks `grants` of the plugin at `node`.
pub(super) fn check(raw: &RawGrants, node: &Node, checker: &mut Checker<'_>) -> Grants {
    let RawGrants { net, http, unix, files, exec, give_up } = raw;
    Grants {
        net: each(net, "net", node, checker, |_, _, text| Some(text.to_owned())),
        http: each(http, "http", node, checker, |_, _, text| Some(text.to_owned())),
        unix: each(unix, "unix", node, checker, path),
        files: each(files, "files", node, checker, path),
        exec: exec.unwrap_or(false),
        give_up: give_up.unwrap_or(false),
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

fn path(checker: &mut Checker<'_>, item: &Node, text: &str) -> Option<String> {
    if text.is_empty() || text.contains('\0') {
        checker.problems.error(Problem::at(item.span, format!("{} is no path", quoted(text))));
        return None;
    }
    let path = checker.sources.resolve(item.span.file, text);
    Some(path.to_string_lossy().into_owned())
}
