//! The signature of a request.
//!
//! ```text
//! kennel-signature: t=1795229102,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd
//! ```
//!
//! `t` is when it was made, in seconds since 1970; `v1` is HMAC-SHA256 (RFC 2104) with the
//! secret as key over `t`, a dot and the body, in hexadecimal. The time is part of what is
//! signed, so that an old request cannot be sent again as a new one.

use hmac::{Hmac, KeyInit as _, Mac as _};
use kennel_plugin::Secret;
use sha2::Sha256;

/// The value of the header.
pub(crate) fn header(secret: &Secret, seconds: u64, body: &[u8]) -> String {
    let timestamp = seconds.to_string();
    let mac = hmac(secret.0.as_bytes(), &[timestamp.as_bytes(), b".", body]);
    let hexadecimal: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={timestamp},v1={hexadecimal}")
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of HMAC has any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231, test cases 1, 2, 3 and 6.
    #[test]
    fn the_mac_is_that_of_the_standard() {
        for (key, data, mac) in [
            (
                [0x0b; 20].to_vec(),
                b"Hi There".to_vec(),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?".to_vec(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                [0xaa; 20].to_vec(),
                [0xdd; 50].to_vec(),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                [0xaa; 131].to_vec(),
                b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hexadecimal(&hmac(&key, &[&data])), mac);
            let (front, back) = data.split_at(data.len() / 2);
            assert_eq!(hexadecimal(&hmac(&key, &[front, back])), mac);
        }
    }
}
