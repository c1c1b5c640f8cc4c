"""The first field: the source is missing, a kernel's name, ambiguous, or belongs elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks.device_name import DEVICE_NAME, device_name
from guestrepair.analyzers.fstab.checks.root import ROOT_MISMATCH
from guestrepair.analyzers.fstab.checks.target import is_reserved
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
)
from guestrepair.system.fact import Unreadable
from guestrepair.system.guest_system import System
from guestrepair.system.mounts import Mounts, types
from guestrepair.system.mounts.correction import replace_source, rewrite, source_text, standing
from guestrepair.system.mounts.evidence import Candidate, describe
from guestrepair.system.mounts.meaning import NEVER_OUT, Judged, State
from guestrepair.system.mounts.sources import SourceKind
from guestrepair.system.mounts.tags import mistaken_tag

SOURCE_NOT_FOUND = Rule(
    name="fstab/source-not-found",
    summary="boot waits for a device that is on none of the disks",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="A required line, or an enabled mount or swap unit, names a UUID, label or path that no given "
    "disk has, a name that only the machine gives (/dev/disk/by-id, by-path, the links of a cloud), or a "
    "text that no device can be called, such as findmnt's /dev/vda3[/dir].",
    why="systemd waits 90 seconds for the device, then stops in emergency mode; a wrong line for / leaves "
    "the root read-only. It is an error when the disks explain it, when no such device can be, for a unit "
    "that boot requires, or when --all-disks-attached is given; otherwise the device may be on a disk that "
    "was not given, and it is a warning.",
    repair="The source is rewritten where exactly one filesystem fits: the type agrees, no other line uses "
    "it, and there is positive evidence (a near miss of the UUID, the ext superblock's last mount, "
    "label, partition type, the boot loader, content, an older fstab, what the "
    "initramfs is built with). Else nofail and a short device "
    "timeout, where the system does not need the mount (a unit becomes one that boot only wants); a line "
    "with an impossible name is commented out. "
    "/ and /usr are only ever rewritten.",
    example="UUID=8f3b… for /boot/efi is on none of the disks; /dev/sda2 (vfat) holds EFI/ and fits.",
    sources=("systemd.mount(5), FSTAB", "fstab(5)", "ext4(5)", "Discoverable Partitions Specification"),
)

SOURCE_NOT_FOUND_OPTIONAL = Rule(
    name="fstab/source-not-found-optional",
    summary="a device that boot goes on without is not there",
    severities=(Severity.NOTE,),
    effect=Effect.HYGIENE,
    what="A line with nofail, noauto or x-systemd.automount, or one that waits for the network (_netdev), "
    "names a device that is on none of the given disks.",
    why="Boot goes on without it, as was asked for.",
    repair="None: nofail on a network volume would give it up where its server is only slow.",
    example="/dev/vdb /mnt auto defaults,nofail 0 2 on an image without its data disk.",
    sources=("systemd.mount(5), FSTAB",),
)

WRONG_TAG = Rule(
    name="fstab/wrong-tag",
    summary="the value belongs to another tag, or differs in case",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE,),
    what="UUID= holds a partition's UUID, or that of the LUKS container, physical volume or array around "
    "the filesystem; a tag is missing or not in capitals; upper and lower case of the value differ.",
    why="udev's links in /dev/disk/by-* are named exactly: FAT serial numbers in capitals, all other "
    "UUIDs in small letters. Any other spelling is never found.",
    repair="The right tag and spelling are written.",
    example="UUID=5f1d-c103 becomes UUID=5F1D-C103",
    sources=(
        "mount(8), Indicating the device and filesystem",
        "udev, 60-persistent-storage.rules",
        "systemd-fstab-generator(8)",
    ),
)

AMBIGUOUS_SOURCE = Rule(
    name="fstab/ambiguous-source",
    summary="several filesystems carry the UUID or label",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.MANUAL,),
    what="Two filesystems of the given disks have the identifier that a required line names, as after "
    "cloning a disk.",
    why="Which of them is mounted depends on which one udev sees last.",
    repair="By hand: detach the copy or give it another UUID.",
    example="A disk and its clone attached to one guest.",
    sources=("udev(7), SYMLINK and link_priority",),
)

WRONG_SOURCE = Rule(
    name="fstab/wrong-source",
    summary="a line names another mount point's filesystem",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE,),
    what="The source is on the disks, but it is the filesystem of another mount point: two lines were "
    "exchanged, or /home, /var, /boot or /usr holds something of another kind while its own "
    "filesystem is unused.",
    why="The mount succeeds or fails, and in both cases the system finds the wrong files there.",
    repair="The source is rewritten to the filesystem for which the evidence speaks.",
    example="The UUIDs of /home and /var were exchanged.",
    sources=("hier(7)", "ext4(5)"),
)

_BOOT_DOES_NOT_NEED = frozenset({"/boot", "/boot/efi", "/efi", "swap"})
DEVICE_TIMEOUT = "x-systemd.device-timeout=10s"


def check_sources(context: Context) -> Iterator[Finding | Inconclusive]:
    """Everything that is wrong with a source, one finding a line at most."""
    mounts = context.system.mounts
    others = standing(mounts.judged)
    for j in mounts.judged:
        if j.state is State.AMBIGUOUS:
            yield from _ambiguous(j)
        elif j.state is State.MISPLACED:
            yield _misplaced(mounts, j)
        elif j.state in {State.MISSING, State.CONTAINER}:
            yield from _missing(context, j, others)
        elif j.state is State.RESOLVED:
            yield from _resolved(mounts, j)


def _written(j: Judged, expected: str) -> Evidence:
    return Evidence(j.spec.place, j.spec.source, expected)


# --- it names something ---------------------------------------------------------


def _resolved(mounts: Mounts, j: Judged) -> Iterator[Finding]:
    mistaken = mistaken_tag(mounts, j)
    if mistaken is not None and j.spec.required:
        yield _wrong_tag(j, mistaken.text, mistaken.reason)
    elif j.source.kind is SourceKind.KERNEL and j.device is not None and not is_reserved(j):
        yield device_name(mounts, j, j.device)


def _ambiguous(j: Judged) -> Iterator[Finding]:
    if not j.spec.required:
        return
    names = ", ".join(d.name for d in j.source.matches)
    yield AMBIGUOUS_SOURCE.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} names several filesystems: {names}; which one "
        "is mounted is left to chance",
        evidence=tuple(Evidence(d.name, describe(d), "one device only") for d in j.source.matches),
        repair=edits.manual(
            "detach the copy, or give one of them a new UUID (tune2fs -U random, xfs_admin -U generate)"
        ),
    )


def _misplaced(mounts: Mounts, j: Judged) -> Finding:
    device, proposal = j.device, j.proposal
    assert device is not None  # noqa: S101 - true of every misplaced source
    assert proposal is not None  # noqa: S101
    edit = rewrite(mounts, j, proposal.device)
    text = source_text(mounts, j, proposal.device)
    is_root = j.spec.target == "/"
    rule = ROOT_MISMATCH if is_root else WRONG_SOURCE
    why = "the system itself lies on" if is_root else "the evidence is for"
    return rule.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is {describe(device)}, but {why} "
        f"{describe(proposal.device)}",
        severity=Severity.ERROR,
        evidence=(_written(j, text or proposal.device.name), *edits.clues(proposal)),
        repair=None if edit is None else edits.of_spec(j.spec, f"name {text}", Safety.SAFE, edit),
    )


# --- it names nothing -----------------------------------------------------------


def _missing(context: Context, j: Judged, others: Mapping[str, Judged]) -> Iterator[Finding | Inconclusive]:
    if not j.spec.required:
        if j.state is State.MISSING:
            yield optional(j, "boot does not wait for it")
        return
    mistaken = mistaken_tag(context.system.mounts, j)
    if mistaken is not None:
        yield _wrong_tag(j, mistaken.text, mistaken.reason)
    elif j.spec.is_remote or (j.spec.asks_for_network and j.proposal is None):
        yield optional(j, "it waits for the network, and boot goes on without it")
    elif is_reserved(j) and not j.source.impossible:
        return  # there nothing must be mounted, whatever its source is
    elif j.source.kind is not SourceKind.MAPPER or j.source.impossible or j.spec.target == "/":
        yield from _not_found(context, j, others.get(j.spec.target))


def optional(j: Judged, why: str) -> Finding:
    """The note on a source that is not there, and that boot goes on without."""
    return SOURCE_NOT_FOUND_OPTIONAL.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is on none of the disks given; {why}",
        evidence=(_written(j, "on one of the disks"),),
    )


def _wrong_tag(j: Judged, text: str, reason: str) -> Finding:
    edit = replace_source(j, text)
    return WRONG_TAG.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name}: {reason}; it must be {text}",
        evidence=(_written(j, text),),
        repair=None if edit is None else edits.of_spec(j.spec, f"write {text}", Safety.SAFE, edit),
    )


def _not_found(context: Context, j: Judged, other: Judged | None) -> Iterator[Finding | Inconclusive]:
    mounts = context.system.mounts
    if other is not None and j.spec.entry is not None and j.spec.target not in NEVER_OUT:
        yield _superseded(j, other)
    elif j.proposal is not None:
        yield _explained(mounts, j, j.proposal)
    elif j.rivals:
        yield _several(context, j)
    elif j.source.impossible:
        yield _impossible(context.system, j)
    elif mounts.locked and j.source.kind is not SourceKind.KERNEL:
        names = ", ".join(f"{d.name} ({d.content})" for d in mounts.locked)
        yield Inconclusive(
            "fstab", f"{j.spec.place}: {j.spec.source} may be in {names}, which could not be opened"
        )
    else:
        yield _absent(context, j)


def _superseded(j: Judged, other: Judged) -> Finding:
    assert j.spec.entry is not None  # noqa: S101 - the caller looked
    return SOURCE_NOT_FOUND.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is on none of the disks, and line "
        f"{other.spec.number} mounts {other.spec.source} there",
        evidence=(
            _written(j, "on one of the disks"),
            Evidence(other.spec.place, other.spec.source, "the one line"),
        ),
        repair=edits.of_spec(
            j.spec, "comment the line out", Safety.SAFE, edits.comment_out(j.spec.entry.line)
        ),
    )


def _explained(mounts: Mounts, j: Judged, proposal: Candidate) -> Finding:
    edit = rewrite(mounts, j, proposal.device)
    text = source_text(mounts, j, proposal.device)
    named = j.source.kind is SourceKind.KERNEL
    rule = DEVICE_NAME if named else SOURCE_NOT_FOUND
    return rule.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is on none of the disks; "
        f"{describe(proposal.device)} fits",
        severity=Severity.ERROR,
        evidence=(_written(j, text or proposal.device.name), *edits.clues(proposal)),
        repair=edits.manual(f"name {proposal.device.name}, which carries neither UUID nor label, by hand")
        if edit is None
        else edits.of_spec(j.spec, f"name {text}", Safety.SAFE, edit),
    )


def _several(context: Context, j: Judged) -> Finding:
    clues = [
        Evidence(f"candidate {c.device.name}: {clue.place}", clue.observed, clue.expected)
        for c in j.rivals
        for clue in c.weightiest_first
    ]
    names = " or ".join(describe(c.device) for c in j.rivals)
    known = j.spec.name in _BOOT_DOES_NOT_NEED
    return SOURCE_NOT_FOUND.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is on none of the disks; it may mean {names}",
        evidence=(_written(j, "on one of the disks"), *clues),
        repair=make_optional(context.system, j, Safety.SAFE if known else Safety.REVIEW),
    )


def _impossible(system: System, j: Judged) -> Finding:
    written = j.spec.source or "nothing"
    what = (
        f"a directory of {written.partition('[')[0]} as findmnt writes it, and " if j.source.directory else ""
    )
    return SOURCE_NOT_FOUND.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {written} for {j.spec.name} is {what}the name of no device that can be: boot waits "
        "for it in vain",
        severity=Severity.ERROR,
        evidence=(_written(j, "UUID=, LABEL= or a path below /dev that a device can have"),),
        repair=_impossible_repair(system, j),
    )


def _impossible_repair(system: System, j: Judged) -> Repair:
    """Out of use, where the system is itself without it; a subvolume that is shown so is meant."""
    if j.spec.entry is None or j.spec.target in edits.NEEDED:
        return edits.manual(f"write the right source for {j.spec.name} by hand: the system needs it")
    subvolume = j.source.directory.strip("/")
    having = [d for d in system.block.devices if subvolume and subvolume in d.subvolumes]
    if having and types.fits(j.spec.type, "btrfs"):
        return edits.manual(f"name UUID={having[0].uuid}, with the option subvol={subvolume}, by hand")
    names_something = j.source.kind is SourceKind.NONE and not j.source.directory  # if no device
    if names_something and not is_reserved(j):
        return make_optional(system, j, Safety.SAFE)
    return edits.of_spec(j.spec, "comment the line out", Safety.SAFE, edits.comment_out(j.spec.entry.line))


def _absent(context: Context, j: Judged) -> Finding:
    certain = context.options.all_disks_attached
    is_unit = j.spec.entry is None  # a unit has no nofail: boot stops without the disk, wherever that is
    where = "on none of the disks" if certain else "not on the disks given"
    hint = "" if certain else "; give the guest's other disks with --disk, or --all-disks-attached"
    if j.unused:
        hint += f"; used by no line: {' or '.join(describe(d) for d in j.unused)}"
    return SOURCE_NOT_FOUND.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is {where}{hint}",
        severity=Severity.ERROR if certain or j.spec.target == "/" or is_unit else Severity.WARNING,
        evidence=(
            _written(j, "on one of the disks"),
            *(
                Evidence(d.name, describe(d), f"evidence for {j.spec.name}, of which there is none")
                for d in j.unused
            ),
        ),
        repair=_absent_repair(context, j, certain=certain),
    )


def _absent_repair(context: Context, j: Judged, *, certain: bool) -> Repair:
    mounts = context.system.mounts
    # That nothing else is left is no proof; where every disk is here, boot must not wait for a guess.
    if len(j.unused) == 1 and not certain:
        edit = rewrite(mounts, j, j.unused[0])
        if edit is not None:
            text = source_text(mounts, j, j.unused[0])
            return edits.of_spec(
                j.spec, f"name {text}, the only one of its type left over", Safety.REVIEW, edit
            )
    return make_optional(context.system, j, Safety.SAFE if certain else Safety.REVIEW)


def make_optional(system: System, j: Judged, safety: Safety) -> Repair:
    """Let boot go on without it, except where the system is not itself without it."""
    if j.spec.entry is None and j.spec.target not in edits.NEEDED:
        return _wanted(system, j)
    if j.spec.target in edits.NEEDED or j.spec.entry is None:
        return edits.manual(f"write the right source for {j.spec.name} by hand: the system needs it")
    options = ["nofail"]
    if system.systemd.installed and j.spec.option("x-systemd.device-timeout") is None:
        options.append(DEVICE_TIMEOUT)
    edit = edits.add_options(j.spec.entry, *options)
    return edits.of_spec(j.spec, f"boot without it: add {','.join(options)}", safety, edit)


def _wanted(system: System, j: Judged) -> Repair:
    """Let boot want a unit, and not require it: the links that start it go to another directory."""
    units = (u for u in system.mounts.own_units if not isinstance(u, Unreadable))
    links = next((u.links for u in units if u.path == j.spec.file and u.plain), ())
    required = [(link, target) for link, target in links if link.parent.suffix == ".requires"]
    new = [(link.parent.with_suffix(".wants") / link.name, target) for link, target in required]
    taken = any(found for found in system.files.lstat_many([link for link, _ in new]).values())
    if not required or taken:
        return edits.manual(f"name the right device for {j.spec.name}, or let boot only want the unit")
    return Repair(
        f"boot without it: let {', '.join(link.parent.stem for link, _ in required)} only want the unit",
        Safety.REVIEW,
        (
            *(MakeLink(path=link, target=target) for link, target in new),
            *(RemoveFile(path=link, backup=False) for link, _ in required),
        ),
    )
