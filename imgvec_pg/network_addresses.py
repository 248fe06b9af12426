"""Which addresses are never connected to at the word of others: this machine, its networks, and what leads there otherwise."""

import ipaddress
from collections.abc import Sequence

from imgvec_pg.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Beyond what Python's registry of special addresses knows.
DENIED = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # Azure's metadata and DNS, a public address that is no public host
            "192.0.0.0/24",  # RFC 6890; some clouds keep their metadata there
            "192.88.99.0/24",  # 6to4 relays, RFC 7526
            "2001::/32",  # Teredo, RFC 4380: a tunnel to any IPv4 address
            "2002::/16",  # 6to4, RFC 3056: likewise
            "64:ff9b:1::/48",  # NAT64 within one network, RFC 8215
            "fec0::/10",  # site-local, RFC 3879
            "5f00::/16",  # segment routing, RFC 9602
        ),
    )
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291 section 2.5.5.1


def is_allowed(address: str, networks: Sequence[Network] = ()) -> bool:
    """Whether pictures may be fetched from an IP address, and a server that embeds be asked there.

    Args:
        networks: Addresses allowed though they are not public.
    """
    parsed = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    if any(parsed.version == network.version and parsed in network for network in networks):
        return True
    if any(parsed.version == network.version and parsed in network for network in DENIED):
        return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified)


def _innermost(address: Address) -> Address:
    """Return the IPv4 address that a mapped, translated or compatible IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        # ::1 and :: are none of these.
        if address in NAT64 or (address in COMPATIBLE and int(address) > 1):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
