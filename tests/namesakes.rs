//! Files of one name in several directories, which say nothing of where their state is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::kennel::binary;
use crate::support::{BOUND, wait_for};

/// Some directories, each with a file of the same name, and no supervisor left at the end.
struct Namesakes {
    home: TempDir,
    file: String,
}

/// How a command ended, and all that it said.
type Said = (Option<i32>, String);

impl Namesakes {
    /// `name` is that of the test, for tests run side by side.
    fn new(name: &str, places: &[&str]) -> Namesakes {
        let home = tempfile::Builder::new().prefix("k-").tempdir().unwrap();
        // As root there is one place for the state of all: nobody else has this name.
        let namesakes = Namesakes { home, file: format!("{name}-{}.yaml", std::process::id()) };
        for place in places {
            fs::create_dir(namesakes.home.path().join(place)).unwrap();
            let text = format!("services: {{ {place}: {{ command: [sleep, '1000'] }} }}\n");
            fs::write(namesakes.file(place), text).unwrap();
        }
        namesakes
    }

    fn file(&self, place: &str) -> PathBuf {
        self.home.path().join(place).join(&self.file)
    }

    /// `kennel -c FILE ARGS` in one of the directories.
    fn kennel(&self, place: &str, args: &[&str]) -> Said {
        self.kennel_with(place, args, &self.home.path().join("run"))
    }

    fn kennel_with(&self, place: &str, args: &[&str], runtime: &Path) -> Said {
        let output = Command::new(binary())
            .args(["-c", &self.file])
            .args(args)
            .current_dir(self.home.path().join(place))
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", runtime)
            .env_remove("XDG_STATE_HOME")
            .env_remove("KENNEL_SOCKET")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn works(&self, place: &str, args: &[&str]) -> String {
        let (code, said) = self.kennel(place, args);
        assert_eq!(code, Some(0), "{said}");
        said
    }

    /// It says that the state is that of the file in another directory.
    #[track_caller]
    fn is_refused(&self, place: &str, args: &[&str], theirs: &str) {
        let (code, said) = self.kennel(place, args);
        assert_eq!(code, Some(2), "{said}");
        for file in [self.file(place), self.file(theirs)] {
            assert!(said.contains(&format!("\"{}\"", file.display())), "{said}");
        }
        assert!(said.contains("hint:") && said.contains("kennel.name"), "{said}");
    }
}

impl Drop for Namesakes {
    fn drop(&mut self) {
        for place in ["one", "three"] {
            if self.file(place).exists() {
                self.kennel(place, &["shutdown", "--now"]);
            }
        }
        let name = self.file.trim_end_matches(".yaml");
        let _ = fs::remove_dir_all(Path::new("/var/lib/kennel").join(name));
    }
}

#[test]
fn files_of_one_name_do_not_take_each_others_services() {
    let twins = Namesakes::new("twins", &["one", "two", "three"]);
    twins.works("one", &["run", "--detach"]);
    assert!(twins.works("one", &["status"]).contains("one "));
    // Neither are the other's services shown, nor does an order reach them.
    for args in [&["status"][..], &["stop", "two"], &["reload"], &["plan"], &["shutdown"]] {
        twins.is_refused("two", args, "one");
    }
    let (code, said) = twins.kennel("two", &["run"]);
    assert_eq!(code, Some(4), "{said}");
    // Nor does another file take over what the first has left.
    twins.works("one", &["stop", "one"]);
    twins.works("one", &["shutdown"]);
    twins.is_refused("two", &["run"], "one");
    twins.is_refused("two", &["run", "--detach"], "one");
    // A name of its own is enough, and so is a state directory.
    fs::write(twins.file("two"), "kennel: { state_dir: ./state }\nservices: {}\n").unwrap();
    let (code, said) = twins.kennel("two", &["status"]);
    assert_eq!(code, Some(3), "{said}");
    // A file that has moved is the same one, and what the operator wanted is remembered.
    fs::rename(twins.file("one"), twins.file("three")).unwrap();
    twins.works("three", &["run", "--detach"]);
    assert!(twins.works("three", &["status"]).contains("down"));
    twins.works("three", &["shutdown"]);
}

#[test]
fn a_supervisor_is_found_from_another_environment_and_after_its_socket_was_changed() {
    let kennel = Namesakes::new("found", &["one"]);
    let place = "one";
    kennel.works(place, &["run", "--detach"]);
    let up = |runtime: &Path| {
        let said = wait_for("the supervisor to be found", BOUND, || {
            let (code, said) = kennel.kennel_with(place, &["status", "one"], runtime);
            (code == Some(0)).then_some(said)
        });
        assert!(said.contains("one "), "{said}");
    };
    up(&kennel.home.path().join("another"));
    let text = fs::read_to_string(kennel.file(place)).unwrap();
    fs::write(kennel.file(place), format!("kennel: {{ socket: ./new.sock }}\n{text}")).unwrap();
    up(&kennel.home.path().join("run"));
    kennel.works(place, &["shutdown"]);
}
