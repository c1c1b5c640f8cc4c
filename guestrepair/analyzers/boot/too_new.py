"""Filesystems with features that the guest's own kernel, GRUB or e2fsck does not know.

They come from a newer system: an image builder's mkfs, a rescue system's. Only what boot reads is judged: the
root, /boot, and what fstab requires. Versions are those of packages; the tables are in ``features.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.features import (
    CAN_BE_TAKEN_OFF,
    Feature,
    unknown_to_checker,
    unknown_to_grub,
    unknown_to_kernel,
)
from guestrepair.analyzers.boot.kernels import release
from guestrepair.formats.superblock.features import Features
from guestrepair.guest.devices import BlockDevice, DeviceKind
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
from guestrepair.system.boot_loader import Kind
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.mounts.types import NEVER_CHECKED
from guestrepair.system.readers import Reader

TOO_NEW = Rule(
    name="boot/filesystem-too-new",
    summary="a filesystem has features that the guest's own programs do not know",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.MANUAL,),
    what="The superblock of the root, of /boot or of a filesystem that fstab requires has a feature that "
    "came after the guest's kernel, its GRUB (which reads /boot) or its e2fsck (where fstab has it checked): "
    "orphan_file and metadata_csum_seed of e2fsprogs 1.47, nrext64 of XFS, block-group-tree of btrfs. Or "
    "/boot is in a LUKS2 container whose keys GRUB cannot derive (argon2).",
    why="GRUB says 'unknown filesystem', the kernel refuses the mount, or e2fsck gives up and boot ends in "
    "emergency mode.",
    repair="By hand: the command of a newer system that takes the feature off is named; some cannot be.",
    example="mkfs.ext4 of e2fsprogs 1.47 made the root of a Debian 11.",
    sources=(
        "ext4(5), FILE SYSTEM FEATURES and KERNEL SUPPORT",
        "tune2fs(8), -O",
        "e2fsprogs, lib/ext2fs/ext2fs.h",
        "Linux fs/xfs/libxfs/xfs_format.h, fs/btrfs/fs.h",
        "GRUB grub-core/fs/ext2.c, xfs.c; grub-core/disk/luks2.c",
    ),
)
RULES = (TOO_NEW,)

_JUDGED = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs"})
_GRUB_KINDS = (Kind.GRUB, Kind.GRUB_STUB)
_ARGON2 = frozenset({"argon2i", "argon2id"})
_WITH_ARGON2 = (2, 14)


@dataclass(frozen=True, slots=True)
class _Stranger:
    """A program and what it does not know."""

    who: str
    then: str
    features: tuple[Feature, ...]
    severity: Severity = Severity.ERROR


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """One finding for each filesystem that boot reads and something does not understand."""
    system = context.system
    default = system.boot_loader.default
    entry = default.entry if default is not None else None
    kernel = release(system, entry) if entry is not None else ""
    for target, device in _read_at_boot(system).items():
        features = attempt(partial(system.filesystems.features, device), device.name)
        if isinstance(features, Unreadable):
            yield Inconclusive("boot", features.error.message)
        elif features is not None:
            strangers = list(_strangers(system, target, device, features, kernel))
            if strangers:
                yield _finding(target, device, strangers)
    yield from _container(system)


def _read_at_boot(system: System) -> dict[str, BlockDevice]:
    """What is mounted where boot needs it: /, /boot, and what fstab requires."""
    table = system.mounts.table
    wanted = {"/", "/boot", "/usr"}
    wanted |= {e.target for e in table.entries if e.required} if table is not None else set()
    found = {m.target: system.block.get(m.source) for m in system.mounted if m.target in wanted}
    return {t: d for t, d in sorted(found.items()) if d is not None and d.content in _JUDGED}


def _strangers(
    system: System, target: str, device: BlockDevice, features: Features, kernel: str
) -> Iterator[_Stranger]:
    content = device.content
    by_kernel = tuple(unknown_to_kernel(content, features, kernel))
    if by_kernel:
        yield _Stranger(f"the kernel {kernel}", "does not mount it, or not for writing", by_kernel)
    grub = system.readers.grub
    if grub is not None and target == _of_grub(system):
        is_debian = bool({system.os.distro, *system.os.id_like} & {"debian", "ubuntu"})
        by_grub = tuple(unknown_to_grub(content, features, grub, is_debian=is_debian))
        if by_grub:
            yield _Stranger(f"GRUB {grub.text}", "stops at 'unknown filesystem'", by_grub)
    checker = system.readers.checker
    if checker is not None:
        by_checker = tuple(unknown_to_checker(content, features, checker))
        severity = Severity.ERROR if _is_checked(system, target) else Severity.WARNING
        if by_checker:
            yield _Stranger(f"e2fsck {checker.text}", "refuses to check it", by_checker, severity)


def _of_grub(system: System) -> str:
    """The mount point that GRUB's folder and the kernels lie under; empty where GRUB is not the loader."""
    menu = next((m for m in system.boot_loader.of_kind(*_GRUB_KINDS) if m.kind is Kind.GRUB), None)
    if menu is None:
        return ""
    above = [m.target for m in system.mounted if GuestPath(m.target) in menu.path.parents]
    return max(above, key=len, default="")


def _is_checked(system: System, target: str) -> bool:
    table = system.mounts.table
    entries = table.for_target(target) if table is not None else ()
    return any((e.passno or 0) > 0 and e.type not in NEVER_CHECKED for e in entries)


def _finding(target: str, device: BlockDevice, strangers: list[_Stranger]) -> Finding:
    names = sorted({f.name for s in strangers for f in s.features})
    said = "; ".join(f"{s.who} {s.then} ({', '.join(f.name for f in s.features)})" for s in strangers)
    return TOO_NEW.finding(
        Subject.of_device(device.name),
        f"{device.content} on {device.name} ({target}) has features that this guest does not know: {said}",
        severity=min((s.severity for s in strangers), key=lambda each: each.rank),
        evidence=tuple(
            Evidence(device.name, ", ".join(f.name for f in s.features), f"what {s.who} knows")
            for s in strangers
        ),
        repair=Repair(_advice(device, names), Safety.MANUAL),
    )


def _advice(device: BlockDevice, names: list[str]) -> str:
    uuid = f"/dev/disk/by-uuid/{device.uuid}" if device.uuid else device.name
    stuck = [name for name in names if name not in CAN_BE_TAKEN_OFF]
    if device.content.startswith("ext") and not stuck:
        off = ",".join(f"^{name}" for name in names if name != "orphan_present")
        return f"in a newer rescue system, unmounted: e2fsck -f {uuid} && tune2fs -O {off} {uuid}"
    lost = ", ".join(stuck or names)
    return f"{lost} cannot be taken off: update the guest's programs, or copy the files to a new filesystem"


# --- LUKS2 ---------------------------------------------------------------------------------------


def _container(system: System) -> Iterator[Finding]:
    """A container under GRUB's folder whose keys only newer GRUBs can derive."""
    grub, target = system.readers.grub, _of_grub(system)
    source = next((m.source for m in system.mounted if m.target == target), "")
    device = system.block.get(source) if target else None
    if grub is None or device is None or not _knows_no_argon2(grub):
        return
    for container in _containers(system, device):
        kinds = system.filesystems.key_derivations(container)
        if kinds and kinds <= _ARGON2:
            yield TOO_NEW.finding(
                Subject.of_device(container.name),
                f"GRUB {grub.text} cannot open {container.name}, in which {target} lies: its keys come from "
                f"{', '.join(sorted(kinds))}",
                evidence=(Evidence(container.name, ", ".join(sorted(kinds)), "a key slot with pbkdf2"),),
                repair=Repair(
                    f"cryptsetup luksConvertKey --pbkdf pbkdf2 /dev/disk/by-uuid/{container.uuid}",
                    Safety.MANUAL,
                ),
            )


def _knows_no_argon2(grub: Reader) -> bool:
    return grub.version < _WITH_ARGON2


def _containers(system: System, device: BlockDevice) -> list[BlockDevice]:
    found: list[BlockDevice] = []
    waiting, seen = [device], set[str]()
    while waiting:
        current = waiting.pop()
        for parent in (
            d for n in current.parents if n not in seen and (d := system.block.get(n)) is not None
        ):
            seen.add(parent.name)
            waiting.append(parent)
            if parent.content == "crypto_LUKS" and current.kind is DeviceKind.CRYPT:
                found.append(parent)
    return found
