//! Where in a JSON document: `store.nodes[0].leader`, or a pointer `/store/nodes/0/leader`.

use kennel_plugin::json::Value;

/// A step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A place in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    /// RFC 6901.
    Pointer(String),
    /// Keys by dots, items by brackets.
    Dotted(Vec<Step>),
}

impl Path {
    pub(crate) fn parse(text: &str) -> Result<Path, &'static str> {
        if text.is_empty() || text == "$" {
            return Ok(Path::Pointer(String::new()));
        }
        if text.starts_with('/') {
            return Ok(Path::Pointer(text.to_owned()));
        }
        let mut rest = text.strip_prefix("$.").unwrap_or(text);
        let mut steps = Vec::new();
        loop {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            // Only the document itself can be a list without a key before its index.
            let begins_with_index = steps.is_empty() && after.starts_with('[');
            if key.is_empty() && !begins_with_index {
                return Err("a key is empty: write a.b[0].c, or a pointer such as /a/b/0/c");
            }
            if !key.is_empty() {
                steps.push(Step::Key(key.to_owned()));
            }
            rest = indexes(after, &mut steps)?;
            if rest.is_empty() {
                return Ok(Path::Dotted(steps));
            }
            rest = rest.strip_prefix('.').ok_or("after \"]\" comes \".\" or another \"[\"")?;
        }
    }

    pub(crate) fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        match self {
            Path::Pointer(pointer) => document.pointer(pointer),
            Path::Dotted(steps) => steps.iter().try_fold(document, |value, step| match step {
                Step::Key(key) => value.get(key),
                Step::Index(index) => value.get(*index),
            }),
        }
    }
}

/// Takes `[0][1]` from the front.
fn indexes<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, &'static str> {
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix('[') {
        let (index, after) = inner.split_once(']').ok_or("a \"[\" has no \"]\"")?;
        let index = index.parse().map_err(|_| "between \"[\" and \"]\" stands a number from 0")?;
        steps.push(Step::Index(index));
        rest = after;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_brackets_and_pointers_find_values() {
        let document = r#"{"a": {"b": [{"c": 1}, [2, 3]], "x.y": 4, "": 5}, "z~/": 6}"#;
        let document = document.parse::<Value>().unwrap();
        let find = |path: &str| {
            let found = Path::parse(path).unwrap().find(&document).map(ToString::to_string);
            found.unwrap_or_default()
        };
        for (path, value) in [
            ("a.b[0].c", "1"),
            ("$.a.b[0].c", "1"),
            ("a.b[1][1]", "3"),
            ("/a/b/1/0", "2"),
            ("/a/x.y", "4"),
            ("/a/", "5"),
            ("/z~0~1", "6"),
            ("a.b[2]", ""),
            ("a.b.c", ""),
            ("/a/b/01", ""),
            ("nothing", ""),
        ] {
            assert_eq!(find(path), value, "{path}");
        }
        assert_eq!(find(""), document.to_string());
        let list = "[[7]]".parse::<Value>().unwrap();
        assert_eq!(Path::parse("[0][0]").unwrap().find(&list).unwrap().as_u64(), Some(7));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["a..b", ".a", "a.", "a[x]", "a[0", "a[0]b", "a[-1]", "[0].", "$.", "a.[0]"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
