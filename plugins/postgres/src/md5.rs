//! The older way to prove a password: a digest with a salt (PostgreSQL documentation,
//! "AuthenticationMD5Password").

use md5::{Digest as _, Md5};

/// What is sent in place of the password.
pub(crate) fn proof(user: &str, password: &str, salt: [u8; 4]) -> String {
    let stored = hex(&[password.as_bytes(), user.as_bytes()]);
    format!("md5{}", hex(&[stored.as_bytes(), &salt]))
}

fn hex(parts: &[&[u8]]) -> String {
    let mut digest = Md5::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_one_of_the_standard() {
        assert_eq!(hex(&[b"message ", b"digest"]), "f96b697d7cb7938d525a2f31aaf161d0");
    }

    #[test]
    fn a_proof_is_the_digest_of_a_salted_digest() {
        // printf s3cretkennel | md5sum; printf "${that}salt" | md5sum
        assert_eq!(proof("kennel", "s3cret", *b"salt"), "md558f7f35afa1a7f48af0cc9e57f00fa36");
    }
}
