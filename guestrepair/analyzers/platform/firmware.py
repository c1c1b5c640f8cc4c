"""By which firmware the disk boots: BIOS boot code, an EFI system partition, the fallback loader on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.platform.asking import PAGE, Unmet, cannot_tell, listed, not_met
from guestrepair.formats.gpt import ESP_TYPE
from guestrepair.model import Effect, Evidence, Finding, Inconclusive, Repair, Safety, Severity, Subject
from guestrepair.platforms.model import asked, of_kind
from guestrepair.platforms.parameters import Firmware
from guestrepair.system.boot_loader import BootCode, BootCodeKind
from guestrepair.system.boot_loader.grub_on_esp import Lead
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System

FIRMWARE = Rule(
    name="platform/firmware",
    summary="the disk does not boot by the firmware of the platform",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.MANUAL,),
    what="The platform starts its machines by BIOS, by UEFI, or by either, and the disk has no boot loader"
    " for that: no boot code in sector 0 (or GRUB's without the rest of it), or no EFI system partition with"
    " a whole program. A platform that comes without entries in its NVRAM needs the fallback"
    " EFI/BOOT/BOOTX64.EFI (BOOTAA64.EFI on arm64), which firmware looks for by itself.",
    why="The machine stops at its firmware: 'No bootable device', a UEFI shell, or nothing at all.",
    repair="Install the other boot loader in a rescue system (grub-install with the right --target,"
    " --removable for the fallback); a BIOS needs a BIOS boot partition on a GPT disk. It is for a person"
    " to do.",
    example="A guest installed under UEFI, whose loader stands in the NVRAM of the old machine alone.",
    sources=(
        "UEFI specification 2.10, section 3.5.1.1",
        "GRUB manual, BIOS installation",
        PAGE,
    ),
)
RULES = (FIRMWARE,)

_MBR_ESP_TYPE = "0xef"
_FALLBACKS = {
    "x86_64": "BOOTX64.EFI",
    "aarch64": "BOOTAA64.EFI",
    "i386": "BOOTIA32.EFI",
    "i686": "BOOTIA32.EFI",
}
_UNKNOWN_ARCH = "BOOTX64.EFI"
_HOW = {
    "bios": "grub-install --target=i386-pc /dev/DISK (on GPT with a partition of type ef02)",
    "uefi": "grub-install --target=x86_64-efi --removable, with the EFI system partition on /boot/efi",
}


@dataclass(frozen=True, slots=True)
class Way:
    """Whether one firmware starts the disk, and why (not); ``works`` is None where that cannot be told."""

    works: bool | None
    why: str
    fallback: bool | None = True
    """Whether UEFI finds it without an entry in the NVRAM."""


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """One finding for the disk that the guest boots from."""
    system = context.system
    unmet: list[Unmet] = []
    for each, wanted in of_kind(asked(context.platforms, FIRMWARE.name), Firmware):
        ways = {name: _WAYS[name](system) for name in wanted.any}
        fits = [_fits(way, fallback=wanted.fallback) for way in ways.values()]
        if True in fits:
            continue
        if None in fits:
            unknown = next(way for way, fit in zip(ways.values(), fits, strict=True) if fit is None)
            yield cannot_tell(each, f"whether it boots by {listed(wanted.any).upper()}", unknown.why)
        else:
            unmet.append(Unmet(each, f"{listed(wanted.any).upper()} ({'; '.join(_reasons(ways, wanted))})"))
    if unmet:
        names = dict.fromkeys(n for each, w in _parameters(unmet) for n in w.any)
        yield not_met(
            FIRMWARE,
            Subject.of_device(_disk(system)),
            f"{_disk(system)} does not boot by the firmware that is asked for",
            unmet,
            evidence=[Evidence(n.upper(), _WAYS[n](system).why, "a boot loader for it") for n in names],
            repair=Repair("in a rescue system: " + "; ".join(_HOW[n] for n in names), Safety.MANUAL),
        )


def _parameters(unmet: list[Unmet]) -> Iterator[tuple[Unmet, Firmware]]:
    for each in unmet:
        if isinstance(each.asked.requirement.parameters, Firmware):
            yield each, each.asked.requirement.parameters


def _fits(way: Way, *, fallback: bool) -> bool | None:
    if not way.works or not fallback:
        return way.works
    return way.fallback


def _reasons(ways: dict[str, Way], wanted: Firmware) -> Iterator[str]:
    for way in ways.values():
        yield f"{way.why}, and no {_UNKNOWN_ARCH}" if way.works and wanted.fallback else way.why


def _disk(system: System) -> str:
    root = system.mounts.root
    first = next((disk.name for disk in system.block.disks), "disk")
    return root.disk if root is not None and root.disk else first


# --- BIOS -----------------------------------------------------------------------------------


def bios(system: System) -> Way:
    """Whether a BIOS starts it."""
    code = attempt(lambda: system.boot_loader.boot_code)
    if isinstance(code, Unreadable):
        return Way(None, code.error.message)
    if code is None:
        return Way(None, "/boot lies on no single disk")
    if code.kind is BootCodeKind.NONE:
        return Way(works=False, why=f"sector 0 of {code.disk.name} holds no boot code")
    if code.kind is BootCodeKind.OTHER:
        return _other_code(system, code)
    if not code.core_is_whole:
        return Way(works=False, why=f"GRUB's core image on {code.disk.name} is not whole")
    if code.kind is BootCodeKind.GRUB and not system.boot_loader.has_normal_module:
        return Way(works=False, why="GRUB's modules for BIOS (i386-pc) are not in /boot")
    return Way(works=True, why=f"{code.kind} in sector 0 of {code.disk.name}")


def _other_code(system: System, code: BootCode) -> Way:
    """Code that starts the active partition boots where there is one; whose it is, is not looked into."""
    for table in system.partitions.tables:
        if isinstance(table, Unreadable) or table.name != code.disk.name or table.mbr is None:
            continue
        if any(entry.is_active for entry in table.mbr.entries):
            return Way(works=True, why=f"boot code in sector 0 of {code.disk.name}, and an active partition")
    return Way(None, f"sector 0 of {code.disk.name} holds code that is not known, and no partition is active")


# --- UEFI -------------------------------------------------------------------------------------


def uefi(system: System) -> Way:
    """Whether UEFI firmware starts it, and whether without an entry in its NVRAM."""
    partitions = [d for d in system.block.devices if d.part_type in {ESP_TYPE, _MBR_ESP_TYPE}]
    if not partitions:
        return Way(works=False, why="no disk has an EFI system partition")
    efi = attempt(lambda: system.boot_loader.efi)
    if isinstance(efi, Unreadable):
        return Way(None, efi.error.message)
    if efi is None:
        return Way(None, f"the EFI system partition {partitions[0].name} is not mounted here")
    if efi.unread:
        return Way(None, efi.unread[0].error.message)
    whole = [path for path, is_whole in efi.programs.items() if is_whole]
    if not whole:
        return Way(works=False, why=f"no whole program is below {efi.target}/EFI")
    name = _FALLBACKS.get(system.os.arch, _UNKNOWN_ARCH)
    fallback = next((p for p in whole if (p.parent.name.upper(), p.name.upper()) == ("BOOT", name)), None)
    if fallback is None:
        return Way(works=True, why=f"{whole[0]} is there", fallback=False)
    lead = _lead_of(system, str(fallback))
    if lead is Lead.MISSING:
        return Way(works=True, why=f"{fallback} is a GRUB that finds no configuration", fallback=False)
    return Way(works=True, why=f"{fallback} is there")


def _lead_of(system: System, path: str) -> Lead | None:
    found = attempt(lambda: system.boot_loader.grubs_on_esp)
    if isinstance(found, Unreadable) or found is None:
        return None
    return next((grub.lead for grub in found.grubs if str(grub.path) == path), None)


_WAYS = {"bios": bios, "uefi": uefi}
