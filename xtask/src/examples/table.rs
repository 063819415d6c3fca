//! The figures of the examples, as a table.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What `kennel plugin bench --json` says.
#[derive(serde::Deserialize)]
pub(super) struct Figures {
    component_bytes: f64,
    first_load_ms: f64,
    cached_load_ms: f64,
    first_call_us: f64,
    call_p50_us: f64,
    call_p99_us: f64,
    memory_bytes: f64,
}

/// One line of the table.
pub(super) struct Row {
    pub(super) language: &'static str,
    pub(super) figures: Figures,
}

/// Around the table in the README.
const MARKS: (&str, &str) = ("<!-- figures -->\n", "<!-- end of figures -->\n");

pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| Language | Size | First load | Cached load | First call | Call, p50 | Call, p99 | Memory |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for Row { language, figures } in rows {
        let Figures {
            component_bytes,
            first_load_ms,
            cached_load_ms,
            first_call_us,
            call_p50_us,
            call_p99_us,
            memory_bytes,
        } = figures;
        text.push_str(&format!(
            "| {language} | {:.0} KiB | {} ms | {} ms | {} µs | {} µs | {} µs | {:.0} KiB |\n",
            (component_bytes / 1024.0).ceil(),
            rounded(*first_load_ms),
            rounded(*cached_load_ms),
            rounded(*first_call_us),
            rounded(*call_p50_us),
            rounded(*call_p99_us),
            (memory_bytes / 1024.0).ceil(),
        ));
    }
    text
}

/// Two digits that mean something, no more.
fn rounded(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Puts `table` between the marks of a file.
pub(super) fn write(path: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let marks = "the README has marks around the figures";
    let (before, rest) = text.split_once(MARKS.0).context(marks)?;
    let (_, after) = rest.split_once(MARKS.1).context(marks)?;
    let (begin, end) = MARKS;
    fs::write(path, format!("{before}{begin}{table}{end}{after}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("README.md");
        let (begin, end) = MARKS;
        fs::write(&path, format!("a\n{begin}old\n{end}b\n")).expect("written");
        write(&path, "new\n").expect("written");
        let text = fs::read_to_string(&path).expect("there");
        assert_eq!(text, format!("a\n{begin}new\n{end}b\n"));
        fs::write(&path, "no marks").expect("written");
        assert!(write(&path, "new\n").is_err());
    }
}
