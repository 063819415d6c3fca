//! The exit codes that `sysexits.h` names.

/// Codes and names.
pub(crate) const NAMES: [(u8, &str); 16] = [
    (0, "EX_OK"),
    (64, "EX_USAGE"),
    (65, "EX_DATAERR"),
    (66, "EX_NOINPUT"),
    (67, "EX_NOUSER"),
    (68, "EX_NOHOST"),
    (69, "EX_UNAVAILABLE"),
    (70, "EX_SOFTWARE"),
    (71, "EX_OSERR"),
    (72, "EX_OSFILE"),
    (73, "EX_CANTCREAT"),
    (74, "EX_IOERR"),
    (75, "EX_TEMPFAIL"),
    (76, "EX_PROTOCOL"),
    (77, "EX_NOPERM"),
    (78, "EX_CONFIG"),
];

/// The code with this name.
pub(crate) fn code(name: &str) -> Option<u8> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(code, _)| *code)
}

/// The name of this code; 0 has none that helps.
pub(crate) fn name(code: i32) -> Option<&'static str> {
    NAMES[1..].iter().find(|(known, _)| i32::from(*known) == code).map(|(_, name)| *name)
}
