"""The rule on what boot entries name: ``root=``, GRUB's searches, the container to unlock."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.boot.facts import Facts
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats import bootloader
from guestrepair.formats.bootloader import BootConfiguration
from guestrepair.guest.boot_files import grub_on_esp
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import Edit, EditFile, Evidence, Finding, GuestPath, Repair, Safety, Severity

ROOT_WRONG = Rule(
    name="boot/root-device-wrong",
    summary="a boot entry names a filesystem that is on none of the disks",
    severities=(Severity.ERROR, Severity.WARNING),
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
_KERNEL_CMDLINES = ("/etc/kernel/cmdline", "/usr/lib/kernel/cmdline")
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


def check(facts: Facts) -> Iterator[Finding]:
    """All findings on names that lead nowhere: one for each file and value."""
    grouped: dict[tuple[GuestPath, str], list[_Place]] = defaultdict(list)
    for place in (*_command_lines(facts), *_searches(facts), *_kernel_install(facts)):
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


def _is_known(facts: Facts, value: str) -> bool:
    """True unless the name certainly leads to none of the given disks."""
    tag, rest = _tagged(value)
    if not tag:
        return True  # names of devices depend on the machine
    matches = facts.guest.block.find(tag, rest)
    if not matches and tag in {"UUID", "PARTUUID"}:
        matches = facts.guest.block.find(tag, rest.lower()) or facts.guest.block.find(tag, rest.upper())
    if tag == "PARTUUID" and "/" in rest:
        return True  # PARTUUID=…/PARTNROFF=1
    return bool(matches)


def _device_at(facts: Facts, target: str) -> BlockDevice | None:
    source = next((m.source for m in facts.guest.mounts if m.target == target), "")
    return facts.guest.block.get(source)


def _right_root(facts: Facts, value: str) -> str:
    """What ``root=`` should say, in the manner of the wrong value."""
    device = _device_at(facts, "/")
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


def _command_lines(facts: Facts) -> Iterator[_Place]:
    for item in facts.entries:
        root = item.entry.root
        kernel = item.entry.kernel
        ours = item.is_default or (kernel is not None and facts.find(kernel, item.base) is not None)
        if not ours:
            continue  # an entry of another system, perhaps of one whose disk is not here
        if root is not None and root.value and not _is_known(facts, root.value):
            yield _Place(
                item.path,
                item.data,
                item.entry.line,
                "root=",
                root.value,
                _right_root(facts, root.value),
                root.value_offset,
                root.value_length,
                item.is_default,
            )
        for value in item.entry.cmdline.all("rd.luks.uuid"):
            match = _LUKS.match(value)
            if match and not _is_known(facts, f"UUID={match[1]}"):
                yield _Place(
                    item.path, item.data, item.entry.line, "rd.luks.uuid=", value, "", -1, 0, item.is_default
                )


def _kernel_install(facts: Facts) -> Iterator[_Place]:
    for name in _KERNEL_CMDLINES:
        path = GuestPath(name)
        try:
            data = facts.guest.read_if_there(path)
            line = bootloader.parse_cmdline_file(data) if data else None
        except (GuestReadError, FormatError) as error:
            facts.unread.append(error.message)
            continue
        root = line.last("root") if line is not None else None
        if data and root is not None and root.value and not _is_known(facts, root.value):
            right = _right_root(facts, root.value)
            number = data[: root.offset].count(b"\n") + 1
            yield _Place(
                path, data, number, "root=", root.value, right, root.value_offset, root.value_length, False
            )


# --- GRUB's searches -------------------------------------------------------------------


def _searches(facts: Facts) -> Iterator[_Place]:
    boot = _device_at(facts, "/boot") or _device_at(facts, "/")
    right = boot.uuid if boot is not None else ""
    for path, data, config in (*facts.configs, *_stubs(facts)):
        own = _own_searches(facts, config)
        for search in config.all_searches():
            value = search.value
            if search.by != "fs-uuid" or "$" in value.text or _is_known(facts, f"UUID={value.text}"):
                continue
            if own and value.text not in own:
                continue
            yield _Place(
                path,
                data,
                search.line,
                "search --fs-uuid",
                value.text,
                right,
                value.offset,
                value.length,
                True,
            )


def _own_searches(facts: Facts, config: BootConfiguration) -> set[str]:
    """The values searched for by entries whose kernel is in this guest, and outside of entries."""
    values = {s.value.text for s in config.searches}
    for entry in config.entries:
        if entry.kernel is not None and facts.find(entry.kernel, "") is not None:
            values |= {s.value.text for s in entry.searches}
    return values


def _stubs(facts: Facts) -> Iterator[tuple[GuestPath, bytes, BootConfiguration]]:
    """The grub.cfg files on the EFI system partition, which look for the real one."""
    for path in grub_on_esp(facts.guest):
        try:
            data = facts.guest.read_if_there(path)
            if data:
                yield path, data, bootloader.parse_grub_cfg(data)
        except (GuestReadError, FormatError) as error:
            facts.unread.append(error.message)


# --- findings ---------------------------------------------------------------------------


def _finding(places: list[_Place]) -> Finding:
    first = next((p for p in places if p.is_default), places[0])
    subject = f"{first.path}:{first.line}"
    others = sorted({p.line for p in places} - {first.line})
    return Finding(
        rule=ROOT_WRONG.name,
        severity=Severity.ERROR if first.is_default else Severity.WARNING,
        subject=subject,
        message=f"{subject}: {first.what} names {first.value}, which is on none of the disks"
        + (f"; this system is on {first.right}" if first.right else ""),
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
