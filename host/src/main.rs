//! The `kennel` binary.
fn main() {
    let file = std::env::args().nth(1).unwrap_or("services.yaml".into());
    let rt = tokio::runtime::Runtime::new().unwrap();
    let code = rt.block_on(async {
        let b = kennel::Builder::from_file(file.as_ref(), kennel::config::Environment::current()).unwrap_or_else(|e| panic!("{e}"));
        let s = b.status_lines(Box::new(|l| println!("{l}"))).start().unwrap();
        let h = s.handle().clone();
        tokio::spawn(async move { tokio::signal::ctrl_c().await.unwrap(); h.shutdown(kennel::ShutdownMode::Orderly).await.unwrap(); });
        s.ended().await
    });
    std::process::exit(code)
}
