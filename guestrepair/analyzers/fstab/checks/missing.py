"""There is no table, or nothing in it."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks.rootless import mounter_of_all
from guestrepair.formats.fstab import Fstab, escape
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.mounts import Mounts
from guestrepair.system.mounts.evidence import DECISIVE, weigh
from guestrepair.system.mounts.facts import FSTAB
from guestrepair.system.mounts.meaning import State, judge
from guestrepair.system.mounts.normalize import root_line
from guestrepair.system.mounts.sources import Source, SourceKind, stable_tag
from guestrepair.system.mounts.spec import Spec, from_entry

MISSING = Rule(
    name="fstab/missing",
    summary="there is no /etc/fstab",
    severities=(Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/etc/fstab is not there, is a directory, or holds nothing but NUL bytes, as after a write that was "
    "cut off.",
    why="systemd mounts nothing and says nothing: the root filesystem stays read-only, /boot, /home and "
    "swap are absent. Where the root filesystem is mounted for writing without a table (rw on the kernel's "
    "command line, a discoverable partition, a kernel given from outside), it is a note.",
    repair="A backup beside it (/etc/fstab.*, /etc/fstab-) whose sources are all on the disks is copied; "
    "without one the table is written again from the filesystems of which evidence says where they "
    "belong.",
    example="/etc/fstab was moved away by a failed configuration run; /etc/fstab.orig is still there.",
    sources=("systemd-fstab-generator(8)", "systemd-remount-fs.service(8)"),
)

_USUAL = ("/boot/efi", "/efi", "/boot", "/usr", "/home", "/var", "none")

# --- missing ----------------------------------------------------------------------


def check_missing(context: Context) -> Iterator[Finding]:
    """No table at all, or one that holds nothing but NUL bytes (a write that was cut off)."""
    mounts = context.system.mounts
    subject, data = Subject.of_path(FSTAB), mounts.data
    if mounts.is_a_directory:
        yield _directory()
        return
    if data is not None and (not data or data.strip(b"\0")):
        return
    what = "holds nothing but NUL bytes" if data is not None else "is not there"
    mounter = mounter_of_all(context.system)
    if mounter is not None:
        message = f"{FSTAB} {what}; the root filesystem needs none: {mounter.value}"
        yield MISSING.finding(
            subject, message, severity=Severity.NOTE, evidence=(Evidence(str(FSTAB), what),)
        )
        return
    yield MISSING.finding(
        subject,
        f"{FSTAB} {what}: nothing is mounted but the root filesystem, and that may stay read-only",
        evidence=(Evidence(str(FSTAB), what, "a table of filesystems"),),
        repair=_missing_repair(mounts, data),
    )


def _directory() -> Finding:
    return MISSING.finding(
        Subject.of_path(FSTAB),
        f"{FSTAB} is a directory: no table can be read, and nothing is mounted but the root filesystem",
        evidence=(Evidence(str(FSTAB), "a directory", "a table of filesystems"),),
        repair=edits.manual("look what is in the directory, move it away, and scan again"),
    )


def _missing_repair(mounts: Mounts, data: bytes | None) -> Repair:
    for path, table in mounts.backups:
        if _is_sound(mounts, table):
            change = WriteFile(path=FSTAB, before=data, after=bytes(table), backup=data is not None)
            return Repair(f"copy {path}, whose sources are all on the disks", Safety.REVIEW, (change,))
    lines = generated(mounts)
    if lines is None:
        return edits.manual("write the table by hand: no root filesystem is known")
    change = WriteFile(path=FSTAB, before=data, after=b"".join(lines), backup=data is not None)
    return Repair("write it again from the filesystems on the disks", Safety.REVIEW, (change,))


def _is_sound(mounts: Mounts, table: Fstab) -> bool:
    if table.malformed or not table.for_target("/"):
        return False
    judged = judge(mounts, [from_entry(FSTAB, bytes(table), e) for e in table.entries])
    bad = {State.AMBIGUOUS, State.CONTAINER, State.MISPLACED, State.MISSING}
    return not any(j.state in bad and j.spec.required for j in judged)


def generated(mounts: Mounts) -> list[bytes] | None:
    """Lines for the root and for every filesystem of which evidence says where it belongs."""
    root = mounts.root
    line = None if root is None else root_line(mounts, root)
    if root is None or line is None:
        return None
    lines = [("/", line + b"\n")]
    used = {root.name}
    for target in _USUAL:
        device = _belongs(mounts, target, used)
        if device is not None:
            used.add(device.name)
            lines.append((target, _line(mounts, target, device)))
    return [text for _, text in sorted(lines, key=lambda pair: (pair[0] == "none", pair[0]))]


def _belongs(mounts: Mounts, target: str, used: set[str]) -> BlockDevice | None:
    swap = target == "none"
    if not swap and not mounts.is_directory(GuestPath(target)):
        return None
    spec = Spec(FSTAB, b"", 0, "", target, "swap" if swap else "auto", (), True, 0, 0)
    fitting = []
    for device in mounts.block.devices:
        usable = device.content == "swap" if swap else device.is_filesystem and device.content != "swap"
        if not usable or device.name in used or stable_tag(mounts.block, device) is None:
            continue
        found = weigh(mounts, spec, Source("", SourceKind.NONE), device)
        if found.weight >= DECISIVE:
            fitting.append(found)
    fitting.sort(key=lambda c: -c.weight)
    if len(fitting) > 1 and fitting[0].weight == fitting[1].weight:
        return None
    return fitting[0].device if fitting else None


def _line(mounts: Mounts, target: str, device: BlockDevice) -> bytes:
    tag, value = stable_tag(mounts.block, device) or ("UUID", device.uuid)
    options = {"swap": "sw", "vfat": "umask=0077"}.get(device.content, "defaults")
    passno = 2 if device.content.startswith("ext") else 0
    text = f"{tag}={escape(value)} {target} {device.content} {options} 0 {passno}\n"
    return text.encode("utf-8", "surrogateescape")
