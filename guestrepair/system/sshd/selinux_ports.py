"""The ports on which SELinux lets sshd listen: the policy's own, and those that semanage added.

Sources: semanage-port(8); the reference policy's corenetwork (ssh_port_t is tcp 22); libsemanage's store,
where local ports are lines of ``ports.local`` and a permissive domain is a module of its name.
"""

from __future__ import annotations

import re

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.selinux import Selinux

_BUILT_IN = 22
_LINE = re.compile(r"portcon\s+tcp\s+(\d{1,5})(?:-(\d{1,5}))?\s+\S*:ssh_port_t\b")
_STORES = ("/var/lib/selinux/{}/active", "/etc/selinux/{}/active", "/etc/selinux/{}/modules/active")
_ENFORCING = "enforcing"


def allowed_ports(guest: Guest, selinux: Selinux) -> frozenset[int]:
    """The ports of ssh_port_t; empty where SELinux does not enforce, or leaves sshd alone.

    Raises:
        GuestReadError: what decides that is there and cannot be read.
    """
    config = selinux.config
    if config is None or config.mode is None or config.mode.value.lower() != _ENFORCING:
        return frozenset()
    if not selinux.is_started or selinux.is_permissive_at_boot or not selinux.has_policy(config.policy_name):
        return frozenset()
    found = {_BUILT_IN}
    for store in (GuestPath(text.format(config.policy_name)) for text in _STORES):
        if guest.glob(store / "modules", "permissive_sshd_t*") or any(
            guest.glob(store / "modules" / priority, "permissive_sshd_t*") for priority in ("100", "400")
        ):
            return frozenset()
        for line in (
            (guest.read_if_there(store / "ports.local") or b"").decode("utf-8", "replace").splitlines()
        ):
            said = _LINE.search(line.partition("#")[0])
            if said is not None:
                first, last = int(said[1]), int(said[2] or said[1])
                found |= set(range(first, min(last, 65535) + 1))
    return frozenset(found)
