//! Real servers: where they are, what they are started with, and how they are asked.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) use super::ports::free_port;
use super::skip::find;
use super::{is_root, needs_program};

/// Whether one of the servers is missing.
pub(crate) fn needs_nginx() -> bool {
    needs_program("nginx")
}

pub(crate) fn needs_redis() -> bool {
    needs_program("redis-server")
}

pub(crate) fn needs_postgres() -> bool {
    needs_program("postgres") || needs_program("initdb") || needs_program("psql")
}

/// Where a server is, for a command line.
fn path(program: &str) -> String {
    find(program).expect("the test has looked for it").display().to_string()
}

/// Writes an nginx configuration into `directory`; the service's lines of YAML.
pub(crate) fn nginx(directory: &Path, port: u16) -> String {
    let server = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"served by nginx\"; }} }}"
    );
    nginx_with(directory, &server)
}

/// The same with servers of the test's own.
pub(crate) fn nginx_with(directory: &Path, servers: &str) -> String {
    let place = directory.display();
    let text = format!(
        "daemon off;\npid {place}/nginx.pid;\nerror_log stderr;\nworker_processes 2;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off;\n\
         client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};\n\
         uwsgi_temp_path {place}; scgi_temp_path {place};\n{servers} }}\n"
    );
    fs::write(directory.join("nginx.conf"), text).expect("the directory is ours");
    format!("command: [{}, -e, stderr, -c, {place}/nginx.conf]", path("nginx"))
}

/// A redis that loses nothing: every write is synced before it is answered.
pub(crate) fn redis(directory: &Path, port: u16) -> String {
    format!(
        "command: [{}, --port, \"{port}\", --bind, 127.0.0.1, --save, \"\", \
         --appendonly, \"yes\", --appendfsync, always, --dir, {}]",
        path("redis-server"),
        directory.display()
    )
}

/// Makes a database cluster below `directory`; the service's lines of YAML. Postgres
/// refuses to run as root, so there it runs as its own user.
pub(crate) fn postgres(directory: &Path, port: u16) -> String {
    let data = directory.join("pgdata");
    fs::create_dir(&data).expect("the directory is ours");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("ours");
    let mut initdb = if is_root() {
        let user = nix::unistd::User::from_name("postgres").expect("a user database");
        let user = user.expect("the package has made its user");
        nix::unistd::chown(&data, Some(user.uid), Some(user.gid)).expect("root may");
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
        setpriv.arg(path("initdb"));
        setpriv
    } else {
        Command::new(path("initdb"))
    };
    initdb
        .args(["--no-sync", "--auth=trust", "--username=kennel", "--no-locale", "--encoding=UTF8"])
        .arg("-D")
        .arg(&data)
        .current_dir("/");
    let made = initdb.output().expect("initdb can be executed");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let user = if is_root() { "\n    user: postgres" } else { "" };
    format!(
        "command: [{}, -D, {}, -c, port={port}, -c, listen_addresses=127.0.0.1, \
         -c, unix_socket_directories=]{user}",
        path("postgres"),
        data.display()
    )
}

/// The command line of a `psql` that runs `statement`.
pub(crate) fn psql(port: u16, statement: &str) -> Vec<String> {
    let url = format!("postgresql://kennel@127.0.0.1:{port}/postgres?connect_timeout=5");
    ["psql", &url, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement].map(str::to_owned).into()
}

/// What `statement` gives, once the server answers.
pub(crate) fn ask_postgres(port: u16, statement: &str) -> Option<String> {
    let words = psql(port, statement);
    let output = Command::new(&words[0]).args(&words[1..]).output().expect("psql can be executed");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// What redis answers to one command: the bytes of a status, a number or a short text.
pub(crate) fn ask_redis(port: u16, command: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned())
}
