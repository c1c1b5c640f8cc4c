"""Whether the guest will be on the network: its cards, their configuration, and who puts it into force.

What it finds: configuration that only fits the card of the machine that it was made on (by MAC, or by a
name that comes from the slot); a guest whose cards nobody configures, or by a manager that does not run;
files that their manager refuses; names that cannot be looked up. Why it matters: a guest without an address
boots, and nobody reaches it.

Evidence: the files of netplan, systemd-networkd, NetworkManager, ifupdown, the network scripts, wicked and
cloud-init, each by file and line, and the units that boot starts. Repairs are for a person to choose
(``review``): addresses are never touched. Limits: wireless, modems and tunnels are not looked at; where
something else sets up cards (dhcpcd, connman, a script of the administrator), it says so in a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.network import bad, missing, pinned, resolver
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.model import Finding, Inconclusive

NOT_UNDERSTOOD = not_understood(
    "network",
    "A section or [Match] condition of a .network file, a type or method of a NetworkManager profile, or a"
    " BOOTPROTO, TYPE, ONBOOT or STARTMODE of an ifcfg file that its manager is not known to have.",
    example="[Match] with Nmae=en*",
    sources=("systemd.network(5)", "nm-settings-keyfile(5)", "nm-settings-ifcfg-rh(5)", "ifcfg(5)"),
)


def check_words(context: Context) -> Iterator[Finding]:
    """not-understood."""
    yield from notes(NOT_UNDERSTOOD, context.system.network.strange)


def unread(context: Context) -> Iterator[Inconclusive]:
    """Say which configuration could not be read."""
    for each in context.system.network.unread:
        yield Inconclusive("network", each.error.message)


ANALYZER = Analyzer(
    name="network",
    summary="network: cards without configuration, pinned to a MAC or slot, refused files, resolver",
    rules=(*pinned.RULES, *missing.RULES, *bad.RULES, *resolver.RULES, NOT_UNDERSTOOD),
    checks=(unread, pinned.check, *missing.CHECKS, bad.check, resolver.check, check_words),
    late=True,  # the boot menu may be asked, and what of it lies on the EFI system partition
)
