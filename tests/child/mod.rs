//! One backup in another process, for what a process has only one of: its environment and its clock.
//!
//! The test binary starts itself again and runs nothing but the test below.
// Each binary uses its part.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use portal_backup::{ApiKey, Client, Error};

use crate::util;
use crate::util::{certificates, secrets};

const URL: &str = "TEST_CHILD_URL";
const ROOTS: &str = "TEST_CHILD_ROOTS";
const ROOT_FILE: &str = "TEST_CHILD_ROOT_FILE";
const PROXY: &str = "TEST_CHILD_PROXY";
const SAYS: &str = "TEST_CHILD_SAYS ";

/// What the environment of whoever runs the tests may hold and a test must not depend on.
pub const AMBIENT: [&str; 10] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Backs up once, elsewhere.
pub struct Child(Command);

impl Child {
    /// With the root of these tests as the only one.
    pub fn new(url: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        for name in AMBIENT {
            command.env_remove(name);
        }
        command
            .args(["child::backs_up_once", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(URL, url)
            .env(ROOTS, "own");
        Self(command)
    }

    pub fn roots(mut self, name: &str) -> Self {
        self.0.env(ROOTS, name);
        self
    }

    /// `env`, or the URL of a proxy.
    pub fn proxy(mut self, name: &str) -> Self {
        self.0.env(PROXY, name);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// What the call ended with: `done`, or the outcome and the error's own words.
    #[track_caller]
    pub fn says(mut self) -> String {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root.pem");
        fs::write(&root, certificates::root_pem()).unwrap();
        let output = self.0.env(ROOT_FILE, &root).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = stdout.lines().find_map(|line| line.split_once(SAYS));
        let Some((_, said)) = said else { panic!("the child said nothing: {stdout} {stderr}") };
        secrets::assert_none_in("what the child prints", &format!("{stdout} {stderr}"));
        said.into()
    }
}

#[test]
#[ignore = "the child of other tests"]
fn backs_up_once() {
    let Ok(url) = env::var(URL) else { return };
    let said = match backed_up(&url) {
        Ok(()) => "done".into(),
        Err(error) => format!("{:?}: {error}", error.outcome()),
    };
    println!("\n{SAYS}{said}");
}

fn backed_up(url: &str) -> Result<(), Error> {
    let mut builder = Client::builder(ApiKey::new(secrets::KEY).unwrap())
        .base_url(url)
        .client_api_url(url)
        .timeout(util::TIMEOUT * 5);
    builder = match env::var(ROOTS).unwrap().as_str() {
        "bundled" => builder,
        "platform" => builder.platform_verifier(true),
        _ => builder.root_certs_pem(fs::read(env::var_os(ROOT_FILE).unwrap()).unwrap()),
    };
    builder = match env::var(PROXY).as_deref() {
        Err(_) => builder,
        Ok("env") => builder.proxy_from_env(true),
        Ok(proxy) => builder.proxy(proxy),
    };
    let client = builder.build()?;
    util::backup(&client).map(drop)
}
