//! Who may speak for a service: its own processes and nobody else.

use std::process::{Child, Command, Stdio};
use std::thread;

use super::notifying;
use crate::support::{BOUND, Kennel, needs_root, wait_for};

/// A process that is no part of any service. It lives until it is dropped, so that the
/// supervisor can look at it: one that is gone is ignored in any case, which proves nothing.
struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let ended = self.0.wait();
        assert!(thread::panicking() || ended.unwrap().success());
    }
}

/// Sends `text` to the socket called `name`.
fn say(name: &str, text: &str, as_nobody: bool) -> Stranger {
    let script = "import socket, sys\n\
        name = sys.argv[1]\n\
        name = '\\0' + name[1:] if name.startswith('@') else name\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        s.connect(name)\n\
        s.send(sys.argv[2].encode())\n\
        sys.stdin.read()\n";
    let mut command = if as_nobody {
        let mut setpriv = Command::new("setpriv");
        setpriv.args(["--reuid=nobody", "--clear-groups", "--", "/usr/bin/python3"]);
        setpriv
    } else {
        Command::new("/usr/bin/python3")
    };
    command.args(["-c", script, name.trim_end(), text]).current_dir("/");
    Stranger(command.stdin(Stdio::piped()).spawn().unwrap())
}

fn ignored(kennel: &Kennel) -> u64 {
    let metrics = kennel.api("GET", "/metrics").body;
    let name = "kennel_service_ignored_notifications_total{service=\"web\",instance=\"web\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
    line.parse::<f64>().unwrap() as u64
}

#[test]
fn a_stranger_makes_nobody_ready_and_is_counted_and_told_of() {
    let kennel = notifying(
        "write('name', os.environ['NOTIFY_SOCKET'])\nuntil('go')\nsay('READY=1')\nforever()",
        "",
    );
    let name = kennel.wait_for_file("name");
    for count in 1..=3 {
        let stranger = say(&name, "READY=1\nSTATUS=pwned\nMAINPID=1", false);
        wait_for("the stranger to be counted", BOUND, || (ignored(&kennel) == count).then_some(()));
        drop(stranger);
    }
    let web = kennel.service("web");
    assert_eq!((&web["state"], web["status_text"].is_null()), (&"starting".into(), true));
    let told = kennel.events_of("service.notification_ignored", "web");
    assert_eq!(told.len(), 1, "once a minute at most: {told:#?}");
    kennel.write("go", "");
    kennel.wait_for_state("web", "up");
}

#[test]
fn one_service_cannot_speak_for_another() {
    let mut kennel = Kennel::new("");
    let web = super::python(
        &kennel,
        "web.py",
        "write('name', os.environ['NOTIFY_SOCKET'])\nuntil('go')\nsay('READY=1')\nforever()",
    );
    let rival = super::python(
        &kennel,
        "rival.py",
        "
        until('name')
        os.environ['NOTIFY_SOCKET'] = open('name').read().strip()
        say('READY=1')
        write('said', 'yes')
        forever()
        ",
    );
    kennel.configure(&format!(
        "services:\n  web: {{ {web}, ready: {{ notify: systemd }} }}\n  rival: {{ {rival} }}\n"
    ));
    kennel.start();
    kennel.wait_for_file("said");
    wait_for("the rival to be counted", BOUND, || (ignored(&kennel) == 1).then_some(()));
    assert_eq!(kennel.service("web")["state"], "starting");
    kennel.write("go", "");
    kennel.wait_for_state("web", "up");
}

#[test]
fn an_abstract_name_is_open_to_all_and_heeds_only_its_own() {
    if needs_root("a service of another user") {
        return;
    }
    let kennel = notifying(
        "
        print(os.environ['NOTIFY_SOCKET'], flush=True)
        until('go')
        say('READY=1')
        forever()
        ",
        "user: nobody",
    );
    let name = wait_for("the name in the log", BOUND, || {
        let log = kennel.cli(&["logs", "web"]).stdout;
        log.split_whitespace().find(|word| word.starts_with("@kennel/")).map(str::to_owned)
    });
    // Even one of the same user.
    let strangers = [true, false].map(|as_nobody| say(&name, "READY=1", as_nobody));
    wait_for("both to be counted", BOUND, || (ignored(&kennel) == 2).then_some(()));
    drop(strangers);
    assert_eq!(kennel.service("web")["state"], "starting");
    kennel.write("go", "");
    kennel.wait_for_state("web", "up");
}

#[test]
fn children_grandchildren_and_daemons_of_a_service_speak_for_it() {
    for (who, body) in [
        ("a child", "if os.fork() == 0:\n    say('READY=1')\n    barrier()\nforever()"),
        (
            "a child in a session of its own",
            "if os.fork() == 0:\n    os.setsid()\n    say('READY=1')\n    barrier()\nforever()",
        ),
        (
            "a daemon that has detached itself",
            "
            if os.fork() == 0:
                os.setsid()
                if os.fork() != 0:
                    os._exit(0)
                # Until its parent is gone, and somebody else has become it.
                while os.getppid() == os.getsid(0):
                    time.sleep(0.01)
                say('READY=1')
                barrier()
                forever()
            os.wait()
            forever()
            ",
        ),
    ] {
        let kennel = notifying(body, "");
        let up = kennel.wait_for_state("web", "up");
        assert_eq!(up["state"], "up", "{who}");
    }
}

#[test]
fn who_sends_and_ends_at_once_may_be_ignored_and_a_barrier_helps() {
    // Nobody can look at a process that is gone: with the barrier it is still there.
    let kennel = notifying(
        "
        for _ in range(20):
            if os.fork() == 0:
                os.setsid()
                say('STATUS=x')
                barrier()
                os._exit(0)
            os.wait()
        say('READY=1')
        forever()
        ",
        "",
    );
    kennel.wait_for_state("web", "up");
    assert_eq!(ignored(&kennel), 0);
}

#[test]
fn who_has_nothing_left_of_its_service_but_the_cgroup_speaks_for_it() {
    let kennel = notifying(
        "
        if len(sys.argv) > 1:
            # Until its parent is gone, and somebody else has become it.
            while os.getppid() == int(sys.argv[1]):
                time.sleep(0.01)
            say('READY=1')
            barrier()
            forever()
        until('go')
        if os.fork() == 0:
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
            # In a session of its own, the child of somebody else, and without a mark.
            bare = {'NOTIFY_SOCKET': os.environ['NOTIFY_SOCKET']}
            os.execve(sys.executable, [sys.executable, sys.argv[0], str(os.getsid(0))], bare)
        os.wait()
        forever()
        ",
        "",
    );
    let has_cgroup = kennel.status()["supervisor"]["cgroups"]["used"] == true;
    kennel.write("go", "");
    if has_cgroup {
        kennel.wait_for_state("web", "up");
        assert_eq!(ignored(&kennel), 0);
    } else {
        wait_for("the stranger to be counted", BOUND, || (ignored(&kennel) >= 1).then_some(()));
        assert_eq!(kennel.service("web")["state"], "starting");
    }
}
