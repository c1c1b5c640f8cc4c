"""Whether the booted kernel has a driver for the network cards of the platform."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.kernels import release
from guestrepair.analyzers.platform.asking import PAGE, Unmet, cannot_tell, listed, not_met
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.platforms.model import asked, of_kind
from guestrepair.platforms.parameters import NicDriver
from guestrepair.system.cards import Card, CardDrivers, card_drivers, find_card
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System

NIC_DRIVER = Rule(
    name="platform/nic-driver",
    summary="the kernel has no driver for the network card of the platform",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.MANUAL,),
    what="Of the cards that the platform gives, the default entry's kernel drives none: no such module in"
    " /lib/modules, none built in, or one that modprobe.d keeps from being loaded.",
    why="The guest boots and has no network: nobody reaches it but by its console.",
    repair="Install a kernel (or the package with its further modules) that has the driver; take away what"
    " blocks it. It is for a person to do.",
    example="linux-image-cloud-amd64 on VirtualBox, which has e1000 cards.",
    sources=(
        "modules.dep(5)",
        "modprobe.d(5)",
        PAGE,
    ),
)
RULES = (NIC_DRIVER,)


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """One finding for the kernel of the default entry."""
    wanted = tuple(of_kind(asked(context.platforms, NIC_DRIVER.name), NicDriver))
    if not wanted:
        return
    found = _drivers(context.system)
    if isinstance(found, str):
        for each, _ in wanted:
            yield cannot_tell(each, "whether its network card is driven", found)
        return
    unmet: list[tuple[Unmet, str]] = []
    for each, parameters in wanted:
        cards = [card for card in map(find_card, parameters.any) if card is not None]
        if all(found.missing(card) for card in cards):
            why = "; ".join(_why(found, card) for card in cards)
            unmet.append((Unmet(each, listed([card.title for card in cards])), why))
    if unmet:
        kernel = found.kernel.release
        yield not_met(
            NIC_DRIVER,
            Subject.of_path(GuestPath("/lib/modules") / kernel),
            f"kernel {kernel} has no driver for the network card",
            [each for each, _ in unmet],
            evidence=[
                Evidence(f"/lib/modules/{kernel}", why, "a driver")
                for why in dict.fromkeys(w for _, w in unmet)
            ],
            repair=Repair(
                "install a kernel that has the driver (Debian: linux-image-amd64 in the place of"
                " linux-image-cloud-amd64; Ubuntu: linux-modules-extra; RHEL: kernel-modules), and take away"
                " what blocks it",
                Safety.MANUAL,
            ),
        )


def _why(found: CardDrivers, card: Card) -> str:
    return ", ".join(found.missing(card))


def _drivers(system: System) -> CardDrivers | str:
    """The drivers of the kernel that is booted, or why they are not known."""
    default = attempt(lambda: system.boot_loader.default)
    if isinstance(default, Unreadable):
        return default.error.message
    if default is None or default.entry is None:
        return "which kernel is booted is not known"
    version = release(system, default.entry)
    if not version:
        return "the release of the default entry's kernel is not known"
    found = attempt(lambda: card_drivers(system.drivers, version))
    if isinstance(found, Unreadable):
        return found.error.message
    return found if found is not None else f"kernel {version} has no list of its modules"
