/// A real server, in a folder of its own, for as long as the value lives.
pub struct RealServer {
    server: Option<sereno_server::Server>,
    folder: tempfile::TempDir,
}

impl RealServer {
    /// Starts one on a free port of the loopback, with these rules and the defaults.
    #[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
    pub async fn start(rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("rules")).expect("a folder for rules");
        std::fs::write(path("rules/rules.yaml"), rules).expect("rules are written");
        let config = "server: { listen: 127.0.0.1:0 }\nstorage: { directory: data }\nplugins: { inputs: {} }\n";
        std::fs::write(path("server.yaml"), config).expect("a configuration is written");
        let registry = sereno_server::builtin_plugins();
        let loaded = sereno_server::load(&sereno_runtime::RealDisk, &path("server.yaml"), &registry);
        let loaded = loaded.unwrap_or_else(|found| panic!("{}", found[0]));
        let clock = std::sync::Arc::new(sereno_runtime::SystemClock::new());
        let disk = std::sync::Arc::new(sereno_runtime::RealDisk);
        let server = sereno_server::Server::start(loaded, disk, clock).await.expect("the server starts");
        Self { server: Some(server), folder }
    }

    /// Where it listens, `host:port`.
    pub fn address(&self) -> String {
        self.server.as_ref().map(|server| server.address().to_string()).unwrap_or_default()
    }

    /// Stops it, and removes its folder.
    pub async fn stop(mut self) {
        if let Some(server) = self.server.take() {
            let _stopped = server.stop(sereno_runtime::Shutdown::default()).await;
        }
        drop(self.folder);
    }
}
