//! The servers that are measured.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use sereno_runtime::{RealDisk, SystemClock};
use sereno_server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn tell(address: SocketAddr) -> io::Result<()> {
    println!("{address}");
    io::stdout().flush()
}

/// Answers every 32 bytes with 2, and does nothing else. Like the metric handlers: two threads, each with an event loop.
pub fn bare() -> io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    tell(listener.local_addr()?)?;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let (sender, mut inbox) = tokio::sync::mpsc::unbounded_channel::<std::net::TcpStream>();
        workers.push(sender);
        std::thread::spawn(move || -> io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, async {
                while let Some(stream) = inbox.recv().await {
                    tokio::task::spawn_local(echo(TcpStream::from_std(stream)?));
                }
                Ok(())
            })
        });
    }
    for (index, stream) in listener.incoming().enumerate() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        workers[index % 2].send(stream).map_err(io::Error::other)?;
    }
    Ok(())
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 65_536];
    let mut rest = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let answers = (rest + read) / 32;
        rest = (rest + read) % 32;
        if stream.write_all(&[0, 1].repeat(answers)).await.is_err() {
            return;
        }
    }
}

/// The real server with its defaults, but for the place of its files and the input `host`.
pub fn sereno(directory: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let registry = sereno_server::builtin_plugins();
        let loaded = sereno_server::load(&RealDisk, &directory.join("server.yaml"), &registry);
        let loaded = loaded.map_err(|found| io::Error::other(found[0].to_string()))?;
        let server = Server::start(loaded, Arc::new(RealDisk), Arc::new(SystemClock::new())).await;
        let server = server.map_err(io::Error::other)?;
        tell(server.address())?;
        // Until it is killed.
        TcpListener::bind("127.0.0.1:0").await?.accept().await?;
        drop(server);
        Ok(())
    })
}

/// A folder that [`sereno`] can be started in, with a head that takes all that a short run brings.
pub fn folder(rules: &str) -> io::Result<tempfile::TempDir> {
    folder_with(rules, ", head_bytes_max: 8GiB", "")
}

/// The same, with more keys in the section `storage` and more in the section `server`.
pub fn folder_with(rules: &str, storage: &str, server: &str) -> io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("rules"))?;
    std::fs::create_dir(folder.path().join("scripts"))?;
    std::fs::write(folder.path().join("rules/rules.yaml"), rules)?;
    let config = format!(
        "server: {{ listen: 127.0.0.1:0{server} }}\nstorage: {{ directory: data{storage} }}\n\
         rules: {{ scripts: [scripts] }}\nplugins: {{ inputs: {{}} }}\n"
    );
    std::fs::write(folder.path().join("server.yaml"), config)?;
    Ok(folder)
}
