//! Whether an address is one of the open internet. Whoever may only manage models must not reach, through this server,
//! what only the server can reach: its own ports, its private network, a cloud's metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether `url` says by itself that it lies inside: a private address, or a name that only private networks use. Other
/// names are checked when they are resolved, by [`PublicNames`].
pub(super) fn is_private(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return true;
    };
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
    match host.parse::<IpAddr>() {
        Ok(address) => !is_public(address),
        Err(_) => ["localhost", "local", "internal", "lan", "home.arpa"]
            .iter()
            .any(|zone| {
                host == *zone
                    || host
                        .strip_suffix(zone)
                        .is_some_and(|rest| rest.ends_with('.'))
            }),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !(first == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        // Carrier-grade NAT, benchmarking, protocol assignments, reserved.
        || (first == 100 && (64..128).contains(&second))
        || (first == 198 && (18..20).contains(&second))
        || (first == 192 && second == 0 && third == 0)
        || first >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4() {
        // Mapped and compatible addresses reach the same machine as their inner address.
        return is_public_v4(inner);
    }
    let first = address.segments()[0];
    // 2000::/3 is what is routed; of it, 6to4 and Teredo wrap other addresses and 2001:db8 is for documents.
    first & 0xe000 == 0x2000
        && first != 0x2002
        && !(first == 0x2001 && [0, 0xdb8].contains(&address.segments()[1]))
}

/// Resolves names, and leaves out the addresses that are not public. The check and the connection use the same answer,
/// so a name cannot change in between.
pub(super) struct PublicNames {
    /// The hub, which the operator chose; it may be inside.
    pub(super) trusted: Option<String>,
}

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let trusted = self.trusted.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let kept: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| trusted || is_public(address.ip()))
                .collect();
            if kept.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            let addresses: Addrs = Box::new(kept.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_known_in_every_spelling() {
        let check = |url: &str, private: bool| {
            let url = Url::parse(url).expect("address");
            assert_eq!(is_private(&url), private, "{url}");
        };
        for inside in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0.0.0.0/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[2002:7f00:1::]/",
            "https://localhost:8443/",
            "https://localhost./",
            "https://a.localhost/",
            "https://metadata.google.internal/",
            "https://printer.local/",
        ] {
            check(inside, true);
        }
        check("https://example.com/", false);
        check("https://notlocalhost.example/", false);
        check("https://8.8.8.8/", false);
        check("https://172.32.0.1/", false);
        check("https://[2606:4700::1]/", false);
    }
}
