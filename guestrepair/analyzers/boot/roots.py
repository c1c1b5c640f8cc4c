"""The rule on what boot entries name: ``root=``, GRUB's searches, the container to unlock."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.root_names import (
    all_is_seen,
    right_name,
    root_is_certain,
    volume,
    wrong_name,
)
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
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
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="root= on the kernel's command line, or GRUB's search, names a UUID or label that no disk has, "
    "a loop or network block device of the machine that built the image, a logical volume or opened "
    "container that is not there; or no root= is left once GRUB's variables ($kernelopts) are put in, and "
    "nothing else tells the root. A disk that the guest, as given, does not have (/dev/sdb1) is a warning.",
    why="GRUB stops before the kernel, or the initramfs waits for the root filesystem and gives up.",
    repair="Put the UUID of the filesystem that really holds this system into every place that names it; a "
    "lost command line comes from /etc/kernel/cmdline where that is right. Safe where fstab agrees.",
    example="root=/dev/mapper/loop0p3, from an image builder",
    sources=(
        "Linux Documentation/admin-guide/kernel-parameters.txt, root=",
        "GRUB manual, search; Environment block",
        "dracut.cmdline(7)",
    ),
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
    why: str = "which is on none of the disks"
    severity: Severity = Severity.ERROR
    safety: Safety = Safety.SAFE


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
        return True  # names of devices: see root_names.py
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
        base = _Place(item.path, item.data, item.entry.line, "", "", "", -1, 0, is_default)
        has_initramfs = bool(item.entry.initrds)
        yield from _root(system, base, item.entry.cmdline, has_initramfs=has_initramfs)
        yield from _containers(system, base, item.entry.cmdline)
        yield from _volumes(system, base, item.entry.cmdline)


def _root(system: System, base: _Place, cmdline: CommandLine, *, has_initramfs: bool) -> Iterator[_Place]:
    root = cmdline.last("root")
    value = system.boot_loader.filled(root.value) if root is not None and root.value else None
    if root is None or not value:
        return  # none at all: see rootless.py; one with a variable that nobody knows tells nothing
    place = replace(base, what="root=", value=value, offset=root.value_offset, length=root.value_length)
    if not _is_known(system.block, value):
        yield replace(place, right=_right_root(system, value))
        return
    wrong = wrong_name(system, value, cmdline)
    if wrong is None:
        return
    right = right_name(system, value, has_initramfs=has_initramfs)
    certain = wrong.severity is Severity.ERROR and root_is_certain(system)
    safety = Safety.SAFE if certain else Safety.REVIEW
    yield replace(place, right=right, why=wrong.why, severity=wrong.severity, safety=safety)


def _containers(system: System, base: _Place, cmdline: CommandLine) -> Iterator[_Place]:
    for value in cmdline.all("rd.luks.uuid"):
        match = _LUKS.match(value)
        if match and not _is_known(system.block, f"UUID={match[1]}"):
            yield replace(base, what="rd.luks.uuid=", value=value)


def _volumes(system: System, base: _Place, cmdline: CommandLine) -> Iterator[_Place]:
    """Volumes that dracut waits for before it mounts the root (dracut.cmdline(7), rd.lvm.lv)."""
    if cmdline.get("rd.lvm") == "0" or not all_is_seen(system):
        return
    groups = {_group(d) for d in system.block.devices if d.kind is DeviceKind.LOGICAL_VOLUME}
    for parameter in cmdline.parameters:
        value = parameter.value or ""
        if parameter.name != "rd.lvm.lv" or value.count("/") != 1 or volume(system, value) is not None:
            continue
        group, _, name = value.partition("/")
        renamed = [f"{g}/{name}" for g in groups if volume(system, f"{g}/{name}") is not None]
        right = renamed[0] if len(renamed) == 1 and group not in groups else ""
        # A group of which nothing is here may lie on a disk that was not given.
        severity = Severity.ERROR if right or group in groups else Severity.WARNING
        at, size = parameter.value_offset, parameter.value_length
        yield replace(
            base, what="rd.lvm.lv=", value=value, right=right, offset=at, length=size, severity=severity,
            why="a logical volume that is on none of the disks", safety=Safety.REVIEW,
        )  # fmt: skip


def _group(device: BlockDevice) -> str:
    parts = device.name.split("/")
    return parts[2] if len(parts) == 4 else ""


def _kernel_install(system: System) -> Iterator[_Place]:
    for file in system.boot_loader.kernel_cmdlines:
        root = file.cmdline.last("root") if isinstance(file, CommandLineFile) else None
        if isinstance(file, CommandLineFile) and root is not None:
            line = file.data[: root.offset].count(b"\n") + 1
            base = _Place(file.path, file.data, line, "", "", "", -1, 0, is_default=False)
            yield from _root(system, base, file.cmdline, has_initramfs=True)


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
        f"{subject}: {first.what} names {first.value}, {first.why}"
        + (f"; this system is on {first.right}" if first.right else ""),
        severity=first.severity if first.is_default else Severity.WARNING,
        evidence=(Evidence(subject, f"{first.what} {first.value}", first.right or "a device that is there"),),
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
    safety = min((p.safety for p in places), key=[Safety.REVIEW, Safety.SAFE].index)
    right = next(iter(editable.values())).right
    return Repair(f"write {right} instead of {first.value} in {first.path}", safety, (change,))
