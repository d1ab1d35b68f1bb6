//! Which hosts are connected to directly although there is a proxy: `NO_PROXY`, as other programs read it.

use core::net::IpAddr;

/// Whether an entry of `NO_PROXY` matches this host, which is without brackets.
///
/// Entries stand between commas or white space. One that cannot be parsed matches no host.
pub(super) fn matches(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let no_proxy = no_proxy.to_ascii_lowercase();
    no_proxy.split(|c: char| c == ',' || c.is_whitespace()).any(|entry| match entry.rsplit_once(':') {
        // An IPv6 address is full of colons.
        Some((hosts, its_port)) if range(entry).is_none() => its_port.parse() == Ok(port) && matches_host(hosts, &host),
        _ => matches_host(entry, &host),
    })
}

fn matches_host(entry: &str, host: &str) -> bool {
    match (host.parse::<IpAddr>(), range(entry)) {
        _ if entry == "*" => true,
        (Ok(address), Some((first, bits))) => {
            // A range of IPv6 addresses holds none of IPv4, though these all begin with the same 96 bits.
            (bits >= 96 || address.to_canonical().is_ipv6()) && (as_ipv6(address) ^ first).leading_zeros() >= bits
        }
        (Err(_), None) => {
            let name = entry.trim_start_matches("*.").trim_matches('.');
            host.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        }
        _ => false,
    }
}

/// An address and how many of its first bits count, from an address or a range such as `10.0.0.0/8`.
fn range(entry: &str) -> Option<(u128, u32)> {
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (entry.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(entry), None),
    };
    let ip = address.parse::<IpAddr>().ok()?;
    let offset = if ip.is_ipv4() { 96 } else { 0 };
    Some((as_ipv6(ip), bits.map_or(128, |bits| offset + u32::from(bits))))
}

/// An IPv4 address as the IPv6 address that stands for it, such as `::ffff:10.0.0.1`.
fn as_ipv6(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

#[cfg(test)]
#[path = "../../tests/units/no_proxy.rs"]
mod tests;
