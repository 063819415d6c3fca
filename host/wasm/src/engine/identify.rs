//! What a file is, before anybody compiles it.

use crate::error::LoadError;

/// How WebAssembly begins.
const MAGIC: &[u8; 4] = b"\0asm";
/// Version and layer of a core module.
const CORE: [u8; 4] = [1, 0, 0, 0];
/// Version and layer of a component.
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// How other files begin that somebody may take for a plugin, or name by mistake.
const OTHERS: [(&[u8], &str); 9] = [
    (b"\x7fELF", "an executable or machine code (ELF)"),
    (b"#!", "a script"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)"),
    (b"!<arch>\n", "a library archive"),
    (b"(module", "WebAssembly text, not its binary form"),
    (b"(component", "WebAssembly text, not its binary form"),
    (b"BC\xc0\xde", "LLVM bitcode"),
];

/// Finds out whether a file looks like a whole component of an allowed size.
pub(crate) fn identify(bytes: &[u8], max: u64) -> Result<(), LoadError> {
    let size = bytes.len() as u64;
    if bytes.is_empty() {
        return Err(LoadError::Empty);
    }
    if size > max {
        return Err(LoadError::TooLarge { bytes: size, max });
    }
    let begin = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(begin) {
        return Err(LoadError::NotWasm { what: name(bytes).into() });
    }
    match bytes.get(4..8) {
        Some(version) if version == CORE => Err(LoadError::CoreModule),
        Some(version) if version == COMPONENT => sections(bytes),
        Some([version, 0, 1, 0]) => Err(LoadError::Invalid(format!(
            "it is in version {version} of the binary form, expected version 13"
        ))),
        Some(other) => Err(LoadError::Invalid(format!("its header is {other:02x?}"))),
        None => Err(LoadError::Truncated { bytes: size }),
    }
}

/// What a file is that is not WebAssembly.
fn name(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    if let Some((_, what)) = OTHERS.iter().find(|(begin, _)| text.starts_with(begin)) {
        return what;
    }
    let begin = &bytes[..bytes.len().min(4096)];
    let is_text = |text: &str| !text.contains('\0');
    match std::str::from_utf8(begin) {
        Ok(text) if is_text(text) => "text",
        // Cut within a character.
        Err(error) if error.error_len().is_none() && !begin.contains(&0) => "text",
        _ => "no WebAssembly",
    }
}

/// Walks over the outer sections, each of which says how long it is.
fn sections(bytes: &[u8]) -> Result<(), LoadError> {
    let truncated = LoadError::Truncated { bytes: bytes.len() as u64 };
    let mut rest = &bytes[8..];
    while let Some((_id, after)) = rest.split_first() {
        let Some((length, content)) = leb128(after) else { return Err(truncated) };
        match content.get(length..) {
            Some(after) => rest = after,
            None => return Err(truncated),
        }
    }
    Ok(())
}

/// A length in LEB128, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> String {
        match identify(bytes, 1000) {
            Ok(()) => "a component".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_file_that_is_no_component_is_named_for_what_it_is() {
        let expected = "expected a WebAssembly component";
        let cases: [(&[u8], &str); 12] = [
            (b"", "the file is empty"),
            (b"\0as", "cut off after 3 bytes"),
            (b"\0asm\x0d\0", "cut off after 6 bytes"),
            (b"\0asm\x01\0\0\0", "a WebAssembly core module, expected a component"),
            (b"\0asm\x0c\0\x01\0", "version 12 of the binary form"),
            (b"\0asm\x0d\0\x01\0\x07\x05abc", "cut off after 13 bytes"),
            (b"\0asm\x0d\0\x01\0\x07\x80", "cut off after 10 bytes"),
            (b"\x7fELF\x02\x01", "ELF"),
            (b"#!/bin/sh\n", "a script"),
            (b"  (module)", "WebAssembly text"),
            ("services:\n  wäb:\n".as_bytes(), "the file is text"),
            (&[0xff; 20], "no WebAssembly"),
        ];
        for (bytes, said) in cases {
            assert!(of(bytes).contains(said), "{bytes:?}: {}", of(bytes));
        }
        assert!(of(b"hello").ends_with(expected), "{}", of(b"hello"));
        assert_eq!(of(b"\0asm\x0d\0\x01\0\x07\x03abc"), "a component");
        assert!(of(&[0; 1001]).contains("1001 bytes, the limit is 1000"));
    }
}
