//! Addresses: which are the same, and which only a grant of their own allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Clouds serve a machine's credentials at these, beside the link-local ones.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Networks of the same, with the number of leading segments that tell them:
/// `fd00:ec2::/32` and `fd20:ce::254`.
const METADATA_V6: [(&[u16], usize); 2] =
    [(&[0xfd00, 0xec2], 2), (&[0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 8)];

/// Reads an address: without brackets, an IPv6 one perhaps with a zone.
pub(super) fn parse(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse() {
        return Some(canonical(address));
    }
    let (address, _zone) = host.split_once('%')?;
    address.parse().ok().map(IpAddr::V6)
}

/// The address that a connection goes to: IPv4 within IPv6 is IPv4.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

/// Whether it is a link-local or metadata address, which is allowed only by its own name.
pub fn is_special(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            let metadata =
                METADATA_V6.iter().any(|(known, count)| segments[..*count] == known[..*count]);
            let within = translated(v6).is_some_and(|v4| is_special(IpAddr::V4(v4)));
            v6.is_unicast_link_local() || metadata || within
        }
    }
}

/// Whether all of a network is special, so that a grant of it would allow nothing.
pub(super) fn is_special_network(first: IpAddr, bits: u8) -> bool {
    match first {
        IpAddr::V4(v4) => v4.is_link_local() && bits >= 16,
        IpAddr::V6(v6) => {
            let aws = v6.segments()[..2] == *METADATA_V6[0].0;
            v6.is_unicast_link_local() && bits >= 10 || aws && bits >= 32
        }
    }
}

/// The IPv4 address that a translator (RFC 6052, `64:ff9b::/96`), 6to4 (RFC 3056) or a
/// tunnel of old (`::a.b.c.d`) would make of it.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => of(g, h),
        (0x2002, _) => of(b, c),
        (0, 0) if [c, d, e, f] == [0; 4] => of(g, h),
        (_, _) => None,
    }
}
