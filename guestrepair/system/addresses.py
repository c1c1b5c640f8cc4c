"""The addresses that the guest's network configuration names, whoever manages the network.

Not what an interface gets, only which addresses stand in the files at all, and whether any of them asks for
more than they say (DHCP, router advertisements, a cloud).
"""

from __future__ import annotations

import ipaddress
import re

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact

_FILES = tuple(
    map(
        GuestPath,
        ("/etc/network/interfaces", "/etc/keepalived/keepalived.conf", "/etc/conf.d/net", "/etc/dhcpcd.conf"),
    )
)
_DIRECTORIES = (
    ("/etc/netplan", "*.yaml"),
    ("/etc/network/interfaces.d", "*"),
    ("/etc/systemd/network", "*.network"),
    ("/usr/lib/systemd/network", "*.network"),
    ("/run/systemd/network", "*.network"),
    ("/etc/sysconfig/network-scripts", "ifcfg-*"),
    ("/etc/sysconfig/network", "ifcfg-*"),
    ("/etc/NetworkManager/system-connections", "*"),
    ("/etc/wicked/ifconfig", "*.xml"),
    ("/etc/cloud/cloud.cfg.d", "*.cfg"),
)
_ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})")
_DYNAMIC = re.compile(
    r"dhcp[46]?\s*[:=]\s*['\"]?(?:yes|true|on|1|ipv4|ipv6|both)|BOOTPROTO\s*=\s*['\"]?(?:dhcp|bootp|autoip)"
    r"|inet6?\s+(?:dhcp|auto)\b|method\s*=\s*auto\b|accept-ra\s*:\s*true",
    re.IGNORECASE,
)
_LEASING = tuple(map(GuestPath, ("/usr/bin/cloud-init", "/usr/sbin/dhcpcd", "/sbin/dhcpcd")))
_LIMIT_BYTES = 1024 * 1024


class NamedAddresses:
    """Those of one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def texts(self) -> tuple[str, ...]:
        """The content of the files, without comments.

        Raises:
            GuestReadError: one of them is there and cannot be read.
        """
        found = [path for path in _FILES if self._guest.is_file(path)]
        for directory, pattern in _DIRECTORIES:
            paths = self._guest.glob(GuestPath(directory), pattern)
            found += [path for path in paths if self._guest.is_file(path)]
        read = (self._guest.read(path, limit_bytes=_LIMIT_BYTES).decode("utf-8", "replace") for path in found)
        return tuple(re.sub(r"(?m)^[ \t]*[#;].*$", "", text) for text in read)

    @fact
    def addresses(self) -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        """All addresses that stand in them."""
        found = set()
        for text in self.texts:
            for word in _ADDRESS.findall(text):
                try:
                    found.add(ipaddress.ip_address(word))
                except ValueError:
                    continue
        return frozenset(found)

    @fact
    def may_get_others(self) -> bool:
        """True where the guest may have an address that no file names, or nothing is known of its network."""
        texts = self.texts
        if not self.addresses or any(_DYNAMIC.search(text) for text in texts):
            return True
        return any(map(self._guest.exists, _LEASING))
