//! Bytes over TCP and Unix sockets, one exchange or a conversation.

use std::path::Path;

use kennel_wasm::Grants;
use kennel_wasm::grants::NetGrant;

use super::super::{AllowAll, Channel, Deadline, ProbeError, Stage, tcp, unix};
use super::support::{LONGER, SHORT, Then, needs, redis, says, soon};

#[tokio::test]
async fn redis_answers_a_ping_over_both_kinds_of_socket() {
    if needs("redis-server") {
        return;
    }
    let server = redis("");
    let answer = tcp(&server.authority(), b"PING\r\n", 7, &AllowAll, soon()).await.unwrap();
    assert_eq!(answer, b"+PONG\r\n");
    let by_name = format!("localhost:{}", server.port);
    let answer = tcp(&by_name, b"PING\r\nQUIT\r\n", 1024, &AllowAll, soon()).await.unwrap();
    assert_eq!(answer, b"+PONG\r\n+OK\r\n", "up to the end");
    let answer = unix(&server.path("redis.sock"), b"PING\r\n", 7, soon()).await.unwrap();
    assert_eq!(answer, b"+PONG\r\n");
    // To connect is enough where nothing is to be read.
    assert_eq!(tcp(&server.authority(), b"", 0, &AllowAll, soon()).await.unwrap(), b"");
}

#[tokio::test]
async fn a_conversation_goes_back_and_forth() {
    if needs("redis-server") {
        return;
    }
    let server = redis("open sesame");
    let mut channel = Channel::tcp(&server.authority(), &AllowAll, soon()).await.unwrap();
    for (question, answer) in [
        ("PING\r\n", "-NOAUTH Authentication required.\r\n"),
        ("AUTH \"open sesame\"\r\n", "+OK\r\n"),
        ("PING\r\n", "+PONG\r\n"),
        ("QUIT\r\n", "+OK\r\n"),
    ] {
        channel.write(question.as_bytes(), soon()).await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n") {
            // Byte by byte: what is not read yet is kept.
            heard.extend(channel.read(1, soon()).await.unwrap());
        }
        assert_eq!(String::from_utf8_lossy(&heard), answer, "to {question:?}");
    }
    assert_eq!(channel.read(10, soon()).await.unwrap(), b"", "the server closes after QUIT");
}

#[tokio::test]
async fn what_came_by_the_deadline_is_the_answer() {
    let talks = says(&["220 ready\r\n"], Then::IsSilent).await;
    let authority = talks.address.to_string();
    let answer = tcp(&authority, b"x", 1024, &AllowAll, Deadline::after(LONGER)).await.unwrap();
    assert_eq!(answer, b"220 ready\r\n");
    let mute = says(&[], Then::IsSilent).await;
    let authority = mute.address.to_string();
    let answer = tcp(&authority, b"x", 1024, &AllowAll, Deadline::after(SHORT)).await;
    let late = ProbeError::Late { stage: Stage::Answer, to: authority, within: SHORT };
    assert_eq!(answer, Err(late));
    let ends = says(&[], Then::Closes).await;
    let answer = tcp(&ends.address.to_string(), b"x", 1024, &AllowAll, soon()).await;
    assert_eq!(answer, Ok(vec![]));
}

#[tokio::test]
async fn a_plugin_connects_only_where_it_was_granted() {
    let server = says(&["hello"], Then::Closes).await;
    let port = server.address.port();
    let grants = |text: &str| {
        let net = vec![NetGrant::parse(text).unwrap()];
        Grants { net, ..Grants::default() }
    };
    let ask = async |authority: String, grants: Grants| {
        tcp(&authority, b"x", 5, &grants, soon()).await.map_err(|error| error.to_string())
    };
    let (by_address, by_name) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let hello = Ok(b"hello".to_vec());
    assert_eq!(ask(by_address.clone(), grants(&by_address)).await, hello);
    assert_eq!(ask(by_name.clone(), grants(&by_name)).await, hello);
    // Of the two addresses of the name, the one that is granted.
    assert_eq!(ask(by_name.clone(), grants(&by_address)).await, hello);
    let needed = format!("needs grants: {{ net: [\"{by_address}\"] }}");
    assert_eq!(ask(by_address, grants("127.0.0.2:*")).await, Err(needed));
    let needed = format!("needs grants: {{ net: [\"{by_name}\"] }}");
    assert_eq!(ask(by_name, grants("10.0.0.0/8:*")).await, Err(needed));
}

#[tokio::test]
async fn what_is_no_address_is_told_before_anything_is_done() {
    for (authority, why) in [
        ("redis", "\"redis\" is not host:port: it has no port"),
        (":1", "\":1\" is not host:port: it has no host"),
        ("::1:80", "\"::1:80\" is not host:port: an IPv6 address stands in brackets"),
        ("a:0", "\"a:0\" is not host:port: a port is a number from 1 to 65535"),
        ("a:b", "\"a:b\" is not host:port: a port is a number from 1 to 65535"),
    ] {
        let answer = tcp(authority, b"", 0, &AllowAll, soon()).await;
        assert_eq!(answer, Err(ProbeError::Invalid(why.into())));
    }
    let long = format!("/{}", "x".repeat(107));
    let error = unix(Path::new(&long), b"", 0, soon()).await.unwrap_err();
    assert!(error.to_string().ends_with("has at most 107 bytes"), "{error}");
}
