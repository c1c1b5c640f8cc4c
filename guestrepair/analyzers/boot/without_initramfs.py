"""Entries that name no initramfs, while the kernel finds its root only with one.

A kernel by itself knows ``PARTUUID=``, ``PARTLABEL=``, a device's name and its number, and reaches that
only with drivers that are built in. So an entry without an initramfs is as it should be where both hold
(Gentoo, small virtual machines, some cloud images), and what is not known counts as built in.

Sources: Linux block/early-lookup.c (``early_lookup_bdev``), Documentation/admin-guide/initrd.rst; depmod(8),
modules.builtin; GRUB manual, ``initrd``; the Boot Loader Specification, ``initrd``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.kernels import initramfs_repair, is_linux, kernel_problem, release
from guestrepair.model import (
    Change,
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
from guestrepair.system.boot_loader import Entry, Kind
from guestrepair.system.drivers import KernelModules
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System

WITHOUT_INITRAMFS = Rule(
    name="boot/entry-without-initramfs",
    summary="a boot entry names no initramfs, and its kernel needs one",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="The entry has no initrd, and its root= is a filesystem's UUID or label, a logical volume or opened "
    "container, which a kernel cannot find by itself; or the driver of the root filesystem, or of every "
    "common disk controller, is a module of that kernel. Drivers that are built in, and kernels with an "
    "initramfs linked in, are healthy.",
    why="The kernel panics: 'Unable to mount root fs on unknown-block(0,0)'.",
    repair="Name the image again where it is in /boot and whole; else have the guest build it, and name it.",
    example="update-grub ran while /boot was full and no initramfs could be made.",
    sources=(
        "Linux block/early-lookup.c",
        "Linux Documentation/admin-guide/kernel-parameters.txt, root=",
        "GRUB manual, initrd",
    ),
)
RULES = (WITHOUT_INITRAMFS,)

_BY_TAG = re.compile(r"(UUID|LABEL)=|/dev/disk/")
_ON_TOP = re.compile(r"/dev/mapper/|/dev/md|zfs[:=]|ZFS=|/dev/(?!disk/|block/|cciss/|ida/|rd/)[^/]+/[^/]+\Z")
_CONTROLLERS = frozenset(
    {
        "virtio_blk", "virtio_scsi", "nvme", "ahci", "ata_piix", "xen_blkfront", "hv_storvsc", "vmw_pvscsi",
        "mptspi", "mptsas", "mmc_block", "megaraid_sas", "sata_sil", "sata_nv", "usb_storage", "uas",
        "ufshcd_core",
    }
)  # fmt: skip
_COMMANDS = {"linux": "initrd", "linux16": "initrd16", "linuxefi": "initrdefi", "kernel": "initrd"}
_IMAGES = ("initrd.img-{}", "initramfs-{}.img", "initramfs-{}", "initrd-{}", "initrd-{}.img")


def check(context: Context) -> Iterator[Finding]:
    """One finding for every entry of this guest that lacks one."""
    system = context.system
    loader = system.boot_loader
    found = [(entry, why) for entry in loader.entries if (why := needs_initramfs(system, entry))]
    found.sort(key=lambda item: not loader.is_default(item[0]))
    if found and (loader.is_default(found[0][0]) or not found[0][0].is_rescue):
        yield _finding(system, [entry for entry, _ in found], found[0][1])


def needs_initramfs(system: System, entry: Entry) -> str:
    """Why an entry that names no initramfs cannot start without one; empty when it can, or may."""
    if entry.entry.initrds or entry.entry.cmdline.has("initrd"):
        return ""
    if entry.entry.cmdline.has("rdinit") or kernel_problem(system, entry) or not is_linux(system, entry):
        return ""
    version = release(system, entry)
    if system.built_in.has_initramfs(version):
        return ""
    root = entry.entry.root
    value = (system.boot_loader.filled(root.value) if root is not None and root.value else "") or ""
    if _BY_TAG.match(value) or _ON_TOP.match(value):
        return f"a kernel cannot find root={value} by itself"
    return _module(system, version) if value else ""


def _module(system: System, version: str) -> str:
    """The driver without which the kernel does not reach its root, where it is certainly a module."""
    drivers = _drivers(system, version)
    device = system.mounts.root
    if drivers is None:
        return ""
    content = device.content if device is not None else ""
    if content and content in drivers.loadable and content not in drivers.builtin:
        return f"{content}, the driver of the root filesystem, is a module of {version}"
    if not _CONTROLLERS & drivers.builtin and _CONTROLLERS & drivers.loadable:
        return f"the drivers of disk controllers are modules of {version}"
    return ""


def _drivers(system: System, version: str) -> KernelModules | None:
    found = attempt(lambda: system.drivers.of(version))
    return None if isinstance(found, Unreadable) else found


# --- the finding -------------------------------------------------------------------------------


def _finding(system: System, entries: Sequence[Entry], why: str) -> Finding:
    first = entries[0]
    by_default = system.boot_loader.is_default(first)
    kernel = first.entry.kernel.text if first.entry.kernel is not None else "a kernel"
    subject = Subject.of_line(first.path, first.entry.line)
    return WITHOUT_INITRAMFS.finding(
        subject,
        f"{subject}: the {'default' if by_default else 'boot'} entry '{first.entry.title}' starts {kernel} "
        f"without an initramfs, and {why}",
        severity=Severity.ERROR if by_default else Severity.WARNING,
        evidence=(Evidence(first.place, "no initrd", "an initramfs of that kernel"),),
        repair=_repair(system, entries),
        folded=tuple(entry.place for entry in entries[1:]),
    )


def _repair(system: System, entries: Sequence[Entry]) -> Repair:
    """The images that are there are named; those that are not are built first."""
    edits: dict[GuestPath, list[Edit]] = {}
    builds: dict[GuestPath, Repair] = {}
    for entry in entries:
        image, is_there = _image(system, entry)
        edit = _line(entry, image.name) if image is not None else None
        if image is None or edit is None:
            advice = "rebuild the initramfs in a rescue system, and have the boot loader's menu written again"
            return Repair(advice, Safety.MANUAL)
        edits.setdefault(entry.path, []).append(edit)
        if not is_there:
            builds.setdefault(image, initramfs_repair(system, entry, image))
    if any(build.safety is Safety.MANUAL for build in builds.values()):
        return next(build for build in builds.values() if build.safety is Safety.MANUAL)
    changes: list[Change] = [
        EditFile(path=path, before=_data(entries, path), edits=tuple(sorted(found, key=lambda e: e.offset)))
        for path, found in edits.items()
    ]
    for build in builds.values():
        changes += [change for change in build.changes if change not in changes]
    files = ", ".join(map(str, edits))
    if not builds:
        return Repair(f"name the initramfs that is in /boot in {files}", Safety.SAFE, tuple(changes))
    summaries = "; ".join(build.summary for build in builds.values())
    return Repair(f"name the initramfs in {files}, and {summaries}", Safety.REVIEW, tuple(changes))


def _data(entries: Sequence[Entry], path: GuestPath) -> bytes:
    return next(entry.data for entry in entries if entry.path == path)


def _image(system: System, entry: Entry) -> tuple[GuestPath | None, bool]:
    """Where the entry's initramfs is, or will be, beside its kernel; and whether a whole one is there."""
    word, version = entry.entry.kernel, release(system, entry)
    kernel = system.boot_loader.find(word, entry) if word is not None else None
    if kernel is None or not version:
        return None, False
    for name in _IMAGES:
        path = kernel.parent / name.format(version)
        image = system.kernels.initramfs(path)
        if image is not None and not image.problem:
            return path, True
    tools = system.files.is_file(GuestPath("/usr/sbin/update-initramfs"))
    return kernel.parent / (_IMAGES[0] if tools else _IMAGES[1]).format(version), False


def _line(entry: Entry, name: str) -> Edit | None:
    """The line that names an image of that name beside the kernel; None where it cannot be put in plainly."""
    word, data = entry.entry.kernel, entry.data
    if word is None or data[word.offset : word.offset + word.length] != word.text.encode("utf-8", "replace"):
        return None
    start = data.rfind(b"\n", 0, word.offset) + 1
    before = data[start : word.offset]
    command = before.decode("utf-8", "replace").split()
    end = max(word.offset + word.length, entry.entry.cmdline_offset + entry.entry.cmdline_length)
    stop = data.find(b"\n", end)
    stop = len(data) if stop < 0 else stop
    image = word.text.rpartition("/")[0] + "/" + name if "/" in word.text else name
    key = _COMMANDS.get(command[0].lower()) if len(command) == 1 else None
    if entry.kind in {Kind.BLS, Kind.EXTLINUX}:
        key, stop = "initrd", _end_of_line(data, word.offset)
    elif data[end:stop].strip() or (data[:stop].endswith(b"\\")):
        return None
    if key is None or not image.isascii() or re.search(r"[^A-Za-z0-9@%+,./_~()$-]", image):
        return None
    indent = before[: len(before) - len(before.lstrip())].decode("ascii", "replace")
    return Edit(offset=stop, length=0, text=f"\n{indent}{key} {image}".encode())


def _end_of_line(data: bytes, offset: int) -> int:
    found = data.find(b"\n", offset)
    return len(data) if found < 0 else found
