//! Servers and certificates of the tests. Everything is on the loopback interface, and
//! ends with the test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kennel_wasm::probe::{HttpRequest, HttpResponse};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::{AllowAll, Deadline, ProbeError, http};
use super::ports::free_port;

/// How long a step may take on a busy machine that should take a moment.
pub(super) const BOUND: Duration = Duration::from_secs(30);

/// A timeout that a test waits for, where nothing has to happen before it.
pub(super) const SHORT: Duration = Duration::from_millis(300);

/// The same where something has: a busy machine takes its time.
pub(super) const LONGER: Duration = Duration::from_secs(3);

pub(super) fn soon() -> Deadline {
    Deadline::after(BOUND)
}

/// Whether the test has to be left out because a server is not installed.
pub(super) fn needs(program: &str) -> bool {
    let lacking = find(program).is_none();
    if lacking {
        let forbidden = std::env::var_os("KENNEL_FORBID_SKIPS").is_some();
        assert!(!forbidden, "{program} is not installed, and skips are forbidden");
        println!("skipped: {program} is not installed");
    }
    lacking
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// A port that is taken, so that nobody else can listen there, and where nobody does.
pub(super) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A server that is a process.
pub(super) struct Server {
    child: Child,
    pub(super) folder: TempDir,
    pub(super) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts `program` on a free port, with the arguments that `prepare` makes of its
    /// folder and port; waits until it takes connections. Where somebody takes the port
    /// meanwhile it does not come up, and another one is tried.
    fn start(program: &str, prepare: impl Fn(&Path, u16) -> Vec<String>) -> Server {
        for _ in 0..5 {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let log = fs::File::create(folder.path().join("log")).unwrap();
            let child = Command::new(find(program).unwrap())
                .args(prepare(folder.path(), port))
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut server = Server { child, folder, port };
            if server.is_up() {
                return server;
            }
        }
        panic!("{program} does not come up");
    }

    fn is_up(&mut self) -> bool {
        let began = std::time::Instant::now();
        while began.elapsed() < BOUND {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
                println!("it ended with {status}: {log}");
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// An nginx of one process; `{port}` and `{folder}` in `servers` are its own.
pub(super) fn nginx(files: &[(&str, &[u8])], servers: &str) -> Server {
    Server::start("nginx", |folder, port| {
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        let place = folder.display().to_string();
        let servers = servers.replace("{port}", &port.to_string()).replace("{folder}", &place);
        let text = format!(
            "daemon off; master_process off; pid {place}/pid; error_log stderr;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; default_type text/plain; root {place};\n\
             client_body_temp_path {place}; proxy_temp_path {place};\n\
             fastcgi_temp_path {place}; uwsgi_temp_path {place}; scgi_temp_path {place};\n\
             {servers} }}\n"
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        ["-e", "stderr", "-c", &format!("{place}/nginx.conf")].map(str::to_owned).into()
    })
}

/// A redis with a Unix socket `redis.sock` in its folder, and a password.
pub(super) fn redis(password: &str) -> Server {
    Server::start("redis-server", |folder, port| {
        let socket = folder.join("redis.sock").display().to_string();
        let (place, port) = (folder.display().to_string(), port.to_string());
        let mut words = vec!["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", &place];
        words.extend(["--unixsocket", &socket]);
        if !password.is_empty() {
            words.extend(["--requirepass", password]);
        }
        words.into_iter().map(str::to_owned).collect()
    })
}

/// A server that says the same to everybody, in pieces, and then closes or is silent.
pub(super) struct Says {
    pub(super) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Says {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// How a [`Says`] ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Then {
    Closes,
    IsSilent,
    Resets,
}

pub(super) async fn says(pieces: &'static [&'static str], then: Then) -> Says {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, pieces, then));
        }
    });
    Says { address, serving }
}

async fn answer(mut stream: TcpStream, pieces: &[&str], then: Then) {
    // A client that is cut off is no error.
    let _ = stream.read(&mut [0; 4096]).await;
    for piece in pieces {
        let _ = stream.write_all(piece.as_bytes()).await;
        tokio::task::yield_now().await;
    }
    match then {
        Then::Closes => {}
        Then::IsSilent => drop(stream.read_to_end(&mut Vec::new()).await),
        Then::Resets => stream.set_zero_linger().unwrap(),
    }
}

impl Says {
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// A listener whose queue is full: whoever connects waits.
pub(super) struct Full {
    pub(super) address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

pub(super) async fn full() -> Full {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // The kernel takes one more than it was told, `listen(2)`; those after it wait.
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(SHORT, TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
        assert!(waiting.len() < 16, "the queue is never full");
    }
    Full { address, _listener: listener, _waiting: waiting }
}

/// A request for `url` with nothing special.
pub(super) fn get(url: &str) -> HttpRequest {
    HttpRequest { method: "GET".into(), url: url.into(), ..HttpRequest::default() }
}

/// The same with these options.
pub(super) fn get_with(url: &str, ext: &[(&str, &str)]) -> HttpRequest {
    let ext = ext.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    HttpRequest { ext, ..get(url) }
}

pub(super) async fn ask(request: HttpRequest) -> Result<HttpResponse, ProbeError> {
    http(request, &AllowAll, soon()).await
}

/// The value of a header or an option.
pub(super) fn value<'a>(list: &'a [(String, String)], name: &str) -> Option<&'a str> {
    list.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// An authority of the test's own.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key of a server, valid for so many days around now.
    pub(super) fn server(&self, names: &[&str], days: std::ops::Range<i64>) -> (String, String) {
        let (params, key) = server_params(names, days);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

fn server_params(names: &[&str], days: std::ops::Range<i64>) -> (CertificateParams, KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "server of the test");
    let now = std::time::SystemTime::now();
    let day = Duration::from_secs(86_400);
    let at = |days: i64| {
        let distance = day * u32::try_from(days.unsigned_abs()).unwrap();
        let at = if days < 0 { now - distance } else { now + distance };
        at.into()
    };
    (params.not_before, params.not_after) = (at(days.start), at(days.end));
    (params, KeyPair::generate().unwrap())
}

/// Certificate and key of a server that vouches for itself, as `openssl req -x509` makes
/// them: marked as one of an authority.
pub(super) fn self_signed(names: &[&str]) -> (String, String) {
    let (mut params, key) = server_params(names, -1..30);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}
