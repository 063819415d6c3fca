//! How a call ended: `grpc-status` and `grpc-message` (gRPC documentation, "gRPC over
//! HTTP2" and "Status codes and their use").

use kennel_plugin::prelude::*;

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The status code.
    pub code: u32,
    /// What the server says of it.
    pub message: String,
}

impl Ended {
    /// Of an answer. None: it is no answer to a call at all.
    pub fn of(response: &Response) -> Option<Ended> {
        // Behind the message in trailers; where there is none, in the only headers.
        let said =
            |name: &str| response.ext(&format!("trailer:{name}")).or_else(|| response.header(name));
        let code = said("grpc-status")?.trim().parse().ok()?;
        let message = said("grpc-message").map(decode).unwrap_or_default();
        Some(Ended { code, message })
    }

    /// The name of the code, as the standard has it.
    pub fn name(&self) -> &'static str {
        const NAMES: [&str; 17] = [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ];
        NAMES.get(self.code as usize).copied().unwrap_or("an unknown status")
    }
}

/// Messages are percent-encoded; what is not, is taken as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let coded = after.get(..2).filter(|_| *first == b'%');
        let coded = coded.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let value = coded
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    let text = String::from_utf8_lossy(&bytes);
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_decoded_and_cut_to_a_line() {
        for (coded, text) in [
            ("plain", "plain"),
            ("a%20b", "a b"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("%+1", "%+1"),
            ("%c3%a4%ff", "ä\u{fffd}"),
            ("one%0Atwo", "one"),
            ("", ""),
        ] {
            assert_eq!(decode(coded), text);
        }
    }

    #[test]
    fn trailers_count_and_headers_where_there_are_none() {
        let mut response = Response::default();
        assert_eq!(Ended::of(&response), None);
        response.headers.push(("Grpc-Status".to_owned(), "12".to_owned()));
        let ended = Ended::of(&response).unwrap();
        assert_eq!((ended.code, ended.name()), (12, "UNIMPLEMENTED"));
        response.ext.push(("trailer:grpc-status".to_owned(), "0".to_owned()));
        assert_eq!(Ended::of(&response).unwrap().code, 0);
        assert_eq!(Ended { code: 99, message: String::new() }.name(), "an unknown status");
        response.ext = vec![("trailer:grpc-status".to_owned(), "-1".to_owned())];
        assert_eq!(Ended::of(&response), None);
    }
}
