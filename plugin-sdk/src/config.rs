//! What stands under `config:`: typed, and every problem reported where it is.

/// Something that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `expect.status[1]`; empty for the whole.
    pub path: String,
    /// What.
    pub message: String,
}

/// Everything that is wrong with a configuration.
///
/// ```
/// use kennel_plugin::Problems;
///
/// fn new(port: u32, host: &str) -> Result<(), Problems> {
///     let mut problems = Problems::new();
///     problems.require(port < 65536, "port", "there is no port above 65535");
///     problems.require(!host.is_empty(), "host", "is empty");
///     problems.into_result()
/// }
/// assert_eq!(new(70000, "").unwrap_err().len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    /// None yet.
    pub fn new() -> Problems {
        Problems::default()
    }

    /// A single one.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Problems {
        let mut problems = Problems::new();
        problems.add(path, message);
        problems
    }

    /// Adds one.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.found.push(Problem { path: path.into(), message: message.into() });
    }

    /// Adds one unless `condition` holds.
    pub fn require(&mut self, condition: bool, path: &str, message: impl Into<String>) {
        if !condition {
            self.add(path, message);
        }
    }

    /// The value, or one problem more and none.
    pub fn take<T, E: ToString>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(path, error.to_string())).ok()
    }

    /// An error if there are any.
    pub fn into_result(self) -> Result<(), Problems> {
        if self.found.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Adds those that were found elsewhere.
    pub fn extend(&mut self, problems: Problems) {
        self.found.extend(problems.found);
    }

    /// Adds one in the order of their places.
    pub(crate) fn insert(&mut self, path: String, message: String) {
        let at = self.found.partition_point(|problem| problem.path <= path);
        self.found.insert(at, Problem { path, message });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.found.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}
