//! Writes the memory map and made-up texts of real size to where the firmware finds them.

use std::path::PathBuf;
use std::{env, fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::copy("memory.x", out.join("memory.x"))?;
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-Tlink.x");

    let [first, second] = [share("SECP256K1", 1), share("ED25519", 2)];
    fs::write(out.join("secp256k1.json"), &first)?;
    fs::write(out.join("ed25519.json"), &second)?;
    fs::write(
        out.join("backup.json"),
        pair([&first, &second], ["clu32l6c8008wuvz52jokyo3r", "clu32l9310087evz5u5v9k1ao"]),
    )?;
    let signing = [share("SECP256K1", 3), share("ED25519", 4)];
    fs::write(
        out.join("generate.json"),
        pair([&signing[0], &signing[1]], ["clu32kzv50000wuvz1aaaaaa1", "clu32kzv50001wuvz1aaaaaa2"]),
    )
}

/// The JSON text of a share, about 5.8 KB like a real one; the same numbers on every machine.
fn share(curve: &str, seed: u64) -> String {
    let mut state = seed;
    let mut number = || {
        // Knuth's MMIX constants.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 16
    };
    let numbers: Vec<String> = (0..370).map(|_| format!("{:014}", number())).collect();
    format!(r#"{{"curve":"{curve}","secret":true,"share":[{}]}}"#, numbers.join(","))
}

fn pair(shares: [&str; 2], ids: [&str; 2]) -> String {
    let [first, second] = shares.map(|share| STANDARD_NO_PAD.encode(share));
    format!(
        r#"{{"SECP256K1":{{"share":"{first}","id":"{}"}},"ED25519":{{"share":"{second}","id":"{}"}}}}"#,
        ids[0], ids[1]
    )
}
