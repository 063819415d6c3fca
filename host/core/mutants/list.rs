//! Reading `mutants.txt`: used by the test that keeps it in step with the code and by
//! `cargo xtask mutants`. Knows only std.

/// One deliberate fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mutant {
    /// What is broken, in a few words.
    pub(crate) title: String,
    /// The file, under `src/`.
    pub(crate) file: String,
    /// The rule that it breaks.
    pub(crate) rule: String,
    /// The tests that are to catch it; none: any.
    #[allow(dead_code)]
    pub(crate) tests: Option<String>,
    /// What stands in the file, exactly once.
    pub(crate) text: String,
    /// What is put in its place.
    pub(crate) replacement: String,
}

impl Mutant {
    /// The source with the fault in it; why not, when the text has drifted away from it.
    pub(crate) fn apply(&self, source: &str) -> Result<String, String> {
        match source.matches(&self.text).count() {
            1 => Ok(source.replacen(&self.text, &self.replacement, 1)),
            count => Err(format!(
                "\"{}\" has drifted: its text stands {count} times in src/{}",
                self.title, self.file
            )),
        }
    }
}

/// Reads the list. The error names the line at fault.
pub(crate) fn parse(list: &str) -> Result<Vec<Mutant>, String> {
    let mut mutants = Vec::new();
    let mut lines = list.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |what: &str| format!("mutants.txt, line {}: {what}", number + 1);
        let title = line.strip_prefix("== ").ok_or_else(|| at("expected \"== title\""))?;
        let mut field = |name: &str| {
            let line = lines.next().map_or("", |(_, line)| line);
            line.strip_prefix(name).map(str::to_owned).ok_or_else(|| at(&format!("no {name}")))
        };
        let (file, rule) = (field("file: ")?, field("rule: ")?);
        let line = lines.next().map_or("", |(_, line)| line);
        let tests = line.strip_prefix("tests: ").map(str::to_owned);
        let line = if tests.is_some() { lines.next().map_or("", |(_, line)| line) } else { line };
        if line != "---" {
            return Err(at("no ---"));
        }
        let mut until = |end: &str| {
            let part: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != end).collect();
            part.join("\n")
        };
        let (text, replacement) = (until("+++"), until("."));
        if text.is_empty() {
            return Err(at("the text is empty"));
        }
        mutants.push(Mutant { title: title.to_owned(), file, rule, tests, text, replacement });
    }
    Ok(mutants)
}
