//! Whether a file lies on the disk of another machine.

use std::os::fd::AsFd;

use nix::sys::statfs::fstatfs;

/// The numbers of file systems whose files are on a server (`statfs(2)`, and for the second
/// version of SMB and for Ceph `linux/magic.h`). FUSE is none of them: it says nothing of where
/// the files are. Nor is 9P, which mostly shares files of the machine that a virtual one runs on.
const NETWORK: [(u32, &str); 8] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
];

/// The name of the network file system that a file lies on; none: it is on this machine as far
/// as is known. Blocks for as long as the file system takes.
pub(super) fn network_fs(file: impl AsFd) -> Option<&'static str> {
    let found = fstatfs(file).ok()?;
    // All of them have 32 bits, and on some machines a sign.
    name_of(found.filesystem_type().0 as u32)
}

fn name_of(number: u32) -> Option<&'static str> {
    NETWORK.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_has_is_told_from_what_this_machine_has() {
        for (number, name) in [
            (libc::NFS_SUPER_MAGIC as u32, Some("NFS")),
            (libc::SMB_SUPER_MAGIC as u32, Some("SMB")),
            (libc::AFS_SUPER_MAGIC as u32, Some("AFS")),
            (libc::CODA_SUPER_MAGIC as u32, Some("Coda")),
            (libc::TMPFS_MAGIC as u32, None),
            (libc::EXT4_SUPER_MAGIC as u32, None),
            (libc::BTRFS_SUPER_MAGIC as u32, None),
            (libc::XFS_SUPER_MAGIC as u32, None),
            (libc::OVERLAYFS_SUPER_MAGIC as u32, None),
            (libc::FUSE_SUPER_MAGIC as u32, None),
        ] {
            assert_eq!(name_of(number), name, "{number:#x}");
        }
        assert_eq!(network_fs(std::fs::File::open("/proc/self/stat").unwrap()), None);
    }
}
