//! Which hosts are asked directly although there is a proxy: `NO_PROXY`, as other programs read it.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What `NO_PROXY` says. Entries that mean nothing are left out.
pub(super) struct NoProxy(Vec<Entry>);

struct Entry {
    hosts: Hosts,
    /// Every port if there is none.
    port: Option<u16>,
}

enum Hosts {
    All,
    /// A domain in lower case, and all that is below it.
    Domain(String),
    /// The addresses that begin with so many bits of this one.
    Addresses(IpAddr, u8),
}

impl NoProxy {
    /// Reads entries between commas and white space.
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        Self(entries.filter_map(Entry::parse).collect())
    }

    /// Whether this host is to be asked directly; it may be in brackets and end with a dot.
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let host = without_brackets(host).unwrap_or(host);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        self.0.iter().filter(|entry| entry.port.is_none_or(|it| it == port)).any(|entry| {
            match (&entry.hosts, address) {
                (Hosts::All, _) => true,
                (Hosts::Domain(domain), None) => host
                    .strip_suffix(domain.as_str())
                    .is_some_and(|before| before.is_empty() || before.ends_with('.')),
                (Hosts::Addresses(ip, bits), Some(address)) => have_in_common(*ip, address, *bits),

                _ => false,
            }
        })
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        // An address first: that of IPv6 is full of colons.
        if let Some(hosts) = Hosts::addresses(text) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let hosts = match host {
            "*" => Hosts::All,
            _ => Hosts::addresses(host).or_else(|| Hosts::domain(host))?,
        };
        Some(Self { hosts, port })
    }
}

impl Hosts {
    fn addresses(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (without_brackets(text).unwrap_or(text), None),
        };
        let ip = address.parse::<IpAddr>().ok()?;
        let all = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        if bits > all {
            return None;
        }
        // An IPv4 address may be written as one of IPv6: `::ffff:10.0.0.1`.
        match ip.to_canonical() {
            IpAddr::V4(short) if all == 128 => Some(Self::Addresses(short.into(), bits.checked_sub(96)?)),
            ip => Some(Self::Addresses(ip, bits)),
        }
    }

    fn domain(text: &str) -> Option<Self> {
        let name = text.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(text);
        let name = name.strip_prefix('.').unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.contains(['*', '/', ':', '[', ']']) {
            return None;
        }
        Some(Self::Domain(name.to_ascii_lowercase()))
    }
}

fn without_brackets(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

fn have_in_common(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let difference = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => u128::from(u32::from(one) ^ u32::from(other)) << 96,
        (IpAddr::V6(one), IpAddr::V6(other)) => u128::from(one) ^ u128::from(other),
        _ => return false,
    };
    difference.leading_zeros() >= u32::from(bits)
}

#[cfg(test)]
#[path = "../../tests/units/no_proxy.rs"]
mod tests;
