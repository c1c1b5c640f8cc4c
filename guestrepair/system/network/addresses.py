"""Addresses, and whether a gateway can be reached from them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_MAX_TEXT = 64


def interface(text: str, prefix: str = "") -> Interface | None:
    """An address with the size of its network (``10.0.0.5/24``, or by netmask); None for what is none."""
    whole = f"{text}/{prefix}" if prefix and "/" not in text else text
    if len(whole) > _MAX_TEXT or not whole.isascii():
        return None
    try:
        return ipaddress.ip_interface(whole.strip())
    except ValueError:
        return None


def is_address(text: str) -> bool:
    """True for one address, without a network's size."""
    try:
        ipaddress.ip_address(text) if len(text) <= _MAX_TEXT else int("")
    except ValueError:
        return False
    return True


def is_out_of_reach(gateway: str, addresses: Iterable[str]) -> bool:
    """True where the gateway is in none of the networks: the kernel refuses the route.

    Not judged: a link-local gateway (always on the link), single addresses (/32, /128: clouds route them by
    other means), and no address of that family.
    """
    if not is_address(gateway):
        return False
    wanted = ipaddress.ip_address(gateway)
    if wanted.is_link_local or wanted.is_unspecified:
        return False
    own = [
        a for a in (interface(text) for text in addresses) if a is not None and a.version == wanted.version
    ]
    if any(a.network.prefixlen >= a.max_prefixlen - 1 for a in own):
        return False
    return bool(own) and not any(wanted in a.network for a in own)
