//! X.509 certificates (RFC 5280) with what the tests ask for and no more, signed with ECDSA on P-256.
// Each program uses its part, a benchmark too.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;

/// A certificate and its private key.
pub struct Identity {
    name: String,
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// An authority that nobody signed.
    pub fn authority(name: &str) -> Self {
        Request::authority(name).self_signed()
    }

    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }
}

/// What a certificate is to say.
pub struct Request<'a> {
    pub name: &'a str,
    /// Host names and IP addresses.
    pub hosts: &'a [&'a str],
    /// From the first day of one year to the first day of another.
    pub years: Range<u16>,
    pub usage: Usage,
    /// Says that it is signed with SHA-1, which it is not.
    pub is_sha1: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Any,
    SignsOthers,
    OnlyForClients,
}

impl<'a> Request<'a> {
    pub fn authority(name: &'a str) -> Self {
        Self { name, usage: Usage::SignsOthers, ..Self::hosts(&[]) }
    }

    pub fn hosts(hosts: &'a [&'a str]) -> Self {
        Self { name: "made for a test", hosts, years: 1975..4096, usage: Usage::Any, is_sha1: false }
    }

    pub fn self_signed(&self) -> Identity {
        let key = new_key();
        let signer = any_supported_type(&key).unwrap();
        self.issue(key, self.name, &signer)
    }

    pub fn signed_by(&self, issuer: &Identity) -> Identity {
        self.signed_for(new_key(), issuer)
    }

    /// For a key of any kind that rustls takes.
    pub fn signed_for(&self, key: PrivateKeyDer<'static>, issuer: &Identity) -> Identity {
        self.issue(key, &issuer.name, &any_supported_type(&issuer.key).unwrap())
    }

    fn issue(&self, key: PrivateKeyDer<'static>, issuer: &str, signs: &Arc<dyn SigningKey>) -> Identity {
        static ISSUED: AtomicU64 = AtomicU64::new(1 << 56);
        let serial = ISSUED.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        let algorithm = if self.is_sha1 { ECDSA_WITH_SHA1 } else { ECDSA_WITH_SHA256 };
        let algorithm = der(SEQUENCE, &[&der(OBJECT_ID, &[algorithm])]);
        let version_3 = der(CONTEXT, &[&der(INTEGER, &[&[2]])]);
        let serial = der(INTEGER, &[&serial]);
        let years = der(SEQUENCE, &[&first_day_of(self.years.start), &first_day_of(self.years.end)]);
        let (issuer, subject, extensions) = (common_name(issuer), common_name(self.name), self.extensions());
        let key_pair = any_supported_type(&key).unwrap();
        let public_key = key_pair.public_key().unwrap();
        let parts: &[&[u8]] = &[&version_3, &serial, &algorithm, &issuer, &years, &subject, &public_key, &extensions];
        let content = der(SEQUENCE, parts);
        let signer = signs.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
        let signature = der(BIT_STRING, &[&[0], &signer.sign(&content).unwrap()]);
        let certificate = der(SEQUENCE, &[&content, &algorithm, &signature]).into();
        Identity { name: self.name.into(), certificate, key }
    }

    fn extensions(&self) -> Vec<u8> {
        let mut list = Vec::new();
        if !self.hosts.is_empty() {
            let hosts: Vec<_> = self.hosts.iter().map(|host| alternative_name(host)).collect();
            list.extend(extension(SUBJECT_ALT_NAME, &hosts.concat()));
        }
        match self.usage {
            Usage::Any => {}
            Usage::SignsOthers => list.extend(extension(BASIC_CONSTRAINTS, &der(BOOLEAN, &[&[0xff]]))),
            Usage::OnlyForClients => list.extend(extension(EXTENDED_KEY_USAGE, &der(OBJECT_ID, &[CLIENT_AUTH]))),
        }
        // An empty list is not allowed.
        if list.is_empty() { list } else { der(CONTEXT | 3, &[&der(SEQUENCE, &[&list])]) }
    }
}

/// A private key on P-256, in PKCS #8.
pub fn new_key() -> PrivateKeyDer<'static> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    PrivateKeyDer::Pkcs8(key.as_ref().to_vec().into())
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const OBJECT_ID: u8 = 6;
const UTF8_STRING: u8 = 12;
const GENERALIZED_TIME: u8 = 24;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Its own number in this structure, with a structure in it.
const CONTEXT: u8 = 0xa0;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

const ECDSA_WITH_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// A tag, a length and what it is the length of.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|&&byte| byte == 0).count()..];
    let head = match content.len() {
        0 => vec![tag, 0],
        1..128 => vec![tag, length[0]],
        _ => [&[tag, 0x80 | u8::try_from(length.len()).unwrap()], length].concat(),
    };
    [head, content].concat()
}

fn common_name(name: &str) -> Vec<u8> {
    let name = der(SEQUENCE, &[&der(OBJECT_ID, &[COMMON_NAME]), &der(UTF8_STRING, &[name.as_bytes()])]);
    der(SEQUENCE, &[&der(SET, &[&name])])
}

fn first_day_of(year: u16) -> Vec<u8> {
    der(GENERALIZED_TIME, &[format!("{year:04}0101000000Z").as_bytes()])
}

fn alternative_name(host: &str) -> Vec<u8> {
    match host.parse() {
        Ok(IpAddr::V4(address)) => der(IP_ADDRESS, &[&address.octets()]),
        Ok(IpAddr::V6(address)) => der(IP_ADDRESS, &[&address.octets()]),
        Err(_) => der(DNS_NAME, &[host.as_bytes()]),
    }
}

/// An extension whose value is a sequence.
fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    // Who does not know what an authority is must not take the certificate.
    let is_critical: &[u8] = if id == BASIC_CONSTRAINTS { &der(BOOLEAN, &[&[0xff]]) } else { &[] };
    der(SEQUENCE, &[&der(OBJECT_ID, &[id]), is_critical, &der(OCTET_STRING, &[&der(SEQUENCE, &[value])])])
}
