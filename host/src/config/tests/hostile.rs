//! Text that was made to do harm ends in an error, soon, and never in a panic.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{client_paths, load, load_str};
use super::{environment, report};

/// Long enough for a slow machine under load; without limits these take minutes.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn hostile_text_ends_in_one_error_soon() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        let items = [below.as_str(); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{items}]").unwrap();
    }
    let aliases = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(100), "*a, ".repeat(10_000));
    let deep_by_alias = {
        let mut text = String::from("a0: &a0 [x]\n");
        for level in 1..100 {
            writeln!(text, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
        }
        text
    };
    let blocks: String = (0..10_000).map(|depth| " ".repeat(depth.min(90)) + "a:\n").collect();
    for (name, text, expected) in [
        ("an alias bomb", bomb, "the file has more than 250000 values"),
        ("many aliases", aliases, "the file has more than 250000 values"),
        ("deep by aliases", deep_by_alias, "nested more than 32 levels deep"),
        ("deep lists", "[".repeat(10_000), "nested more than 32 levels deep"),
        ("deep mappings", "{a: ".repeat(10_000), "nested more than 32 levels deep"),
        ("deep blocks", blocks, "nested more than 32 levels deep"),
        ("deep dashes", "- ".repeat(10_000), "nested more than 32 levels deep"),
        ("an alias in itself", "a: &a [*a]\n".to_owned(), "the alias stands inside"),
        ("many values", format!("a: [{}]", "x,".repeat(400_000)), "more than 250000 values"),
    ] {
        let start = Instant::now();
        let shown = report(&text);
        assert!(shown.contains(expected), "{name}: {}", &shown[..shown.len().min(2000)]);
        assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
    }
}

#[test]
fn a_hostile_number_of_mistakes_is_counted_and_not_shown() {
    let keys: String = (0..40_000).map(|n| format!("  k{n}: x\n")).collect();
    let start = Instant::now();
    let shown = report(&format!("kennel:\n{keys}services: {{ a: {{ command: x }} }}\n"));
    assert!(shown.ends_with("40000 errors, the first 50 are shown"), "{}", shown.len());
    assert!(shown.len() < 50_000);
    let names: String =
        (0..20_000).map(|n| format!("  s{n}: {{ command: 1, nice: 50 }}\n")).collect();
    let shown = report(&format!("services:\n{names}"));
    assert!(
        shown.ends_with("20000 errors, the first 50 are shown"),
        "{}",
        &shown[..shown.len().min(500)]
    );
    assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
}

#[test]
fn a_long_chain_of_dependencies_and_a_long_cycle_are_refused_and_overflow_nothing() {
    let chain: String = (1..15_000)
        .map(|n| format!("  s{n}: {{ command: x, depends_on: [s{}] }}\n", n - 1))
        .collect();
    let shown = report(&format!("services:\n  s0: {{ command: x }}\n{chain}"));
    assert!(shown.contains("more than 1000 dependencies lie one behind the other"), "{shown}");
    let shown =
        report(&format!("services:\n  s0: {{ command: x, depends_on: [s14999] }}\n{chain}"));
    assert!(shown.contains("dependency cycle: s0 → s14999 → s14998"), "{shown}");
    assert!(shown.contains("… → s1 → s0"), "{shown}");
}

#[test]
fn values_of_variables_cannot_fill_the_memory() {
    let env = environment(&[("BIG", &"x".repeat(100_000))]);
    let items = "\"${BIG}${BIG}\", ".repeat(20_000);
    let text = format!("services: {{ a: {{ command: [{items}] }} }}");
    let shown = load_str(Path::new("/conf/services.yaml"), &text, &env).unwrap_err().to_string();
    assert!(
        shown.contains("the variables' values are too long"),
        "{}",
        &shown[..shown.len().min(500)]
    );
}

#[test]
fn large_files_directories_and_other_bytes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (path, expected) in [
        (file("large.yaml", &vec![b'#'; 5 << 20]), "it is larger than 1 MiB\n  hint: split it"),
        (file("latin1.yaml", b"services:\n  web: \xe9\n"), "line 2 is not UTF-8 text"),
        (file("nul.yaml", b"services:\0"), ": cannot read the file as YAML"),
        (dir.path().to_owned(), "it is a directory\n  hint: name a file in it"),
        (dir.path().join("none.yaml"), "no such file\n  hint: name another file with -c FILE"),
        (file("empty.yaml", b""), "no services in"),
    ] {
        let shown = load(&path, &environment(&[])).unwrap_err().to_string();
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn no_text_makes_it_panic() {
    let base = include_str!("every_key.yaml");
    let path = Path::new("/conf/services.yaml");
    let env = environment(&[]);
    let probe = |text: &str| drop(load_str(path, text, &env));
    for at in (0..base.len()).filter(|at| base.is_char_boundary(*at)) {
        probe(&base[..at]);
        let (before, after) = base.split_at(at);
        let rest: String = after.chars().skip(1).collect();
        let odd =
            [':', '{', '[', '"', '\'', '&', '*', '$', '\t', '\n', '-', '\u{0}', 'é', '#', '%'];
        let character = odd[at % odd.len()];
        // Left out, replaced, put in: each place gets one of them.
        probe(&match at % 3 {
            0 => format!("{before}{rest}"),
            1 => format!("{before}{character}{rest}"),
            _ => format!("{before}{character}{after}"),
        });
    }
}

#[test]
fn a_second_document_is_refused() {
    let shown = report("services:\n  a: { command: x }\n---\nkennel: {}\n");
    assert!(shown.starts_with("/conf/services.yaml:3:1: a second document starts here"), "{shown}");
}

#[test]
fn a_client_finds_the_socket_of_a_broken_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("services.yaml");
    let env = environment(&[("NAME", "from-env")]);
    for (text, expected) in [
        ("kennel: { name: shop }\nservices: {}", "/run/user/7/kennel/shop.sock"),
        ("kennel:\n  name: ${NAME}\n# x\n\nservices: [\n", "/run/user/7/kennel/from-env.sock"),
        ("services: {}\nkennel:\n  socket: /tmp/x.sock\nbroken", "/tmp/x.sock"),
        ("kennel: [", "/run/user/7/kennel/services.sock"),
        ("", "/run/user/7/kennel/services.sock"),
        ("kennel: { name: ../../etc }", "/run/user/7/kennel/services.sock"),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(client_paths(&path, &env).socket, Some(expected.into()), "{text}");
    }
    std::fs::write(&path, "kennel: { socket: ./run/x.sock, name: y }").unwrap();
    assert_eq!(client_paths(&path, &env).socket, Some(dir.path().join("run/x.sock")));
    let mut bare = environment(&[]);
    bare.vars.remove("XDG_RUNTIME_DIR");
    assert_eq!(
        client_paths(Path::new("/none/my conf.yaml"), &bare).socket,
        Some("/home/me/.local/state/kennel/my-conf/kennel.sock".into())
    );
    bare.vars.remove("HOME");
    assert_eq!(client_paths(Path::new("/none/services.yaml"), &bare).socket, None);
    bare.is_root = true;
    assert_eq!(
        client_paths(Path::new("/none/services.yaml"), &bare).socket,
        Some("/run/kennel/services.sock".into())
    );
}

#[test]
fn a_pipe_that_nobody_writes_to_is_refused_where_a_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let path = dir.path().join("services.yaml");
    let text = "kennel: { include: [./pipe] }\nenv_file: ./pipe\nservices: { a: { command: x } }";
    std::fs::write(&path, text).unwrap();
    let shown = load(&path, &environment(&[])).unwrap_err().to_string();
    assert_eq!(shown.matches("it is no regular file").count(), 2, "{shown}");
}
