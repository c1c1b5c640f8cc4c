"""The rule on what boot entries name: ``root=``, GRUB's searches, the container to unlock."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats.kernel_cmdline import Parameter
from guestrepair.guest.devices import BlockDevice, BlockDevices
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.boot_loader import BootLoader, CommandLineFile, Configuration, Kind
from guestrepair.system.guest_system import System

ROOT_WRONG = Rule(
    name="boot/root-device-wrong",
    summary="a boot entry names a filesystem that is on none of the disks",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="root= on the kernel's command line, or GRUB's search, names a UUID or label that no disk has.",
    why="GRUB stops before the kernel, or the initramfs waits for the root filesystem and gives up.",
    repair="Put the UUID of the filesystem that really holds this system into every place that names it.",
    example="The disk was cloned and got new UUIDs, grub.cfg kept the old ones.",
    sources=("Linux Documentation/admin-guide/kernel-parameters.txt, root=", "GRUB manual, search"),
)
RULES = (ROOT_WRONG,)

_BY = {
    "by-uuid": "UUID",
    "by-label": "LABEL",
    "by-partuuid": "PARTUUID",
    "by-partlabel": "PARTLABEL",
}
_LUKS = re.compile(r"(?:luks-)?([0-9a-fA-F-]{36})\Z")


@dataclass(frozen=True, slots=True)
class _Place:
    """One wrong value: where it is written, and what it should be ("": nobody knows)."""

    path: GuestPath
    data: bytes
    line: int
    what: str
    value: str
    right: str
    offset: int
    length: int
    is_default: bool


def check(context: Context) -> Iterator[Finding]:
    """All findings on names that lead nowhere: one for each file and value."""
    system = context.system
    grouped: dict[tuple[GuestPath, str], list[_Place]] = defaultdict(list)
    for place in (*_command_lines(system), *_searches(system), *_kernel_install(system)):
        grouped[place.path, place.value].append(place)
    for places in grouped.values():
        yield _finding(places)


def _tagged(value: str) -> tuple[str, str]:
    """Tag and value of ``UUID=…`` or ``/dev/disk/by-uuid/…``; empty tag for other names."""
    tag, equals, rest = value.partition("=")
    if equals and tag in _BY.values():
        return tag, rest.strip('"')
    if value.startswith("/dev/disk/"):
        folder, _, name = value.removeprefix("/dev/disk/").partition("/")
        return _BY.get(folder, ""), name
    return "", value


def _is_known(block: BlockDevices, value: str) -> bool:
    """True unless the name certainly leads to none of the given disks."""
    tag, rest = _tagged(value)
    if not tag:
        return True  # names of devices depend on the machine
    matches = block.find(tag, rest)
    if not matches and tag in {"UUID", "PARTUUID"}:
        matches = block.find(tag, rest.lower()) or block.find(tag, rest.upper())
    if tag == "PARTUUID" and "/" in rest:
        return True  # PARTUUID=…/PARTNROFF=1
    return bool(matches)


def _device_at(system: System, target: str) -> BlockDevice | None:
    source = next((m.source for m in system.mounted if m.target == target), "")
    return system.block.get(source)


def _right_root(system: System, value: str) -> str:
    """What ``root=`` should say, in the manner of the wrong value."""
    device = _device_at(system, "/")
    if device is None:
        return ""
    tag, _ = _tagged(value)
    if tag == "PARTUUID" and device.partuuid:
        right = device.partuuid
    elif device.uuid:
        tag, right = "UUID", device.uuid
    else:
        return ""
    if value.startswith("/dev/disk/"):
        return f"/dev/disk/by-{tag.lower()}/{right}"
    return f"{tag}={right}"


# --- command lines ------------------------------------------------------------------


def _command_lines(system: System) -> Iterator[_Place]:
    for item in system.boot_loader.entries:
        is_default = system.boot_loader.is_default(item)
        kernel = item.entry.kernel
        ours = is_default or (kernel is not None and system.boot_loader.find(kernel, item) is not None)
        if not ours:
            continue  # an entry of another system, perhaps of one whose disk is not here
        if item.entry.root is not None:
            yield from _root(system, item.path, item.data, item.entry.root, item.entry.line, is_default)
        for value in item.entry.cmdline.all("rd.luks.uuid"):
            match = _LUKS.match(value)
            if match and not _is_known(system.block, f"UUID={match[1]}"):
                what = "rd.luks.uuid="
                yield _Place(item.path, item.data, item.entry.line, what, value, "", -1, 0, is_default)


def _root(
    system: System, path: GuestPath, data: bytes, root: Parameter, line: int, is_default: bool
) -> Iterator[_Place]:
    if not root.value or _is_known(system.block, root.value):
        return
    right, at, size = _right_root(system, root.value), root.value_offset, root.value_length
    yield _Place(path, data, line, "root=", root.value, right, at, size, is_default)


def _kernel_install(system: System) -> Iterator[_Place]:
    for file in system.boot_loader.kernel_cmdlines:
        root = file.cmdline.last("root") if isinstance(file, CommandLineFile) else None
        if isinstance(file, CommandLineFile) and root is not None:
            line = file.data[: root.offset].count(b"\n") + 1
            yield from _root(system, file.path, file.data, root, line, is_default=False)


# --- GRUB's searches -------------------------------------------------------------------


def _searches(system: System) -> Iterator[_Place]:
    boot = _device_at(system, "/boot") or _device_at(system, "/")
    right = boot.uuid if boot is not None else ""
    what = "search --fs-uuid"
    for menu in system.boot_loader.of_kind(Kind.GRUB, Kind.GRUB_STUB):
        own = _own_searches(system.boot_loader, menu)
        for search in menu.parsed.all_searches():
            value, text = search.value, search.value.text
            if search.by != "fs-uuid" or "$" in text or _is_known(system.block, f"UUID={text}"):
                continue
            if not own or text in own:
                at, size = value.offset, value.length
                yield _Place(menu.path, menu.data, search.line, what, text, right, at, size, True)


def _own_searches(loader: BootLoader, menu: Configuration) -> set[str]:
    """The values searched for by entries whose kernel is in this guest, and outside of entries."""
    values = {s.value.text for s in menu.parsed.searches}
    for entry in loader.entries_of(menu):
        if entry.entry.kernel is not None and loader.find(entry.entry.kernel, entry) is not None:
            values |= {s.value.text for s in entry.entry.searches}
    return values


# --- findings ---------------------------------------------------------------------------


def _finding(places: list[_Place]) -> Finding:
    first = next((p for p in places if p.is_default), places[0])
    subject = Subject.of_line(first.path, first.line)
    others = sorted({p.line for p in places} - {first.line})
    return ROOT_WRONG.finding(
        subject,
        f"{subject}: {first.what} names {first.value}, which is on none of the disks"
        + (f"; this system is on {first.right}" if first.right else ""),
        severity=Severity.ERROR if first.is_default else Severity.WARNING,
        evidence=(
            Evidence(subject, f"{first.what} {first.value}", first.right or "a filesystem that is there"),
        ),
        repair=_repair(places),
        folded=tuple(f"{first.path}:{line}" for line in others),
    )


def _repair(places: list[_Place]) -> Repair:
    first = places[0]
    editable = {(p.offset, p.length): p for p in places if p.offset >= 0 and p.length and p.right}
    if not editable:
        advice = "attach the disk that it names, or correct the entry and the boot loader's environment block"
        return Repair(advice, Safety.MANUAL)
    edits = tuple(
        Edit(offset=p.offset, length=p.length, text=p.right.encode())
        for _, p in sorted(editable.items(), key=lambda item: item[0])
    )
    change = EditFile(path=first.path, before=first.data, edits=edits)
    return Repair(f"write {first.right} instead of {first.value} in {first.path}", Safety.SAFE, (change,))
