//! Output that goes to the supervisor's own terminal.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A third at a time: short writes are what a terminal does.
        let count = bytes.len().div_ceil(3);
        self.0.lock().unwrap().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn inherited_lines_have_aligned_names_and_move_to_a_file_and_back() {
    let keep = TempDir::new().unwrap();
    let screen = Screen::default();
    let console = Console { writer: Box::new(screen.clone()), colour: false, width: 4 };
    let rig = Rig::start(keep.path().to_path_buf(), console);
    let inherit = LogSettings { to: Destination::Inherit, ..LogSettings::default() };
    let mut web = rig.pipe("web", Stream::Stdout, &inherit);
    let mut worker = rig.pipe("worker", Stream::Stderr, &inherit);
    write!(web, "one\ntw").unwrap();
    rig.flush();
    writeln!(worker, "three").unwrap();
    rig.flush();
    writeln!(web, "o").unwrap();
    rig.flush();
    assert_eq!(screen.text(), "web    | one\nworker | three\nweb    | two\n");
    write!(web, "half").unwrap();
    rig.flush();
    rig.capture.update(&"web".into(), &LogSettings::default());
    writeln!(web, " and half").unwrap();
    rig.flush();
    rig.flush();
    assert_eq!(rig.texts(&rig.query(&["web"])), ["half and half"]);
    rig.capture.update(&"web".into(), &inherit);
    writeln!(web, "back").unwrap();
    rig.flush();
    rig.flush();
    assert!(screen.text().ends_with("three\nweb    | two\nweb    | back\n"), "{}", screen.text());
    assert_eq!(rig.counters("web").lines, 4);
}

#[test]
fn a_stopped_terminal_holds_up_no_log_file() {
    let keep = TempDir::new().unwrap();
    let (_terminal, blocked) = std::io::pipe().unwrap();
    let console = Console { writer: Box::new(blocked), colour: true, width: 0 };
    let rig = Rig::start(keep.path().to_path_buf(), console);
    let inherit = LogSettings { to: Destination::Inherit, ..LogSettings::default() };
    let loud = rig.pipe("loud", Stream::Stdout, &inherit);
    let mut web = rig.pipe("web", Stream::Stdout, &LogSettings::default());
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    thread::spawn(move || {
        let mut loud = loud;
        while loud.write_all(&[b'x'; 1000]).is_ok() {
            count.fetch_add(1000, Relaxed);
        }
    });
    // About what two pipes hold: the service's own, and the one that is the terminal.
    wait_until("the terminal fills up", || written.load(Relaxed) >= 120_000);
    for number in 0..100 {
        writeln!(web, "{number}").unwrap();
    }
    wait_until("the file is written", || rig.counters("web").lines == 100);
    assert!(rig.capture.shutdown(Duration::from_millis(200)).is_err());
    assert_eq!(rig.texts(&rig.query(&["web"])).len(), 100);
}
