"""Sources that are files of the guest: bind mounts, images with a filesystem in them, swap files."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.formats.fstab import Entry
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Repair, Safety, Severity
from guestrepair.system.mounts import Mounts
from guestrepair.system.mounts.facts import is_below
from guestrepair.system.mounts.meaning import State
from guestrepair.system.mounts.spec import Spec

_IN_IMAGES = frozenset({"iso9660", "squashfs", "ext4", "ext3", "ext2", "xfs", "udf", "erofs"})
_AT_BOOT = ("/proc", "/sys", "/dev", "/run", "/tmp")  # noqa: S108 - of the guest

BIND_SOURCE = Rule(
    name="fstab/bind-source",
    summary="the source of a bind mount, an image or a swap file is not there",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="A required line names a directory or file of the guest that does not exist.",
    why="The mount, or the swap area, fails, and boot with it.",
    repair="nofail, where the system does not need the mount; otherwise by hand.",
    example="/swapfile none swap sw 0 0 after the file was deleted.",
    sources=("mount(8), Bind mount operation; Loop-device support", "swapon(8)"),
)


def check_files(context: Context) -> Iterator[Finding]:
    """Required bind mounts, images and swap files whose source is not in the guest."""
    mounts, files = context.system.mounts, context.system.files
    for j in mounts.judged:
        entry = j.spec.entry
        if entry is None or not entry.required or j.state is not State.NOT_A_DEVICE:
            continue
        what = _file_source(entry)
        source = entry.source
        if not what or ".." in source.split("/") or "\0" in source:
            continue
        if any(source == a or is_below(source, a) for a in _AT_BOOT) or not mounts.covered(source):
            continue
        if files.stat(GuestPath(source)) is None:
            yield _no_file(mounts, j.spec, entry, what)


def _file_source(entry: Entry) -> str:
    source = entry.source
    if not source.startswith("/") or source.startswith("/dev/"):
        return ""
    if entry.has("bind", "rbind"):
        return "bind mount's source"
    if entry.is_swap:
        return "swap file"
    return "image file" if entry.has("loop") or entry.type in _IN_IMAGES else ""


def _no_file(mounts: Mounts, spec: Spec, entry: Entry, what: str) -> Finding:
    subject = edits.subject(entry)
    name = "swap" if entry.is_swap else entry.target
    return BIND_SOURCE.finding(
        subject,
        f"{subject}: the {what} {entry.source} for {name} is not there",
        evidence=(Evidence(entry.source, "not there", f"the {what}"),),
        repair=_optional(mounts, spec, entry),
    )


def _optional(mounts: Mounts, spec: Spec, entry: Entry) -> Repair:
    if spec.is_remote or entry.target in edits.NEEDED:
        return edits.manual(f"bring {entry.source} back, or name the right source for {entry.target}")
    edit = edits.add_options(entry, "nofail")
    return edits.of_table(mounts, "boot without it: add nofail", Safety.SAFE, edit)
