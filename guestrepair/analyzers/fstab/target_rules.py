"""Rules on the mount point and on lines among each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.fstab import declarations as rules
from guestrepair.analyzers.fstab import edits, types
from guestrepair.analyzers.fstab.facts import FSTAB, Facts, is_below, paths_above
from guestrepair.analyzers.fstab.judgement import Judged, State
from guestrepair.formats.fstab import Entry
from guestrepair.model import (
    Edit,
    Evidence,
    Finding,
    GuestPath,
    MakeDirectory,
    Repair,
    Safety,
    Severity,
)

_RESERVED = ("/proc", "/sys", "/dev")
_AT_BOOT = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/run", "/var/lock")  # noqa: S108 - of the guest


def check_targets(facts: Facts, judged: Sequence[Judged]) -> Iterator[Finding]:
    """Everything about mount points, and the fields after the options."""
    entries = [(j, j.spec.entry) for j in judged if j.spec.entry is not None]
    reserved = set()
    for j, entry in entries:
        found = _reserved(facts, j, entry)
        if found is not None:
            reserved.add(entry.number)
            yield found
            continue
        yield from _target_missing(facts, entry)
        yield from _passno(facts, j, entry)
        yield from _netdev(facts, entry)
    alive = [(j, e) for j, e in entries if e.number not in reserved]
    yield from _duplicates(facts, alive)
    yield from _order(facts, [e for _, e in alive])


def _repair(facts: Facts, summary: str, safety: Safety, *changes: Edit) -> Repair:
    return edits.repair(FSTAB, facts.data or b"", summary, safety, *changes)


def _subject(entry: Entry) -> str:
    return f"{FSTAB}:{entry.number}"


# --- one line ---------------------------------------------------------------------


def _reserved(facts: Facts, j: Judged, entry: Entry) -> Finding | None:
    target = entry.target
    inside = any(target == r or is_below(target, r) for r in _RESERVED) or target == "/run"
    if not inside or j.state is State.NOT_A_DEVICE or not types.needs_device(entry.type):
        return None
    if not entry.required and entry.has("noauto"):
        return None
    return Finding(
        rules.RESERVED_TARGET.name,
        Severity.WARNING,
        _subject(entry),
        f"{_subject(entry)}: {entry.source} is to be mounted on {target}, which belongs to the kernel "
        "and systemd",
        (Evidence(_subject(entry), target, "a mount point outside /proc, /sys, /dev and /run"),),
        _repair(facts, "comment the line out", Safety.SAFE, edits.comment_out(entry.line)),
    )


def _target_missing(facts: Facts, entry: Entry) -> Iterator[Finding]:
    target = entry.target
    if not target.startswith("/") or target == "/" or not entry.required or ".." in target.split("/"):
        return
    if any(target == a or is_below(target, a) for a in _AT_BOOT) or not facts.covered(target):
        return
    if entry.has("x-mount.mkdir", "X-mount.mkdir"):
        return
    path = GuestPath(target)
    found = facts.guest.stat(path)
    if found is None and facts.guest.lstat(path) is None:
        yield _no_directory(facts, entry, path)
    elif found is not None and not found.is_directory and not _is_file_bind(facts, entry):
        yield Finding(
            rules.TARGET_MISSING.name,
            Severity.ERROR,
            _subject(entry),
            f"{_subject(entry)}: the mount point {target} is there, but is no directory",
            (Evidence(target, "not a directory", "a directory"),),
            edits.manual(f"see what {target} is, move it away, and make a directory"),
        )


def _no_directory(facts: Facts, entry: Entry, path: GuestPath) -> Finding:
    by_systemd = facts.has_systemd
    made = "; systemd makes it at boot" if by_systemd else ", and nothing makes it at boot"
    return Finding(
        rules.TARGET_MISSING.name,
        Severity.WARNING if by_systemd else Severity.ERROR,
        _subject(entry),
        f"{_subject(entry)}: the mount point {path} is not there{made}",
        (Evidence(str(path), "not there", "a directory"),),
        Repair(f"make the directory {path}", Safety.SAFE, (MakeDirectory(path=path, mode=0o755),)),
    )


def _is_file_bind(facts: Facts, entry: Entry) -> bool:
    return entry.has("bind", "rbind") and not facts.guest.is_directory(GuestPath(entry.source))


def _passno(facts: Facts, j: Judged, entry: Entry) -> Iterator[Finding]:
    token = entry.passno_token
    content = j.meant.content if j.meant is not None and j.meant.content else entry.type
    useless = content in types.NEVER_CHECKED or types.is_network(entry.type) or entry.has("bind", "rbind")
    right = None
    if entry.passno > 0 and useless:
        right = 0
    elif entry.target == "/" and entry.passno != 1 and content in {"ext2", "ext3", "ext4"}:
        right = 1
    if right is None:
        return
    repair = None
    if token is not None:
        edit = edits.replace(token.offset, len(token.raw), str(right))
        repair = _repair(facts, f"make the pass number {right}", Safety.REVIEW, edit)
    why = "its check does nothing" if right == 0 else "the root filesystem is checked first, with 1"
    yield Finding(
        rules.PASSNO.name,
        Severity.NOTE,
        _subject(entry),
        f"{_subject(entry)}: the pass number of {entry.target} is {entry.passno}; {why}",
        (Evidence(_subject(entry), str(entry.passno), str(right)),),
        repair,
    )


def _netdev(facts: Facts, entry: Entry) -> Iterator[Finding]:
    name = types.base_type(entry.type)
    over_network = name in types.NEEDS_NETDEV or "-iscsi-" in entry.source
    if not over_network or entry.has("_netdev", "_rnetdev", "noauto", "x-systemd.automount"):
        return
    what = entry.type if name in types.NEEDS_NETDEV else "iSCSI"
    yield Finding(
        rules.NETDEV.name,
        Severity.WARNING,
        _subject(entry),
        f"{_subject(entry)}: {entry.target} comes over the network ({what}), which nothing says: it is "
        "mounted before the network is up",
        (Evidence(_subject(entry), ",".join(entry.options) or "no options", "_netdev among them"),),
        _repair(facts, "add _netdev", Safety.SAFE, edits.add_options(entry, "_netdev")),
    )


# --- lines among each other ----------------------------------------------------------


def _duplicates(facts: Facts, entries: Sequence[tuple[Judged, Entry]]) -> Iterator[Finding]:
    first: dict[str, tuple[Judged, Entry]] = {}
    for j, entry in entries:
        if not entry.target.startswith("/") or not entry.required:
            continue
        before = first.setdefault(entry.target, (j, entry))
        if before[1] is not entry and not _is_stacked(before[1], entry):
            yield _duplicate(facts, before, (j, entry))


def _is_stacked(one: Entry, other: Entry) -> bool:
    """An overlay or a bind of a directory over itself is mounted on purpose."""
    return any(e.has("bind", "rbind", "remount") or e.type in {"overlay", "aufs"} for e in (one, other))


def _duplicate(facts: Facts, before: tuple[Judged, Entry], after: tuple[Judged, Entry]) -> Finding:
    one, other = before[1], after[1]
    return Finding(
        rules.DUPLICATE_TARGET.name,
        Severity.ERROR,
        _subject(other),
        f"{_subject(other)}: {other.target} is mounted by line {one.number} already ({one.source}); systemd "
        f"takes the first line only, mount -a both",
        (
            Evidence(_subject(one), one.source, "the only line for this mount point"),
            Evidence(_subject(other), other.source, "no second line"),
        ),
        _duplicate_repair(facts, before, after),
    )


def _duplicate_repair(
    facts: Facts, before: tuple[Judged, Entry], after: tuple[Judged, Entry]
) -> Repair | None:
    (first, one), (second, other) = before, after
    missing = {State.MISSING, State.CONTAINER}
    if (first.state in missing) != (second.state in missing):
        return None  # the line whose source is not there has a finding of its own, with the repair
    same_device = one.source == other.source or (
        first.meant is not None and second.meant is not None and first.meant.name == second.meant.name
    )
    same_options = {*one.options, "defaults"} == {*other.options, "defaults"}
    if same_device and one.type == other.type and same_options:
        return _repair(facts, "comment the copy out", Safety.SAFE, edits.comment_out(other.line))
    return edits.manual(f"decide which of lines {one.number} and {other.number} is right")


def _order(facts: Facts, entries: Sequence[Entry]) -> Iterator[Finding]:
    mounts = [e for e in entries if e.target.startswith("/") and e.target != "/" and not e.has("noauto")]
    children, parents = _out_of_order(mounts)
    if not children:
        return
    child = children[0]
    parent = next(p for p in parents if p.number > child.number and is_below(child.target, p.target))
    yield Finding(
        rules.ORDER.name,
        Severity.WARNING,
        _subject(child),
        f"{_subject(child)}: {child.target} comes before line {parent.number}, which mounts "
        f"{parent.target} over it; systemd sorts that out, mount -a does not",
        (Evidence(_subject(child), child.target, f"after line {parent.number} ({parent.target})"),),
        _reordered(facts, mounts, {e.number for e in (*children, *parents)}),
        folded=tuple(f"{FSTAB}:{c.number}" for c in children[1:]),
    )


def _out_of_order(mounts: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The lines that come before one whose mount point is above theirs, and those that come after."""
    last = {entry.target: place for place, entry in enumerate(mounts)}
    children: list[Entry] = []
    first: dict[str, int] = {}
    for place, entry in enumerate(mounts):
        later = [above for above in paths_above(entry.target) if last.get(above, -1) > place]
        if later:
            children.append(entry)
        for above in later:
            first.setdefault(above, place)
    parents = [e for place, e in enumerate(mounts) if first.get(e.target, place) < place]
    return children, parents


def _reordered(facts: Facts, mounts: Sequence[Entry], involved: set[int]) -> Repair:
    """Put the lines that are out of order into each other's places, parents first; all others stay."""
    places = [e for e in mounts if e.number in involved]
    ordered = sorted(places, key=lambda e: (len(e.target.split("/")), e.number))
    changes = [
        Edit(offset=place.line.offset, length=len(place.line.raw), text=entry.line.raw)
        for place, entry in zip(places, ordered, strict=True)
        if place.number != entry.number
    ]
    return _repair(facts, "put parents before children", Safety.SAFE, *changes)
