//! What redis says of itself in answer to `INFO`: lines `key:value`.

/// The answer to `INFO`. Whatever is not there is none: fields differ from version to version.
#[derive(Debug, Clone, Default)]
pub struct Info<'a> {
    text: &'a str,
}

impl<'a> Info<'a> {
    /// Of the text of the answer.
    pub fn new(text: &'a str) -> Info<'a> {
        Info { text }
    }

    /// A field's value.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
    }

    /// A number that is one.
    pub fn number(&self, key: &str) -> Option<f64> {
        let number: f64 = self.text(key)?.trim_end_matches('%').parse().ok()?;
        number.is_finite().then_some(number)
    }

    /// Whether a field is `1`.
    pub fn is_set(&self, key: &str) -> bool {
        self.text(key) == Some("1")
    }

    /// Whether it takes writes; none where it does not say.
    pub fn is_primary(&self) -> Option<bool> {
        match self.text("role")? {
            "master" => Some(true),
            "slave" => Some(false),
            _ => None,
        }
    }

    /// `host:port` of the primary that a replica copies.
    pub fn primary(&self) -> String {
        let host = self.text("master_host").unwrap_or("?");
        let port = self.text("master_port").unwrap_or("?");
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// How many keys there are in all databases: `db0:keys=42,expires=0,…`.
    pub fn keys(&self) -> f64 {
        let keys = self.text.lines().filter_map(|line| {
            let (name, rest) = line.split_once(":keys=")?;
            let numbered = name.strip_prefix("db")?.bytes().all(|byte| byte.is_ascii_digit());
            let keys: u64 = rest.split(',').next()?.parse().ok()?;
            numbered.then_some(keys as f64)
        });
        keys.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let info = Info::new(
            "# Replication\r\nrole:slave\r\nmaster_host:::1\r\nmaster_port:6379\r\n\
             used_memory:1024\r\nused_memory_rss:4096\r\nloading_loaded_perc:37.5%\r\n\
             loading:1\r\nnot:a:number\r\nodd:inf\r\n\
             db0:keys=40,expires=1,avg_ttl=0\r\ndb12:keys=2,expires=0\r\ndbx:keys=9\r\n",
        );
        assert_eq!(info.number("used_memory"), Some(1024.0));
        assert_eq!(info.number("loading_loaded_perc"), Some(37.5));
        assert_eq!(info.number("used"), None);
        assert_eq!(info.number("not"), None);
        assert_eq!(info.number("odd"), None);
        assert!(info.is_set("loading"));
        assert!(!info.is_set("used_memory"));
        assert_eq!(info.is_primary(), Some(false));
        assert_eq!(info.primary(), "[::1]:6379");
        assert_eq!(info.keys(), 42.0);
    }

    #[test]
    fn nothing_is_made_up_where_nothing_is_said() {
        for text in ["", "role", "role:sentinel", "\r\n\r\n", ":::", "db0:keys=-1"] {
            let info = Info::new(text);
            assert_eq!(info.is_primary(), None);
            assert_eq!(info.number("used_memory"), None);
            assert_eq!(info.keys(), 0.0);
        }
    }
}
