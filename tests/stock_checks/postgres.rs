//! `stock:postgres` with PostgreSQL.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::servers::{ask_postgres, free_port, needs_postgres, postgres};
use crate::support::{BOUND, Kennel, wait_for};

#[test]
fn postgres_is_ready_when_it_lets_in_and_a_password_is_proven() {
    if needs_postgres() {
        return;
    }
    let mut kennel = Kennel::new("").env("DB_PASSWORD", "s3 cret");
    let port = free_port();
    let db = postgres(kennel.directory(), port);
    // Recovery waits for a file: until then the server is starting up.
    let data = kennel.path("pgdata");
    let go = data.join("go");
    let wait = format!(
        "\nrestore_command = 'until test -e {}; do sleep 0.05; done; false'\n",
        go.display()
    );
    let settings = data.join("postgresql.conf");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text + &wait).unwrap();
    fs::write(data.join("standby.signal"), "").unwrap();
    let check = |user: &str, more: &str| {
        format!(
            "{{ plugin: postgres, every: 100ms, timeout: 1s, \
             config: {{ address: \"127.0.0.1:{port}\", user: {user}{more} }} }}"
        )
    };
    kennel.configure(&format!(
        "plugins:\n  postgres: {{ source: \"stock:postgres\", grants: {{ net: [\"127.0.0.1:{port}\"] }} }}\n\
         services:\n  db:\n    {db}\n    ready: {}\n    health: {}\n",
        check("kennel", "").replace("timeout: 1s, ", ""),
        check("probe", ", password: \"${DB_PASSWORD}\", role: primary"),
    ));
    kennel.start();
    kennel.wait_for_health("db", "starting", "unknown", "the database system is starting up");
    fs::write(&go, "").unwrap();
    // It is a standby now, without the user that looks at it.
    kennel.wait_for_health("db", "up", "unknown", "cannot log in as \"probe\"");
    wait_for("the promotion", BOUND, || ask_postgres(port, "select pg_promote()"));
    let hba = "host all probe 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    fs::write(data.join("pg_hba.conf"), hba).unwrap();
    let ask = |statement: &str| {
        wait_for(statement, BOUND, || ask_postgres(port, statement));
    };
    ask("create role probe login password 's3 cret'");
    ask("select pg_reload_conf()");
    kennel.wait_for_health("db", "up", "healthy", "");
    kennel.wait_for_sample("postgres", "db", "primary", 1.0);
    kennel.wait_for_sample("postgres", "db", "connections_max", 100.0);
    assert_eq!(kennel.service("db")["restarts"], 0);

    // Slow is not dead.
    let db = kennel.process("db");
    db.signal(Signal::SIGSTOP);
    kennel.wait_for_health("db", "up", "degraded", "no answer in time");
    db.signal(Signal::SIGCONT);
    kennel.wait_for_health("db", "up", "healthy", "");
    assert_eq!(kennel.process("db"), db);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
