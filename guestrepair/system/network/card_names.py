"""Which names the cards have that give a guest its addresses, where that is known before it runs.

Only where cards surely keep the kernel's names: a name by slot depends on a machine that nobody has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guestrepair.system.network.model import Configuration, Reach
from guestrepair.system.network.naming import is_kernel_name

if TYPE_CHECKING:
    from guestrepair.system.network.network import Network

KERNEL_NAMES = tuple(f"eth{number}" for number in range(16))
"""Of cards whose number is not known."""


def card_names(network: Network) -> tuple[str, ...]:
    """The names of all cards with an address; empty where they are not known.

    Raises:
        GuestReadError: what names cards cannot be read.
    """
    if (
        not network.naming.surely_kernel_names
        or network.naming.given
        or network.unread
        or network.writes_anew
    ):
        return ()
    if any(d.text("set-name") for d in network.netplan.definitions.values()):
        return ()
    configurations = network.configurations
    if any(c.part_of for c in configurations) or not all(map(_is_plain, configurations)):
        return ()  # a bridge or bond has the address, or a card gets another name
    if network.unknown or network.makes_default:
        return KERNEL_NAMES
    reached = network.in_force
    if not reached:
        return ()
    if any(r.reach is not Reach.ANY for r in reached):
        return KERNEL_NAMES
    names = {name for r in reached for name in r.configuration.match.names}
    literal = all(r.configuration.match.names for r in reached) and all(map(is_kernel_name, names))
    return tuple(sorted(names)) if literal else KERNEL_NAMES


def _is_plain(configuration: Configuration) -> bool:
    """True where it names cards as the kernel does, or by patterns alone."""
    match = configuration.match
    named = all(is_kernel_name(name) or any(c in name for c in "*?[") for name in match.names)
    return named and not match.macs
