"""Sources that are files of the guest: bind mounts, images with a filesystem in them, swap files."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.formats.fstab import Entry
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Repair, Safety, Severity
from guestrepair.system.mounts import Mounts, types
from guestrepair.system.mounts.facts import is_below
from guestrepair.system.mounts.meaning import Judged, State
from guestrepair.system.mounts.sources import SourceKind
from guestrepair.system.mounts.spec import Spec

_BIND = "bind mount's source"
_DIRECTORY = "directory"
_AT_BOOT = ("/proc", "/sys", "/dev", "/run", "/tmp")  # noqa: S108 - of the guest

BIND_SOURCE = Rule(
    name="fstab/bind-source",
    summary="the source of a bind mount, image or swap file is not there, or a directory without bind",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="A required line names a directory or file of the guest that does not exist, or a directory without "
    "the option bind.",
    why="The mount, or the swap area, fails, and boot with it.",
    repair="nofail, where the system does not need the mount, or bind where that lacks; otherwise by hand.",
    example="/swapfile none swap sw 0 0 after the file was deleted.",
    sources=("mount(8), Bind mount operation; Loop-device support", "swapon(8)"),
)


def check_files(context: Context) -> Iterator[Finding]:
    """Required bind mounts, images and swap files whose source is not in the guest, or is a directory."""
    mounts, files = context.system.mounts, context.system.files
    for j in mounts.judged:
        entry = j.spec.entry
        if entry is None or not entry.required or j.state is not State.NOT_A_DEVICE:
            continue
        what, path = _file_source(j, entry), j.source.text
        if not what or ".." in path.split("/") or "\0" in path:
            continue
        if any(path == a or is_below(path, a) for a in _AT_BOOT) or not mounts.covered(path):
            continue
        found = files.stat(GuestPath(path))
        if found is None and what != _DIRECTORY:
            yield _no_file(mounts, j.spec, entry, what)
        elif found is not None and found.is_directory and what != _BIND and not entry.is_swap:
            yield _no_bind(mounts, j.spec, entry)


def _file_source(j: Judged, entry: Entry) -> str:
    """What a source that is a path must be; empty where it is none."""
    if j.source.kind is not SourceKind.FILE or entry.has("remount", "move"):
        return ""
    if entry.has("bind", "rbind"):
        return _BIND
    if entry.is_swap:
        return "swap file"
    if entry.type in {"none", "bind"}:
        return _DIRECTORY
    on_disk = any(name in types.ON_DISK for name in entry.type.split(","))
    return "image file" if on_disk or entry.has("loop") else ""


def _no_bind(mounts: Mounts, spec: Spec, entry: Entry) -> Finding:
    subject = edits.subject(entry)
    return BIND_SOURCE.finding(
        subject,
        f"{subject}: {entry.source} for {entry.target} is a directory, which the kernel mounts elsewhere "
        "only with the option bind",
        evidence=(Evidence(subject, ",".join(entry.options) or "no options", "bind among them"),),
        repair=edits.of_spec(spec, "add bind", Safety.REVIEW, edits.add_options(entry, "bind")),
    )


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
