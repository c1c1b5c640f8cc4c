"""Rules on sources that are files of the guest, and on encrypted devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.fstab import declarations as rules
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.evidence import describe, device_names
from guestrepair.analyzers.fstab.facts import CRYPTTAB, FSTAB, Facts, is_below
from guestrepair.analyzers.fstab.judgement import Judged, State
from guestrepair.analyzers.fstab.names import rewrite, source_text
from guestrepair.analyzers.fstab.nearness import near_miss
from guestrepair.analyzers.fstab.source_rules import DEVICE_TIMEOUT
from guestrepair.analyzers.fstab.sources import SourceKind, classify, find
from guestrepair.formats.crypttab import CryptEntry
from guestrepair.formats.fstab import Entry
from guestrepair.guest.device_names import split_mapper
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import Evidence, Finding, GuestPath, Inconclusive, Repair, Safety, Severity

_MAX_NAMES = 100
_AT_BOOT = ("/proc", "/sys", "/dev", "/run", "/tmp")  # noqa: S108 - of the guest


# --- bind mounts, loop devices, swap files -------------------------------------------


def check_files(facts: Facts, judged: Sequence[Judged]) -> Iterator[Finding]:
    """Required bind mounts, images and swap files whose source is not in the guest."""
    for j in judged:
        entry = j.spec.entry
        if entry is None or not entry.required or j.state is not State.NOT_A_DEVICE:
            continue
        what = _file_source(entry)
        source = entry.source
        if not what or ".." in source.split("/") or "\0" in source:
            continue
        if any(source == a or is_below(source, a) for a in _AT_BOOT) or not facts.covered(source):
            continue
        if facts.guest.stat(GuestPath(source)) is None:
            yield _no_file(facts, entry, what)


def _file_source(entry: Entry) -> str:
    source = entry.source
    if not source.startswith("/") or source.startswith("/dev/"):
        return ""
    if entry.has("bind", "rbind"):
        return "bind mount's source"
    if entry.is_swap:
        return "swap file"
    if entry.has("loop") or entry.type in {
        "iso9660",
        "squashfs",
        "ext4",
        "ext3",
        "ext2",
        "xfs",
        "udf",
        "erofs",
    }:
        return "image file"
    return ""


def _no_file(facts: Facts, entry: Entry, what: str) -> Finding:
    subject = f"{FSTAB}:{entry.number}"
    name = "swap" if entry.is_swap else entry.target
    return Finding(
        rules.BIND_SOURCE.name,
        Severity.ERROR,
        subject,
        f"{subject}: the {what} {entry.source} for {name} is not there",
        (Evidence(entry.source, "not there", f"the {what}"),),
        _optional(facts, entry),
    )


def _optional(facts: Facts, entry: Entry) -> Repair:
    if entry.target in edits.NEEDED:
        return edits.manual(f"bring {entry.source} back, or name the right source for {entry.target}")
    edit = edits.add_options(entry, "nofail")
    return edits.repair(FSTAB, facts.data or b"", "boot without it: add nofail", Safety.SAFE, edit)


# --- device-mapper names ----------------------------------------------------------------


def check_mapper(facts: Facts, judged: Sequence[Judged]) -> Iterator[Finding | Inconclusive]:
    """``/dev/mapper/X`` that is neither a logical volume nor opened by crypttab."""
    opened = {e.name for e in facts.crypt}
    for j in judged:
        missing = j.state is State.MISSING and j.source.kind is SourceKind.MAPPER
        if not missing or not j.spec.required or j.spec.target == "/":
            continue
        if j.source.value in opened:
            continue  # crypttab makes it; whether it can is judged there
        if j.proposal is None and _may_be_elsewhere(facts, j):
            yield from _elsewhere(facts, j)
        else:
            yield _no_mapping(facts, j)


def _may_be_elsewhere(facts: Facts, j: Judged) -> bool:
    """True when the name may be a logical volume of a group that is on no disk here."""
    split = split_mapper(j.source.value)
    if facts.all_disks_attached or split is None:
        return False
    return not any(d.name.startswith(f"/dev/{split[0]}/") for d in facts.block.devices)


def _elsewhere(facts: Facts, j: Judged) -> Iterator[Finding | Inconclusive]:
    if facts.locked:
        names = ", ".join(d.name for d in facts.locked)
        yield Inconclusive("fstab", f"{j.spec.subject}: {j.spec.source} may be in {names}, which is not open")
        return
    yield Finding(
        rules.SOURCE_NOT_FOUND.name,
        Severity.WARNING,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is not on the disks given; give the "
        "guest's other disks with --disk, or --all-disks-attached",
        (Evidence(j.spec.subject, j.spec.source, "a logical volume on the disks"),),
        _mapper_optional(facts, j, Safety.REVIEW),
    )


def _no_mapping(facts: Facts, j: Judged) -> Finding:
    device = j.proposal.device if j.proposal is not None else _near_volume(facts, j)
    name = _crypt_name(facts, j)
    edit = text = None
    if device is not None:
        edit, text = rewrite(facts, j, device), source_text(facts, j, device)
    elif name:
        text = f"/dev/mapper/{name}"
        edit = edits.replace(j.spec.offset, j.spec.length, text)
    fits = f"; {describe(device)} fits" if device is not None else f"; crypttab has {name}" if name else ""
    clues = j.proposal.evidence if j.proposal is not None else ()
    return Finding(
        rules.CRYPTTAB.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.source} for {j.spec.name} is neither a logical volume nor in "
        f"{CRYPTTAB}{fits}",
        (Evidence(j.spec.subject, j.spec.source, text or "a name that LVM or crypttab makes"), *clues),
        _mapper_optional(facts, j, Safety.SAFE if facts.all_disks_attached else Safety.REVIEW)
        if edit is None
        else edits.repair(j.spec.file, j.spec.before, f"name {text}", Safety.SAFE, edit),
    )


def _near_volume(facts: Facts, j: Judged) -> BlockDevice | None:
    near = [
        d
        for d in facts.block.devices
        if d.kind == "lvm"
        and any(near_miss(j.spec.source, n) is not None or n == j.spec.source for n in device_names(d))
    ]
    return near[0] if len(near) == 1 else None


def _crypt_name(facts: Facts, j: Judged) -> str:
    """The one name of crypttab that no line uses, or that is a slip away from what is written.

    Of more names than any system has there is no telling.
    """
    if len(facts.crypt) > _MAX_NAMES:
        return ""
    sources = facts.sources
    near = [e.name for e in facts.crypt if near_miss(j.source.value, e.name) is not None]
    free = [e.name for e in facts.crypt if f"/dev/mapper/{e.name}" not in sources]
    for names in (near, free):
        if len(names) == 1:
            return names[0]
    return ""


def _mapper_optional(facts: Facts, j: Judged, safety: Safety) -> Repair:
    if j.spec.entry is None or j.spec.target in edits.NEEDED:
        return edits.manual(f"write the right source for {j.spec.name} by hand")
    options = ["nofail", *([DEVICE_TIMEOUT] if facts.has_systemd else [])]
    edit = edits.add_options(j.spec.entry, *options)
    return edits.repair(j.spec.file, j.spec.before, f"boot without it: add {','.join(options)}", safety, edit)


# --- crypttab ------------------------------------------------------------------------------


def check_crypttab(facts: Facts) -> Iterator[Finding]:
    """crypttab's own sources: containers that are on none of the disks."""
    free = _free_containers(facts)
    for entry in facts.crypt:
        source = classify(entry.source, "crypto_LUKS")
        judged_kinds = {SourceKind.TAG, SourceKind.LINK}
        if source.kind not in judged_kinds or entry.is_plain or not entry.required:
            continue
        if not find(source, facts.block, {}):
            yield _no_container(facts, entry, free)


def _free_containers(facts: Facts) -> list[BlockDevice]:
    """The containers that no line of crypttab names."""
    used = {d.name for e in facts.crypt for d in find(classify(e.source, "crypto_LUKS"), facts.block, {})}
    return [d for d in facts.block.devices if d.content == "crypto_LUKS" and d.name not in used]


def _no_container(facts: Facts, entry: CryptEntry, free: list[BlockDevice]) -> Finding:
    subject = f"{CRYPTTAB}:{entry.number}"
    source = classify(entry.source, "crypto_LUKS")
    near = [d for d in free if near_miss(source.value, str(getattr(d, source.tag.lower()))) is not None]
    fitting = near if len(near) == 1 else free
    evidence = [Evidence(subject, entry.source, "a LUKS container on one of the disks")]
    if len(fitting) == 1:
        device = fitting[0]
        evidence.append(Evidence(device.name, f"LUKS container {device.uuid}, used by no line", entry.source))
        text = entry.source.replace(source.value, str(getattr(device, source.tag.lower())))
        edit = edits.replace(entry.source_offset, entry.source_length, text)
        repair = edits.repair(CRYPTTAB, facts.crypt_data, f"name {text}", Safety.SAFE, edit)
        tail = f"; {describe(device)} fits"
    else:
        repair = edits.manual("write the container's UUID (cryptsetup luksUUID) by hand")
        tail = "" if facts.all_disks_attached else "; it may be on a disk that was not given"
    certain = len(fitting) == 1 or facts.all_disks_attached
    return Finding(
        rules.CRYPTTAB.name,
        Severity.ERROR if certain else Severity.WARNING,
        subject,
        f"{subject}: {entry.source} for {entry.name} is on none of the disks{tail}",
        tuple(evidence),
        repair,
    )
