"""The rule on GRUB for UEFI: does what is built into it lead to a configuration?"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.loaders import state_of_bios
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.boot_loader.grub_on_esp import GrubOnEsp, Lead
from guestrepair.system.guest_system import System

EFI_CONFIGURATION = Rule(
    name="boot/efi-configuration-missing",
    summary="a GRUB on the EFI system partition finds no configuration",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="What is built into GRUB (a prefix such as /EFI/rocky, a partition, a search) leads to no "
    "grub.cfg, to an empty one, or to one that names a menu which is not there. A warning where GRUB for "
    "BIOS is whole, or where another GRUB on the partition finds its own. Silent beside another kind of "
    "loader.",
    why="The machine stops at the prompt 'grub>', without a menu.",
    repair="Write the short grub.cfg that searches for the filesystem with GRUB's folder in /boot and reads "
    "the menu there.",
    example="The EFI system partition was made again, and only shim and grub2-efi were reinstalled.",
    sources=("GRUB manual, Embedding", "grub-mkimage(1), --prefix", "GRUB include/grub/kernel.h"),
)
RULES = (EFI_CONFIGURATION,)


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """Findings on each GRUB whose way leads nowhere; one for those that look in one place."""
    system = context.system
    found = system.boot_loader.grubs_on_esp
    if found is None or system.boot_loader.unread_menus:
        return
    for unread in found.unread:
        yield Inconclusive("boot", unread.error.message)
    lost = [g for g in found.grubs if g.lead is Lead.MISSING]
    # Firmware starts one of the others where there is another kind of loader: a GRUB beside it is a leftover.
    if not lost or found.others or found.unread:
        return
    works = [g for g in found.grubs if g.lead is not Lead.MISSING]
    if works:
        # The firmware's own entries name a vendor's folder; a machine without them starts EFI/BOOT.
        lost = [g for g in lost if g.path.parent.name.upper() != "BOOT"]
    places: dict[object, list[GrubOnEsp]] = {}
    for grub in lost:
        places.setdefault(grub.stub or grub.why, []).append(grub)
    for grubs in places.values():
        yield _finding(system, grubs, certain=not works)


def _finding(system: System, grubs: list[GrubOnEsp], *, certain: bool) -> Finding:
    first = min(grubs, key=lambda g: (g.path.parent.name.upper() == "BOOT", str(g.path)))
    by_bios = state_of_bios(system.boot_loader) == "complete"
    error = certain and not by_bios
    built_in = first.image.prefix or "no prefix"
    return EFI_CONFIGURATION.finding(
        Subject.of_path(first.stub or first.path),
        f"GRUB at {first.path} finds no configuration: {first.why}; UEFI stops at its prompt"
        + ("; BIOS still starts the guest" if by_bios else ""),
        severity=Severity.ERROR if error else Severity.WARNING,
        evidence=(
            Evidence(str(first.path), f"built in: {built_in}", "a place with a grub.cfg"),
            Evidence(str(first.stub or first.path), first.why),
        ),
        repair=_repair(system, first),
        folded=tuple(str(g.path) for g in grubs if g is not first),
    )


def _repair(system: System, grub: GrubOnEsp) -> Repair:
    place = system.boot_loader.menu_place
    if grub.stub is None:
        advice = "run the guest's grub-install from a rescue system: what it looks for is built into GRUB"
        return Repair(advice, Safety.MANUAL)
    if place is None:
        advice = f"write {grub.stub} from a rescue system: the menu in /boot is not there, or cannot be named"
        return Repair(advice, Safety.MANUAL)
    text = (
        f"search --no-floppy --fs-uuid --set=dev {place.uuid}\n"
        f"set prefix=($dev){place.folder}\nexport prefix\nconfigfile $prefix/grub.cfg\n"
    )
    change = WriteFile(
        path=grub.stub,
        before=grub.stub_data,
        after=text.encode(),
        mode=0o700,
        backup=grub.stub_data is not None,
    )
    return Repair(f"write {grub.stub}, which reads the menu in /boot", Safety.REVIEW, (change,))
