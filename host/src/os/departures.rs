//! When a file may have been removed or moved: `inotify(7)`.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::network_fs::network_fs;

/// Readable when a file, or a directory that it is in, may have been removed or moved.
pub(crate) struct Departures(Inotify);

impl Departures {
    /// Those of the file at `path`. None where they cannot be told: there is no such file, it is
    /// on a network file system, whose other users the kernel does not see, or the user has no
    /// instance or watch left (`/proc/sys/fs/inotify`).
    pub(crate) fn of(path: &Path) -> Option<Departures> {
        let path = fs::canonicalize(path).ok()?;
        if network_fs(&File::open(&path).ok()?).is_some() {
            return None;
        }
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
        let moved = AddWatchFlags::IN_MOVE_SELF;
        // A file that somebody has open is not deleted when its name is: its number of names
        // changes, and that is an attribute.
        let removed = AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DELETE_SELF;
        inotify.add_watch(&path, moved | removed).ok()?;
        for above in path.ancestors().skip(1) {
            // Those that we may not read are not ours, and are not moved.
            let _ = inotify.add_watch(above, moved);
        }
        Some(Departures(inotify))
    }
}

impl AsFd for Departures {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn has_come(departures: &Departures, patience: PollTimeout) -> bool {
        let mut waited = [PollFd::new(departures.as_fd(), PollFlags::POLLIN)];
        poll(&mut waited, patience).unwrap() == 1
    }

    #[test]
    fn a_file_that_is_removed_or_moved_with_its_directories_is_told_of_and_one_that_is_written_not()
    {
        type Departure = fn(&Path);
        let ways: [Departure; 4] = [
            |home| fs::remove_file(home.join("a/b/file")).unwrap(),
            |home| fs::rename(home.join("a/b/file"), home.join("a/b/other")).unwrap(),
            |home| fs::rename(home.join("a/b"), home.join("a/c")).unwrap(),
            |home| fs::rename(home.join("a"), home.join("c")).unwrap(),
        ];
        for depart in ways {
            let home = tempfile::tempdir().unwrap();
            fs::create_dir_all(home.path().join("a/b")).unwrap();
            let file = home.path().join("a/b/file");
            fs::write(&file, "1").unwrap();
            let _open = File::open(&file).unwrap();
            let departures = Departures::of(&file).expect("a local file system");
            fs::write(&file, "2").unwrap();
            fs::write(home.path().join("a/b/beside"), "1").unwrap();
            assert!(!has_come(&departures, PollTimeout::ZERO));
            depart(home.path());
            assert!(has_come(&departures, PollTimeout::from(20_000_u16)));
        }
        assert!(Departures::of(Path::new("/nowhere/file")).is_none());
    }
}
