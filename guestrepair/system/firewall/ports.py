"""The ports and address families on which every sshd waits for the world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guestrepair.system.sshd.endpoints import Endpoint
from guestrepair.system.sshd.sshd import Sshd


@dataclass(frozen=True, slots=True, order=True)
class Listening:
    """A port, and the family (4 or 6) of the addresses that sshd has it on."""

    port: int
    family: int


def listening(sshds: Iterable[Sshd]) -> tuple[Listening, ...]:
    """Where connections from outside reach an sshd; nothing where they listen to this guest alone."""
    found = {each for sshd in sshds for endpoint in sshd.endpoints for each in _from_outside(endpoint)}
    return tuple(sorted(found))


def serves_the_world(sshd: Sshd) -> bool:
    """True for an sshd that boot starts and that listens for others than this guest itself."""
    return sshd.instance.started and bool(listening([sshd]))


def _from_outside(endpoint: Endpoint) -> Iterator[Listening]:
    address = endpoint.address
    if (address is not None and address.is_loopback) or endpoint.host == "localhost":
        return
    families = (endpoint.family,) if endpoint.family else (4, 6) if address is None else (address.version,)
    yield from (Listening(endpoint.port, family) for family in families)
