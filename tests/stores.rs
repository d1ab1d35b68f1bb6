//! The commands of docs/encrypting.md with real programs: what they store is what the service sent, and nothing else
//! counts as stored. `tests/readme` runs the commands as they stand, these tests with what goes wrong.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod util;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use util::server::Server;
use util::{faults, secrets};

const GUIDE: &str = include_str!("../docs/encrypting.md");

/// Two lines of the guide, of which the first stores and the second decrypts and verifies.
struct Example {
    store: &'static str,
    check: &'static str,
}

impl Example {
    fn all() -> Vec<Self> {
        let blocks = GUIDE.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
        let lines = blocks.map(|block| block.trim_end().split_once('\n').unwrap());
        lines.map(|(store, check)| Self { store, check }).collect()
    }

    fn program(&self) -> &'static str {
        self.check.split(' ').next().unwrap()
    }

    /// The example of this program; none when it is not here.
    fn of(program: &str) -> Option<Self> {
        let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().unwrap();
        if !found.status.success() {
            println!("skipped: there is no `{program}` here");
            return None;
        }
        Self::all().into_iter().find(|example| example.program() == program)
    }
}

/// A folder with a generate response, and a service that a plain `portal-backup` there talks to.
struct Scene {
    folder: TempDir,
    service: Server,
}

impl Scene {
    fn new() -> Self {
        let service = Server::start(None, |c| {
            let is_confirmation = c.request()?.starts_with(b"PATCH ");
            c.send(if is_confirmation {
                "HTTP/1.1 204 No Content\r\n\r\n".into()
            } else {
                faults::response_of(200, &secrets::backup_response(0))
            })
        });
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("generate.json"), secrets::generate_response()).unwrap();
        let (program, url) = (env!("CARGO_BIN_EXE_portal-backup"), service.url());
        let wrapper = folder.path().join("bin/portal-backup");
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(folder.path().join("gnupg")).unwrap();
        fs::set_permissions(folder.path().join("gnupg"), fs::Permissions::from_mode(0o700)).unwrap();
        let text = format!("#!/bin/sh\nexec '{program}' --base-url {url} --client-api-url {url} \"$@\"\n");
        fs::write(&wrapper, text).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, service }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, line: &str) -> Output {
        let path = format!("{}:{}", self.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.path()).env("PATH", path).stdin(Stdio::null());
        command.env("PORTAL_CLIENT_API_KEY", secrets::KEY).env("GNUPGHOME", self.path().join("gnupg"));
        command.env_remove("GPG_TTY").output().unwrap()
    }

    #[track_caller]
    fn run_well(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn confirmations(&self) -> usize {
        self.service.requests().iter().filter(|request| request.starts_with(b"PATCH ")).count()
    }

    /// Stores for `value` in place of `placeholder`, decrypts, and does neither replace anything nor count as stored what
    /// was not.
    #[track_caller]
    fn try_out(&self, example: &Example, placeholder: &str, value: &str) {
        let ends_with = |code: i32, line: &str| {
            let output = self.run(line);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        };
        let store = example.store.replace("--api-key-file key.txt ", "").replace(placeholder, value);
        let file = store.split(' ').find(|word| word.starts_with("shares.")).unwrap();
        let stored = || fs::read(self.path().join(file));

        // Nobody of that name is known: the shares are not encrypted for somebody else, or not at all.
        ends_with(6, &store.replace(value, "nobody"));
        assert!(stored().is_err());
        assert_eq!(self.confirmations(), 0);

        self.run_well(&store);
        assert_eq!(self.confirmations(), 1);
        let (decrypt, verify) = example.check.split_once(" | ").unwrap();
        assert_eq!(self.run_well(decrypt), secrets::backup_response(0));
        assert_eq!(verify, "portal-backup verify -");
        let encrypted = stored().unwrap();
        secrets::assert_none_in("what is stored", &String::from_utf8_lossy(&encrypted));

        let requests = self.service.requests().len();
        ends_with(2, &store);
        assert_eq!(self.service.requests().len(), requests, "a second pair was made");
        assert_eq!(stored().unwrap(), encrypted, "it was replaced");
    }
}

#[test]
fn the_guide_has_examples_of_these() {
    let programs: Vec<_> = Example::all().iter().map(Example::program).collect();
    assert_eq!(programs, ["age", "gpg", "openssl"]);
}

#[test]
fn age_stores_for_a_recipient() {
    let Some(example) = Example::of("age") else { return };
    let scene = Scene::new();
    scene.run_well("age-keygen --output age-key.txt");
    scene.run_well("age-keygen -y age-key.txt >recipient.txt");
    scene.try_out(&example, "recipient.txt", "recipient.txt");
}

#[test]
fn gpg_stores_for_a_recipient() {
    let Some(example) = Example::of("gpg") else { return };
    let scene = Scene::new();
    scene.run_well("gpg --batch --passphrase '' --quick-generate-key ops@example.org default default never");
    scene.try_out(&example, "ops@example.org", "ops@example.org");
    // Its daemon.
    scene.run_well("gpgconf --kill all");
}

#[test]
fn openssl_stores_for_a_certificate() {
    let Some(example) = Example::of("openssl") else { return };
    let scene = Scene::new();
    scene.run_well("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ops -days 9 -keyout ops.key -out ops.pem");
    scene.try_out(&example, "ops.pem", "ops.pem");
}
