//! The command line in a folder of its own, with a stand-in for the service.
// Each binary uses its part.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, io, thread};

use portal_backup::{BackupShares, Sandbox};
use tempfile::TempDir;

pub const GENERATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/generate.json");

pub struct Scene {
    pub sandbox: Sandbox,
    pub folder: TempDir,
}

impl Scene {
    pub fn new() -> Self {
        Self { sandbox: Sandbox::start().unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .current_dir(self.folder.path())
            .env("PORTAL_CLIENT_API_KEY", self.sandbox.api_key())
            .args(arguments)
            .args(["--client-api-url", self.sandbox.url()]);
        command
    }

    /// Backs up, with both addresses pointing at the sandbox.
    pub fn back_up(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).args(["--base-url", self.sandbox.url()]).output().unwrap())
    }

    /// Runs a line that was printed, as a user would.
    pub fn run_in(&self, shell: &str, line: &str) -> Ran {
        let programs = Path::new(env!("CARGO_BIN_EXE_portal-backup")).parent().unwrap();
        let mut shell = Command::new(shell);
        shell
            .args(["-c", line])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
            .env("PORTAL_CLIENT_API_KEY", self.sandbox.api_key());
        Ran::new(shell.output().unwrap())
    }

    /// The same on a terminal, where there is one to be had, for a minute at most.
    pub fn on_a_terminal(&self, arguments: &str, term: &str, typed: Stdio) -> Option<Output> {
        let (program, url) = (env!("CARGO_BIN_EXE_portal-backup"), self.sandbox.url());
        let line = format!("{program} {arguments} --base-url {url} --client-api-url {url}");
        let mut command = Command::new("timeout");
        command.args(["60", "script", "-qec", &line, "/dev/null"]).current_dir(self.folder.path()).stdin(typed);
        command.env("TERM", term).env("PORTAL_CLIENT_API_KEY", self.sandbox.api_key());
        command.output().ok().filter(|output| output.status.code() != Some(127))
    }

    /// The address of a service that does this when a request arrives, and then hands it on to the sandbox.
    pub fn at_a_request(&self, what: impl FnOnce() + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behind = self.sandbox.url().trim_start_matches("http://").to_string();
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            what();
            let service = TcpStream::connect(behind).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), service.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from, &mut to));
            io::copy(&mut &service, &mut &client)
        });
        url
    }

    pub fn stored(&self, name: &str) -> BackupShares {
        BackupShares::parse(fs::read(self.path(name)).unwrap()).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portal-backup"));
    for name in ["PORTAL_CLIENT_API_KEY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stderr: {}", self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(self.stderr.contains(what), "stderr does not say {what:?}: {}", self.stderr);
        self
    }
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
