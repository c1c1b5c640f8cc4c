"""The mount point, and lines among each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.formats.fstab import Entry
from guestrepair.formats.splice import Splice
from guestrepair.model import Effect, Evidence, Finding, GuestPath, MakeDirectory, Repair, Safety, Severity
from guestrepair.system.guest_system import System
from guestrepair.system.mounts import Mounts, types
from guestrepair.system.mounts.facts import is_below, paths_above
from guestrepair.system.mounts.meaning import Judged, State

TARGET_MISSING = Rule(
    name="fstab/target-missing",
    summary="the mount point is not there, or is no directory",
    severities=(Severity.WARNING, Severity.ERROR),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="The directory of a required line does not exist, or something else has its name.",
    why="systemd makes a missing directory, where the filesystem above it can be written to; other inits "
    "fail, and a file in its place stops the mount everywhere.",
    repair="The directory is made. What stands in its place is for a person to judge.",
    example="/srv/data is in fstab, and was removed while it was not mounted.",
    sources=("systemd.mount(5), DirectoryMode=",),
)

DUPLICATE_TARGET = Rule(
    name="fstab/duplicate-target",
    summary="two required lines have one mount point",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="Two lines that boot waits for name the same mount point.",
    why="systemd takes the first one and reports an error; mount -a stacks one over the other.",
    repair="A line that repeats the first (same device, type and options) is commented out; otherwise a "
    "person decides.",
    example="Two lines for /boot after a restored backup was appended.",
    sources=("systemd-fstab-generator(8)",),
)

ORDER = Rule(
    name="fstab/order",
    summary="a mount point comes before the one above it",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="/a/b stands before /a.",
    why="mount -a goes line by line: /a then hides /a/b. systemd orders mounts by itself.",
    repair="The lines concerned change places, parents first.",
    example="/var/log before /var",
    sources=("mount(8), -a", "systemd.mount(5), Automatic Dependencies"),
)

RESERVED_TARGET = Rule(
    name="fstab/reserved-target",
    summary="a block device is mounted over /proc, /sys, /dev or /run",
    severities=(Severity.WARNING, Severity.ERROR),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE,),
    what="A line mounts a device on a directory that the kernel and systemd fill.",
    why="It hides what the system needs to run. It is an error where boot waits for its device in vain.",
    repair="The line is commented out.",
    example="/dev/sdb1 /run ext4 defaults 0 0",
    sources=("file-hierarchy(7)", "systemd, src/shared/mount-setup.c"),
)

PASSNO = Rule(
    name="fstab/passno",
    summary="a pass number that does nothing, or a root that is not checked first",
    severities=(Severity.NOTE,),
    effect=Effect.HYGIENE,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The sixth field is above 0 for btrfs, xfs, swap, a network or bind mount, or is not 1 for an ext "
    "root.",
    why="fsck has nothing to do for the former; the root filesystem is to be checked before the others.",
    repair="0, or 1 for the root.",
    example="UUID=… /data xfs defaults 0 2",
    sources=("fstab(5), The sixth field", "fsck.xfs(8)", "fsck.btrfs(8)"),
)

NETDEV = Rule(
    name="fstab/netdev",
    summary="a network mount that nothing marks as one",
    severities=(Severity.WARNING,),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW),
    what="A filesystem that comes over the network lacks _netdev: its type is none that systemd knows for "
    "such, or it is on none of the disks and its options ask for the network's services.",
    why="It is mounted before the network is up, and fails.",
    repair="_netdev is added; for review, where only its options tell.",
    example="s3fs#bucket /mnt/s3 fuse.s3fs allow_other 0 0",
    sources=("systemd.mount(5), _netdev", "systemd, fstype_is_network()"),
)

_RESERVED = ("/proc", "/sys", "/dev")
_AT_BOOT = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/run", "/var/lock")  # noqa: S108 - of the guest


def check_targets(context: Context) -> Iterator[Finding]:
    """Everything about mount points, and the fields after the options."""
    system = context.system
    mounts = system.mounts
    entries = [(j, j.spec.entry) for j in mounts.judged if j.spec.entry is not None]
    reserved = set()
    for j, entry in entries:
        if is_reserved(j):
            reserved.add(entry.number)
            if not (j.source.impossible and j.spec.stops_boot):  # that is the worse of the two
                yield _reserved(context, j, entry)
            continue
        yield from _target_missing(system, entry)
        yield from _passno(mounts, j, entry)
        yield from _netdev(mounts, j, entry)
    alive = [(j, e) for j, e in entries if e.number not in reserved]
    yield from _duplicates(mounts, alive)
    yield from _order(mounts, [e for _, e in alive])


# --- one line ---------------------------------------------------------------------


def is_reserved(j: Judged) -> bool:
    """True for a line that mounts a device where the kernel and systemd have what is theirs."""
    entry = j.spec.entry
    if entry is None or j.state is State.NOT_A_DEVICE:
        return False
    if not (types.needs_device(entry.type) or j.source.impossible or j.meant is not None):
        return False
    inside = any(entry.target == r or is_below(entry.target, r) for r in _RESERVED) or entry.target == "/run"
    return inside and (entry.required or not entry.has("noauto"))


def _reserved(context: Context, j: Judged, entry: Entry) -> Finding:
    # systemd leaves a line for a filesystem of its own (/proc) alone, and does not wait for its device.
    in_vain = j.state is State.MISSING and j.spec.stops_boot and entry.target not in (*_RESERVED, "/run")
    certain = in_vain and context.options.all_disks_attached
    waits = ", and is on none of the disks" if in_vain else ""
    return RESERVED_TARGET.finding(
        edits.subject(entry),
        f"{edits.subject(entry)}: {entry.source} is to be mounted on {entry.target}, which belongs to the "
        f"kernel and systemd{waits}",
        severity=Severity.ERROR if certain else Severity.WARNING,
        evidence=(
            Evidence(edits.subject(entry), entry.target, "a mount point outside /proc, /sys, /dev and /run"),
        ),
        repair=edits.of_table(
            context.system.mounts, "comment the line out", Safety.SAFE, edits.comment_out(entry.line)
        ),
    )


def _target_missing(system: System, entry: Entry) -> Iterator[Finding]:
    target = entry.target
    if not target.startswith("/") or target == "/" or not entry.required or ".." in target.split("/"):
        return
    if any(target == a or is_below(target, a) for a in _AT_BOOT) or not system.mounts.covered(target):
        return
    if entry.has("x-mount.mkdir", "X-mount.mkdir"):
        return
    path = GuestPath(target)
    found = system.files.stat(path)
    if found is None and system.files.lstat(path) is None:
        yield _no_directory(system, entry, path)
    elif found is not None and not found.is_directory and not _is_file_bind(system, entry):
        yield TARGET_MISSING.finding(
            edits.subject(entry),
            f"{edits.subject(entry)}: the mount point {target} is there, but is no directory",
            severity=Severity.ERROR,
            evidence=(Evidence(target, "not a directory", "a directory"),),
            repair=edits.manual(f"see what {target} is, move it away, and make a directory"),
        )


def _no_directory(system: System, entry: Entry, path: GuestPath) -> Finding:
    read_only = _read_only_above(system.mounts, entry)
    by_systemd = system.systemd.installed and not read_only
    made = "; systemd makes it at boot" if by_systemd else ", and nothing makes it at boot"
    if read_only:
        made = f", and nothing can make it at boot: {read_only} is mounted read-only"
    return TARGET_MISSING.finding(
        edits.subject(entry),
        f"{edits.subject(entry)}: the mount point {path} is not there{made}",
        severity=Severity.WARNING if by_systemd else Severity.ERROR,
        evidence=(Evidence(str(path), "not there", "a directory"),),
        repair=Repair(f"make the directory {path}", Safety.SAFE, (MakeDirectory(path=path, mode=0o755),)),
    )


def _read_only_above(mounts: Mounts, entry: Entry) -> str:
    """The mount point that a directory would have to be made on, where that is read-only; else empty."""
    table = mounts.table
    for target in (*reversed(tuple(paths_above(entry.target))), "/"):
        above = table.for_target(target) if table is not None else ()
        if above:
            switches = [o for o in above[0].options if o in {"ro", "rw"}]
            is_image = above[0].type in {"squashfs", "erofs", "iso9660"}
            return target if is_image or switches[-1:] == ["ro"] else ""
    return ""


def _is_file_bind(system: System, entry: Entry) -> bool:
    return entry.has("bind", "rbind") and not system.files.is_directory(GuestPath(entry.source))


def _passno(mounts: Mounts, j: Judged, entry: Entry) -> Iterator[Finding]:
    token = entry.passno_token
    content = j.meant.content if j.meant is not None and j.meant.content else entry.type
    over_network = types.is_network(entry.type) and j.meant is None
    useless = content in types.NEVER_CHECKED or over_network or entry.has("bind", "rbind")
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
        repair = edits.of_table(mounts, f"make the pass number {right}", Safety.REVIEW, edit)
    why = "its check does nothing" if right == 0 else "the root filesystem is checked first, with 1"
    yield PASSNO.finding(
        edits.subject(entry),
        f"{edits.subject(entry)}: the pass number of {entry.target} is {entry.passno}; {why}",
        evidence=(Evidence(edits.subject(entry), str(entry.passno), str(right)),),
        repair=repair,
    )


def _netdev(mounts: Mounts, j: Judged, entry: Entry) -> Iterator[Finding]:
    what = _comes_over(j, entry)
    if not what or entry.has("_netdev", "_rnetdev", "noauto", "x-systemd.automount"):
        return
    known = types.base_type(entry.type) in types.NEEDS_NETDEV or what == "iSCSI"
    yield NETDEV.finding(
        edits.subject(entry),
        f"{edits.subject(entry)}: {entry.target} comes over the network ({what}), which nothing says: it is "
        "mounted before the network is up",
        evidence=(
            Evidence(edits.subject(entry), ",".join(entry.options) or "no options", "_netdev among them"),
        ),
        repair=edits.of_table(
            mounts,
            "add _netdev",
            Safety.SAFE if known else Safety.REVIEW,
            edits.add_options(entry, "_netdev"),
        ),
    )


def _comes_over(j: Judged, entry: Entry) -> str:
    """What shows that a filesystem comes over the network; empty where nothing does."""
    if types.base_type(entry.type) in types.NEEDS_NETDEV:
        return entry.type
    if "-iscsi-" in entry.source:
        return "iSCSI"
    asks = j.spec.asks_for_network and j.state is State.MISSING and j.proposal is None
    return "its options ask for it" if asks else ""


# --- lines among each other ----------------------------------------------------------


def _duplicates(mounts: Mounts, entries: Sequence[tuple[Judged, Entry]]) -> Iterator[Finding]:
    first: dict[str, tuple[Judged, Entry]] = {}
    for j, entry in entries:
        if not entry.target.startswith("/") or not entry.required:
            continue
        before = first.setdefault(entry.target, (j, entry))
        if before[1] is not entry and not _is_stacked(before[1], entry):
            yield _duplicate(mounts, before, (j, entry))


def _is_stacked(one: Entry, other: Entry) -> bool:
    """An overlay or a bind of a directory over itself is mounted on purpose."""
    return any(e.has("bind", "rbind", "remount") or e.type in {"overlay", "aufs"} for e in (one, other))


def _duplicate(mounts: Mounts, before: tuple[Judged, Entry], after: tuple[Judged, Entry]) -> Finding:
    one, other = before[1], after[1]
    return DUPLICATE_TARGET.finding(
        edits.subject(other),
        f"{edits.subject(other)}: {other.target} is mounted by line {one.number} already ({one.source}); "
        f"systemd takes the first line only, mount -a both",
        evidence=(
            Evidence(edits.subject(one), one.source, "the only line for this mount point"),
            Evidence(edits.subject(other), other.source, "no second line"),
        ),
        repair=_duplicate_repair(mounts, before, after),
    )


def _duplicate_repair(
    mounts: Mounts, before: tuple[Judged, Entry], after: tuple[Judged, Entry]
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
        return edits.of_table(mounts, "comment the copy out", Safety.SAFE, edits.comment_out(other.line))
    return edits.manual(f"decide which of lines {one.number} and {other.number} is right")


def _order(mounts: Mounts, entries: Sequence[Entry]) -> Iterator[Finding]:
    lines = [e for e in entries if e.target.startswith("/") and e.target != "/" and not e.has("noauto")]
    children, parents = _out_of_order(lines)
    if not children:
        return
    child = children[0]
    parent = next(p for p in parents if p.number > child.number and is_below(child.target, p.target))
    yield ORDER.finding(
        edits.subject(child),
        f"{edits.subject(child)}: {child.target} comes before line {parent.number}, which mounts "
        f"{parent.target} over it; systemd sorts that out, mount -a does not",
        evidence=(
            Evidence(edits.subject(child), child.target, f"after line {parent.number} ({parent.target})"),
        ),
        repair=_reordered(mounts, lines, {e.number for e in (*children, *parents)}),
        folded=tuple(edits.subject(c) for c in children[1:]),
    )


def _out_of_order(lines: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The lines that come before one whose mount point is above theirs, and those that come after."""
    last = {entry.target: place for place, entry in enumerate(lines)}
    children: list[Entry] = []
    first: dict[str, int] = {}
    for place, entry in enumerate(lines):
        later = [above for above in paths_above(entry.target) if last.get(above, -1) > place]
        if later:
            children.append(entry)
        for above in later:
            first.setdefault(above, place)
    parents = [e for place, e in enumerate(lines) if first.get(e.target, place) < place]
    return children, parents


def _reordered(mounts: Mounts, lines: Sequence[Entry], involved: set[int]) -> Repair:
    """Put the lines that are out of order into each other's places, parents first; all others stay."""
    places = [e for e in lines if e.number in involved]
    ordered = sorted(places, key=lambda e: (len(e.target.split("/")), e.number))
    changes = [
        Splice(place.line.offset, len(place.line.raw), entry.line.raw)
        for place, entry in zip(places, ordered, strict=True)
        if place.number != entry.number
    ]
    return edits.of_table(mounts, "put parents before children", Safety.SAFE, *changes)
