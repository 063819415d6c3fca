//! What is a grant, what is not, and what each allows.

use super::*;

fn net(texts: &[&str]) -> Grants {
    let net = texts.iter().map(|text| NetGrant::parse(text).expect(text)).collect();
    Grants { net, ..Grants::default() }
}

fn http(texts: &[&str]) -> Grants {
    let http = texts.iter().map(|text| Origin::parse(text).expect(text)).collect();
    Grants { http, ..Grants::default() }
}

fn tcp(authority: &str) -> Endpoint {
    let (host, port) = authority.rsplit_once(':').expect("a port");
    let host = host.trim_matches(['[', ']']).to_owned();
    Endpoint { protocol: Protocol::Tcp, host, port: port.parse().expect("a port") }
}

fn request(origin: &str) -> Endpoint {
    let (scheme, rest) = origin.split_once("://").expect("a scheme");
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().expect("a port")),
        _ => (rest, scheme.default_port()),
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    Endpoint { protocol: Protocol::Http(scheme), host, port }
}

/// As a probe goes about it: asks, resolves, asks for every address.
fn reach(grants: &Grants, endpoint: &Endpoint, resolved: &str) -> Result<(), Denied> {
    grants.before_dns(endpoint)?;
    grants.after_dns(endpoint, resolved.parse().expect("an address"))
}

#[test]
fn what_is_granted_for_the_network_is_read_and_shown() {
    for (text, shown) in [
        ("127.0.0.1:6379", "127.0.0.1:6379"),
        ("Db.Internal.:5432", "db.internal:5432"),
        ("a_b-c.d1:*", "a_b-c.d1:*"),
        ("10.0.0.0/8:*", "10.0.0.0/8:*"),
        ("10.1.2.3/32:80", "10.1.2.3:80"),
        ("0.0.0.0/0:443", "0.0.0.0/0:443"),
        ("[::1]:6379", "[::1]:6379"),
        ("[0:0::1]:6379", "[::1]:6379"),
        ("[fd00::/8]:443", "[fd00::/8]:443"),
        ("[fd00::]/8:443", "[fd00::/8]:443"),
        ("fd00::/8:443", "[fd00::/8]:443"),
        ("::/0:*", "[::/0]:*"),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
        ("[::ffff:10.0.0.0/104]:80", "10.0.0.0/8:80"),
        ("*:443", "*:443"),
        ("*:*", "*:*"),
        ("169.254.169.254:80", "169.254.169.254:80"),
        ("[fe80::1]:80", "[fe80::1]:80"),
    ] {
        let grant = NetGrant::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(grant.to_string(), shown, "{text}");
        assert_eq!(NetGrant::parse(shown).as_ref(), Ok(&grant), "{text}: reads what it shows");
    }
}

#[test]
fn what_is_no_grant_for_the_network_is_told_with_what_to_write() {
    for (text, message, hint) in [
        ("", "an address is missing", Some("as in \"127.0.0.1:6379\"")),
        ("redis", "\"redis\" has no port", Some("\"redis:443\" for one, \"redis:*\" for all")),
        (
            "10.0.0.0/8",
            "\"10.0.0.0/8\" has no port",
            Some("\"10.0.0.0/8:443\" for one, \"10.0.0.0/8:*\" for all"),
        ),
        ("::1", "\"::1\" has no port", Some("\"[::1]:443\" for one, \"[::1]:*\" for all")),
        ("[::1]", "\"[::1]\" has no port", Some("\"[::1]:443\" for one, \"[::1]:*\" for all")),
        (
            "::1:x",
            "\"::1:x\" is not host:port",
            Some("an IPv6 address stands in brackets, as in \"[::1]:6379\""),
        ),
        (
            "a:0",
            "\"0\" in \"a:0\" is no port",
            Some("a port is a number from 1 to 65535, or * for all of them"),
        ),
        (
            "a:65536",
            "\"65536\" in \"a:65536\" is no port",
            Some("a port is a number from 1 to 65535, or * for all of them"),
        ),
        (
            "a:+80",
            "\"+80\" in \"a:+80\" is no port",
            Some("a port is a number from 1 to 65535, or * for all of them"),
        ),
        (
            "a:",
            "\"\" in \"a:\" is no port",
            Some("a port is a number from 1 to 65535, or * for all of them"),
        ),
        (":80", "\":80\" has no host", None),
        (
            "a..b:80",
            "\"a..b\" in \"a..b:80\" is no host name: it has a part that is empty or longer than 63 characters",
            None,
        ),
        ("a b:80", "\"a b\" in \"a b:80\" is no host name: it holds ' '", None),
        (
            "*.example.com:80",
            "\"*.example.com\" in \"*.example.com:80\" is no host name",
            Some("name each host; \"*:PORT\" under \"net\" is every address"),
        ),
        (
            "bücher.de:80",
            "\"bücher.de\" in \"bücher.de:80\" is no host name: it is not ASCII",
            Some("write the form that begins with xn--"),
        ),
        (
            "10.0.0.256:80",
            "\"10.0.0.256\" in \"10.0.0.256:80\" is no IPv4 address",
            Some("four numbers from 0 to 255, as in 127.0.0.1"),
        ),
        (
            "127.1:80",
            "\"127.1\" in \"127.1:80\" is no IPv4 address",
            Some("four numbers from 0 to 255, as in 127.0.0.1"),
        ),
        (
            "0x7f000001:80",
            "\"0x7f000001\" in \"0x7f000001:80\" is no IPv4 address",
            Some("four numbers from 0 to 255, as in 127.0.0.1"),
        ),
        ("[nope]:80", "\"nope\" in \"[nope]:80\" is no IPv6 address", None),
        (
            "[fe80::1%eth0]:80",
            "\"fe80::1%eth0\" in \"[fe80::1%eth0]:80\" is no IPv6 address",
            Some("leave out the zone: it is not compared"),
        ),
        (
            "10.0.0.0/33:80",
            "\"/33\" in \"10.0.0.0/33:80\" is no length of a network",
            Some("from 0 to 32 bits"),
        ),
        (
            "10.0.0.0/:80",
            "\"/\" in \"10.0.0.0/:80\" is no length of a network",
            Some("from 0 to 32 bits"),
        ),
        (
            "[fd00::/129]:80",
            "\"/129\" in \"[fd00::/129]:80\" is no length of a network",
            Some("from 0 to 128 bits"),
        ),
        (
            "10.0.0.1/8:80",
            "10.0.0.1 in \"10.0.0.1/8:80\" has bits set after the first 8",
            Some("\"10.0.0.0/8\" is the network, \"10.0.0.1/32\" the address"),
        ),
        (
            "example.com/8:80",
            "\"example.com\" in \"example.com/8:80\" is no address",
            Some("a network is an address and a length, as in \"10.0.0.0/8:*\""),
        ),
        (
            "169.254.0.0/16:80",
            "\"169.254.0.0/16:80\" is a network of link-local or metadata addresses",
            Some("each of these is granted by itself, without a length"),
        ),
        (
            "[fe80::/10]:80",
            "\"[fe80::/10]:80\" is a network of link-local or metadata addresses",
            Some("each of these is granted by itself, without a length"),
        ),
        (
            "https://a.b/c",
            "\"https://a.b/c\" is a URL where host:port is expected",
            Some("HTTP requests are granted under \"http\"; a connection as in \"a.b\""),
        ),
    ] {
        let error = NetGrant::parse(text).expect_err(text);
        assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, hint), "{text}");
    }
}

#[test]
fn what_is_granted_for_http_is_read_and_shown() {
    for (text, shown) in [
        ("https://hooks.example.com", "https://hooks.example.com"),
        ("HTTPS://Hooks.Example.com.:443/", "https://hooks.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]", "http://[::1]"),
        ("http://[::0001]:81/", "http://[::1]:81"),
        ("http://[::ffff:10.0.0.1]", "http://10.0.0.1"),
        ("http://localhost:80", "http://localhost"),
    ] {
        let origin = Origin::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(origin.to_string(), shown, "{text}");
    }
}

#[test]
fn what_is_no_origin_is_told_with_what_to_write() {
    for (text, message, hint) in [
        ("", "an origin is missing", Some("as in \"https://hooks.example.com\"")),
        ("a.b", "\"a.b\" has no scheme", Some("\"https://a.b\" or \"http://a.b\"")),
        ("ftp://a.b", "\"ftp\" in \"ftp://a.b\" is no known scheme", Some("http or https")),
        (
            "https://a.b/hook",
            "\"https://a.b/hook\" is more than an origin",
            Some("a path cannot be granted by itself: \"https://a.b\""),
        ),
        (
            "https://a.b?x",
            "\"https://a.b?x\" is more than an origin",
            Some("a path cannot be granted by itself: \"https://a.b\""),
        ),
        (
            "https://u:p@a.b",
            "\"https://u:p@a.b\" is more than an origin",
            Some("leave out user and password"),
        ),
        ("https://", "\"https://\" has no host", None),
        (
            "https://a.b:*",
            "\"https://a.b:*\" has no port of its own",
            Some("name each origin with its port"),
        ),
        (
            "https://a.b:x",
            "\"x\" in \"https://a.b:x\" is no port",
            Some("a port is a number from 1 to 65535, or * for all of them"),
        ),
        (
            "https://::1",
            "\"https://::1\" has more than one port",
            Some("an IPv6 address stands in brackets, as in \"http://[::1]\""),
        ),
        ("https://[::1", "\"https://[::1\" has no \"]\"", None),
        ("https://[::1]x", "\"x\" in \"https://[::1]x\" is no port", None),
        (
            "https://*.a.b",
            "\"*.a.b\" in \"https://*.a.b\" is no host name",
            Some("name each host; \"*:PORT\" under \"net\" is every address"),
        ),
    ] {
        let error = Origin::parse(text).expect_err(text);
        assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, hint), "{text}");
    }
}

const NOTHING: &[&str] = &[];

#[test]
fn a_connection_needs_a_grant_that_fits_its_name_address_and_port() {
    // Grants, what is asked for, what it resolves to, what is missing.
    let table: &[(&[&str], &str, &str, Option<&str>)] = &[
        (NOTHING, "127.0.0.1:6379", "127.0.0.1", Some("127.0.0.1:6379")),
        (NOTHING, "localhost:6379", "127.0.0.1", Some("localhost:6379")),
        (NOTHING, "[::1]:6379", "::1", Some("[::1]:6379")),
        (&["127.0.0.1:6379"], "127.0.0.1:6379", "127.0.0.1", None),
        (&["127.0.0.1:6379"], "127.0.0.1:6380", "127.0.0.1", Some("127.0.0.1:6380")),
        (&["127.0.0.1:*"], "127.0.0.1:6380", "127.0.0.1", None),
        (&["127.0.0.1:6379"], "127.0.0.2:6379", "127.0.0.2", Some("127.0.0.2:6379")),
        // An address is allowed under any name.
        (&["127.0.0.1:6379"], "localhost:6379", "127.0.0.1", None),
        (&["127.0.0.1:6379"], "localhost:6379", "::1", Some("localhost:6379")),
        (&["127.0.0.1:6379"], "[::ffff:127.0.0.1]:6379", "::ffff:127.0.0.1", None),
        (&["[::ffff:127.0.0.1]:6379"], "127.0.0.1:6379", "127.0.0.1", None),
        (&["127.0.0.1:6379"], "2130706433:6379", "127.0.0.1", None),
        (&["127.0.0.1:6379"], "[::127.0.0.1]:6379", "::127.0.0.1", Some("[::7f00:1]:6379")),
        // A name is allowed what it resolves to, and only under that name.
        (&["db.internal:5432"], "db.internal:5432", "10.0.0.7", None),
        (&["db.internal:5432"], "DB.internal.:5432", "10.0.0.7", None),
        (&["db.internal:5432"], "db.internal:5433", "10.0.0.7", Some("db.internal:5433")),
        (&["db.internal:5432"], "evil.internal:5432", "10.0.0.7", Some("evil.internal:5432")),
        (&["db.internal:5432"], "10.0.0.7:5432", "10.0.0.7", Some("10.0.0.7:5432")),
        (&["db.internal:5432"], "x.db.internal:5432", "10.0.0.7", Some("x.db.internal:5432")),
        // A network by address, whatever the name.
        (&["10.0.0.0/8:*"], "db.internal:5432", "10.255.255.255", None),
        (&["10.0.0.0/8:*"], "db.internal:5432", "11.0.0.0", Some("db.internal:5432")),
        (&["10.0.0.0/9:*"], "db.internal:5432", "10.128.0.0", Some("db.internal:5432")),
        (&["10.0.0.0/8:*"], "db.internal:5432", "::ffff:10.0.0.1", None),
        (&["10.0.0.0/8:80"], "db.internal:5432", "10.0.0.1", Some("db.internal:5432")),
        (&["[fd00::/8]:443"], "db.internal:443", "fdff::1", None),
        (&["[fd00::/8]:443"], "db.internal:443", "fc00::1", Some("db.internal:443")),
        (&["0.0.0.0/0:*"], "db.internal:443", "fdff::1", Some("db.internal:443")),
        (&["::/0:*"], "db.internal:443", "::ffff:10.0.0.1", Some("db.internal:443")),
        (&["::/0:*"], "db.internal:443", "2001:db8::1", None),
        (&["*:443"], "example.com:443", "2001:db8::1", None),
        (&["*:443"], "example.com:443", "1.2.3.4", None),
        (&["*:443"], "example.com:80", "1.2.3.4", Some("example.com:80")),
        (&["a:1", "10.0.0.0/8:2", "b:3"], "b:3", "10.0.0.1", None),
        // Text of a plugin is shown, not obeyed.
        (NOTHING, "a\"b\n:1", "10.0.0.1", Some("a\\\"b\\n:1")),
    ];
    for (grants, asked, resolved, missing) in table {
        let missing = missing.map(|m| format!("net: [\"{m}\"]"));
        let got = reach(&net(grants), &tcp(asked), resolved).err().map(|denied| denied.grant);
        assert_eq!(got, missing, "{grants:?} asked for {asked} at {resolved}");
    }
}

#[test]
fn link_local_and_metadata_addresses_need_a_grant_of_their_own() {
    let wide: &[&str] = &["*:*", "0.0.0.0/0:*", "::/0:*", "metadata.internal:*", "168.0.0.0/8:*"];
    for (address, shown) in [
        ("169.254.169.254", "169.254.169.254"),
        ("169.254.170.2", "169.254.170.2"),
        ("169.254.0.0", "169.254.0.0"),
        ("169.254.255.255", "169.254.255.255"),
        ("::ffff:169.254.169.254", "169.254.169.254"),
        ("::169.254.169.254", "[::a9fe:a9fe]"),
        ("64:ff9b::169.254.169.254", "[64:ff9b::a9fe:a9fe]"),
        ("2002:a9fe:a9fe::1", "[2002:a9fe:a9fe::1]"),
        ("fe80::1", "[fe80::1]"),
        ("febf:ffff::1", "[febf:ffff::1]"),
        ("fd00:ec2::254", "[fd00:ec2::254]"),
        ("fd20:ce::254", "[fd20:ce::254]"),
        ("168.63.129.16", "168.63.129.16"),
        ("100.100.100.200", "100.100.100.200"),
        ("192.0.0.192", "192.0.0.192"),
    ] {
        assert!(is_special(address.parse().expect("an address")), "{address}");
        let grant = format!("net: [\"{shown}:80\"]");
        let by_name = tcp("metadata.internal:80");
        let by_address = tcp(&format!("[{address}]:80"));
        let denied = reach(&net(wide), &by_name, address).expect_err(address);
        assert_eq!(denied.grant, grant, "{address} under a name that is granted");
        let denied = reach(&net(wide), &by_address, address).expect_err(address);
        assert_eq!(denied.grant, grant, "{address} by itself");
        let exact = net(&[&format!("{shown}:80")]);
        assert_eq!(reach(&exact, &by_name, address), Ok(()), "{address} granted");
        assert_eq!(reach(&exact, &by_address, address), Ok(()), "{address} granted");
    }
    for address in
        ["169.253.255.255", "169.255.0.0", "fec0::1", "fd00:ec3::254", "127.0.0.1", "::1"]
    {
        assert!(!is_special(address.parse().expect("an address")), "{address}");
    }
}

#[test]
fn a_request_needs_a_grant_of_its_origin() {
    let table: &[(&[&str], &str, &str, Option<&str>)] = &[
        (NOTHING, "http://127.0.0.1:8080", "127.0.0.1", Some("http://127.0.0.1:8080")),
        (NOTHING, "https://a.b:443", "10.0.0.1", Some("https://a.b")),
        (NOTHING, "http://[::1]:81", "::1", Some("http://[::1]:81")),
        (&["http://127.0.0.1:8080"], "http://127.0.0.1:8080", "127.0.0.1", None),
        (
            &["http://127.0.0.1:8080"],
            "http://127.0.0.1:8081",
            "127.0.0.1",
            Some("http://127.0.0.1:8081"),
        ),
        (
            &["http://127.0.0.1:8080"],
            "http://localhost:8080",
            "127.0.0.1",
            Some("http://localhost:8080"),
        ),
        (&["https://a.b"], "https://A.b.", "10.0.0.1", None),
        (&["https://a.b"], "http://a.b", "10.0.0.1", Some("http://a.b")),
        (&["http://a.b:443"], "https://a.b", "10.0.0.1", Some("https://a.b")),
        (&["https://a.b"], "https://c.a.b", "10.0.0.1", Some("https://c.a.b")),
        (&["http://[::1]:80"], "http://[0::1]", "::1", None),
        // Also after DNS.
        (&["http://a.b"], "http://a.b", "169.254.169.254", Some("http://169.254.169.254")),
        (&["http://a.b"], "http://a.b", "::ffff:169.254.169.254", Some("http://169.254.169.254")),
        (&["http://a.b", "http://169.254.169.254"], "http://a.b", "169.254.169.254", None),
        (
            &["http://a.b", "http://169.254.169.254:81"],
            "http://a.b",
            "169.254.169.254",
            Some("http://169.254.169.254"),
        ),
        (&["http://169.254.169.254"], "http://169.254.169.254", "169.254.169.254", None),
        (&["http://169.254.169.254"], "http://a.b", "169.254.169.254", Some("http://a.b")),
    ];
    for (grants, asked, resolved, missing) in table {
        let missing = missing.map(|m| format!("http: [\"{m}\"]"));
        let got = reach(&http(grants), &request(asked), resolved).err().map(|d| d.grant);
        assert_eq!(got, missing, "{grants:?} asked for {asked} at {resolved}");
    }
}

#[test]
fn net_and_http_do_not_stand_for_one_another() {
    let denied = reach(&net(&["127.0.0.1:80"]), &request("http://127.0.0.1"), "127.0.0.1");
    assert_eq!(denied.expect_err("denied").grant, "http: [\"http://127.0.0.1\"]");
    let denied = reach(&http(&["http://127.0.0.1"]), &tcp("127.0.0.1:80"), "127.0.0.1");
    assert_eq!(denied.expect_err("denied").grant, "net: [\"127.0.0.1:80\"]");
}

#[test]
fn a_name_that_cannot_be_allowed_is_not_even_looked_up() {
    let refused = |grants: &Grants, endpoint| grants.before_dns(&endpoint).is_err();
    assert!(refused(&net(&["db.internal:5432"]), tcp("secret.evil.com:5432")));
    assert!(refused(&net(&["10.0.0.0/8:80"]), tcp("secret.evil.com:5432")));
    assert!(!refused(&net(&["10.0.0.0/8:80"]), tcp("db.internal:80")));
    assert!(refused(&http(&["http://a.b"]), request("http://secret.evil.com")));
    assert!(refused(&net(&["*:*"]), request("http://secret.evil.com")));
    // For guests that resolve by themselves.
    assert_eq!(net(&["db.internal:5432"]).lookup("DB.internal"), Ok(()));
    assert_eq!(net(&["10.0.0.0/8:80"]).lookup("db.internal"), Ok(()));
    assert_eq!(http(&["http://a.b"]).lookup("a.b"), Ok(()));
    assert_eq!(net(NOTHING).lookup("127.0.0.1"), Ok(()));
    let denied = net(&["db.internal:5432"]).lookup("evil.com").expect_err("denied");
    assert_eq!(denied.to_string(), "needs grants: { net: [\"evil.com:*\"] }");
}

#[test]
fn a_socket_without_a_name_is_allowed_by_address_only() {
    let table: &[(&[&str], &str, bool)] = &[
        (NOTHING, "127.0.0.1:80", false),
        (&["127.0.0.1:80"], "127.0.0.1:80", true),
        (&["127.0.0.1:80"], "[::ffff:127.0.0.1]:80", true),
        (&["10.0.0.0/8:*"], "10.1.1.1:80", true),
        (&["db.internal:80"], "10.1.1.1:80", false),
        (&["localhost:80"], "127.0.0.1:80", true),
        (&["localhost:80"], "[::1]:80", true),
        (&["localhost:80"], "127.0.0.2:80", false),
        (&["localhost:80"], "127.0.0.1:81", false),
        (&["*:*"], "169.254.169.254:80", false),
        (&["*:*"], "[fe80::1%3]:80", false),
    ];
    for (grants, address, allowed) in table {
        let grants = net(grants);
        let address = address.parse().expect("an address");
        assert_eq!(grants.allows_net(None, address), *allowed, "{grants:?}, {address}");
    }
    let denied = Grants::net_denied("[::ffff:10.0.0.1]:80".parse().expect("an address"));
    assert_eq!(denied.grant, "net: [\"10.0.0.1:80\"]");
}

#[test]
fn a_path_is_granted_as_a_whole_and_by_its_text() {
    let folder = Path::new("/etc/app");
    for (text, read) in [
        ("/run/app.sock", Ok("/run/app.sock")),
        ("app.sock", Ok("/etc/app/app.sock")),
        ("./a/../app.sock", Ok("/etc/app/app.sock")),
        ("../../run/app.sock", Ok("/run/app.sock")),
        ("../../../x", Err("\"../../../x\" leads above the root of the file system")),
        ("", Err("a path is missing")),
        ("/run/", Err("\"/run/\" is a folder where a file is expected")),
        ("a\0b", Err("\"a\\0b\" is no path: it holds a null byte")),
        ("unix://run/x", Err("\"unix://run/x\" is a URL where a path is expected")),
    ] {
        let got = parse_path(text, folder).map_err(|error| error.message);
        assert_eq!(got, read.map(PathBuf::from).map_err(str::to_owned), "{text:?}");
    }
    let path = PathBuf::from("/run/app.sock");
    let grants = Grants { unix: vec![path.clone()], ..Grants::default() };
    assert_eq!(grants.unix("/run/app.sock"), Ok(path.clone()));
    assert_eq!(grants.unix("/run//x/.././app.sock"), Ok(path.clone()));
    for asked in ["/run/app.sock2", "/run", "run/app.sock", "/run/app.sock/..", "", "/.."] {
        let denied = grants.unix(asked).expect_err(asked);
        assert_eq!(denied.grant, format!("unix: [\"{asked}\"]"));
    }
    assert_eq!(
        grants.file("/run/app.sock").expect_err("denied").grant,
        "files: [\"/run/app.sock\"]"
    );
    let grants = Grants { files: vec![path.clone()], ..Grants::default() };
    assert_eq!(grants.file("/run/app.sock"), Ok(path.clone()));
    // What a plugin writes relative means the same as in the grant.
    let grants = Grants { folder: PathBuf::from("/run"), ..grants };
    for asked in ["app.sock", "./app.sock", "x/../app.sock", "../run/app.sock", "/run/app.sock"] {
        assert_eq!(grants.file(asked), Ok(path.clone()), "{asked}");
    }
    for asked in ["run/app.sock", "../app.sock", "../../app.sock", "", "."] {
        assert!(grants.file(asked).is_err(), "{asked}");
    }
}

#[test]
fn commands_and_giving_up_are_granted_by_a_word() {
    let nothing = Grants::default();
    assert_eq!(nothing.exec().expect_err("denied").to_string(), "needs grants: { exec: true }");
    assert_eq!(nothing.give_up().expect_err("denied").grant, "give_up: true");
    let both = Grants { exec: true, give_up: true, ..Grants::default() };
    assert_eq!((both.exec(), both.give_up()), (Ok(()), Ok(())));
}
