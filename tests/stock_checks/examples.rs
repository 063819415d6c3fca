//! The examples of the plugins' READMEs.

use crate::support::Kennel;

#[test]
fn the_examples_of_the_readmes_are_valid() {
    for (name, readme) in [
        ("redis", include_str!("../../plugins/redis/README.md")),
        ("postgres", include_str!("../../plugins/postgres/README.md")),
        ("rqlite", include_str!("../../plugins/rqlite/README.md")),
        ("grpc", include_str!("../../plugins/grpc/README.md")),
    ] {
        let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let kennel = Kennel::new(example.unwrap_or_else(|| panic!("no example of {name}")))
            .env("DB_PASSWORD", "s3cret");
        kennel.cli(&["check"]).ok();
    }
}

#[test]
fn mistakes_in_the_configuration_of_a_check_are_told_where_they_are() {
    let kennel = Kennel::new(
        r#"
        plugins:
          redis: { source: "stock:redis" }
        services:
          web:
            command: [sleep, "1000"]
            health:
              plugin: redis
              config: { address: localhost, rule: primary }
        "#,
    );
    let told = kennel.cli(&["check"]).fails(2);
    for part in ["\"localhost\" has no port", "unknown key \"rule\"; did you mean \"role\"?"] {
        assert!(told.contains(part), "{told}");
    }
}
