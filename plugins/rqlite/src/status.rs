//! What a node says of itself at `/status`. Fields differ from version to version; what is
//! not there is none.

use kennel_plugin::json::Value;

/// The part of it that a check is interested in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// `Leader`, `Follower`, `Candidate` or `Shutdown`.
    pub state: Option<String>,
    /// Where the leader is, while there is one.
    pub leader: Option<String>,
    /// How many nodes the cluster has.
    pub nodes: Option<f64>,
    /// How many log entries are committed and not yet applied.
    pub behind: Option<f64>,
    /// The term of the last election.
    pub term: Option<f64>,
    /// Bytes of the database.
    pub size_bytes: Option<f64>,
}

impl Facts {
    /// Of the document.
    pub fn read(status: &Value) -> Facts {
        let at = |pointer: &str| status.pointer(pointer);
        let text = |pointer: &str| {
            at(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let committed = number(at("/store/raft/commit_index"));
        let applied = number(at("/store/raft/applied_index"));
        Facts {
            state: text("/store/raft/state"),
            // Older nodes have a text there.
            leader: text("/store/leader/addr").or_else(|| text("/store/leader")),
            nodes: at("/store/nodes").and_then(Value::as_array).map(|nodes| nodes.len() as f64),
            behind: committed.zip(applied).map(|(all, done)| (all - done).max(0.0)),
            term: number(at("/store/raft/term")),
            size_bytes: number(at("/store/sqlite3/db_size")),
        }
    }

    /// Whether it leads; none where it does neither that nor follow.
    pub fn is_leader(&self) -> Option<bool> {
        match self.state.as_deref()? {
            "Leader" => Some(true),
            "Follower" => Some(false),
            _ => None,
        }
    }
}

/// A number; older nodes write some of them as text.
fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kennel_plugin::json;

    fn facts(text: &str) -> Facts {
        Facts::read(&json::from_str(text).unwrap())
    }

    #[test]
    fn facts_are_where_nodes_of_all_ages_put_them() {
        let new = facts(
            r#"{"store": {"leader": {"addr": "10.0.0.1:4002", "node_id": "1"},
                "nodes": [{"id": "1"}, {"id": "2"}, {"id": "3"}], "sqlite3": {"db_size": 8192},
                "raft": {"state": "Follower", "commit_index": 42, "applied_index": 40, "term": 7}}}"#,
        );
        assert_eq!(new.is_leader(), Some(false));
        assert_eq!(new.leader.as_deref(), Some("10.0.0.1:4002"));
        assert_eq!((new.nodes, new.behind, new.term), (Some(3.0), Some(2.0), Some(7.0)));
        assert_eq!(new.size_bytes, Some(8192.0));
        let old = facts(
            r#"{"store": {"leader": "10.0.0.1:4002",
                "raft": {"state": "Leader", "commit_index": "4", "applied_index": "5"}}}"#,
        );
        assert_eq!(old.is_leader(), Some(true));
        assert_eq!(old.leader.as_deref(), Some("10.0.0.1:4002"));
        assert_eq!((old.nodes, old.behind), (None, Some(0.0)));
    }

    #[test]
    fn nothing_is_made_up_where_nothing_is_said() {
        for text in [
            "null",
            "[]",
            "{}",
            r#"{"store": null}"#,
            r#"{"store": {"leader": {"addr": ""}, "nodes": {}, "raft": {"state": 1}}}"#,
            r#"{"store": {"raft": {"term": "x", "commit_index": {}}}}"#,
        ] {
            assert_eq!(facts(text), Facts::default(), "{text}");
        }
        assert_eq!(facts(r#"{"store": {"raft": {"state": "Candidate"}}}"#).is_leader(), None);
    }
}
