"""Encrypted devices and other device-mapper names: what nothing makes, or what is on none of the disks."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks.source import SOURCE_NOT_FOUND, make_optional
from guestrepair.analyzers.fstab.checks.target import is_reserved
from guestrepair.formats.crypttab import CryptEntry
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import Effect, Evidence, Finding, Inconclusive, Safety, Severity, Subject
from guestrepair.system.guest_system import System
from guestrepair.system.mounts import Mounts
from guestrepair.system.mounts.correction import (
    is_opened,
    may_be_elsewhere,
    near_crypt_name,
    near_volume,
    replace_source,
    rewrite,
    source_text,
)
from guestrepair.system.mounts.evidence import describe
from guestrepair.system.mounts.facts import CRYPTTAB
from guestrepair.system.mounts.meaning import Judged, State
from guestrepair.system.mounts.sources import SourceKind, classify, find
from guestrepair.system.mounts.spelling import near_miss

UNMAPPED = Rule(
    name="fstab/crypttab",
    summary="a mapped device that nothing maps, or an encrypted container that is not there",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="/dev/mapper/NAME is neither a logical volume nor in /etc/crypttab; or crypttab names a container "
    "that is on none of the disks.",
    why="The device never appears, and boot waits for it in vain.",
    repair="The name or UUID is rewritten where exactly one volume or LUKS container fits.",
    example="/dev/mapper/vg-data where the volume is /dev/mapper/vg0-data",
    sources=("crypttab(5)", "systemd-cryptsetup-generator(8)", "lvm(8), VALID NAMES"),
)


# --- device-mapper names ----------------------------------------------------------------


def check_mapper(context: Context) -> Iterator[Finding | Inconclusive]:
    """``/dev/mapper/X`` that is neither a logical volume nor opened by crypttab."""
    mounts = context.system.mounts
    for j in mounts.judged:
        missing = j.state is State.MISSING and j.source.kind is SourceKind.MAPPER
        if not missing or not j.spec.stops_boot or j.source.impossible or j.spec.target == "/":
            continue
        if is_opened(mounts, j) or is_reserved(j):
            continue
        here = context.options.all_disks_attached
        if j.proposal is None and not here and may_be_elsewhere(mounts, j):
            yield from _elsewhere(context.system, j)
        else:
            yield _no_mapping(context, j)


def _elsewhere(system: System, j: Judged) -> Iterator[Finding | Inconclusive]:
    if system.mounts.locked:
        names = ", ".join(d.name for d in system.mounts.locked)
        yield Inconclusive("fstab", f"{j.spec.place}: {j.spec.source} may be in {names}, which is not open")
        return
    yield SOURCE_NOT_FOUND.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is not on the disks given; give the "
        "guest's other disks with --disk, or --all-disks-attached",
        severity=Severity.WARNING,
        evidence=(Evidence(j.spec.place, j.spec.source, "a logical volume on the disks"),),
        repair=make_optional(system, j, Safety.REVIEW),
    )


def _no_mapping(context: Context, j: Judged) -> Finding:
    mounts = context.system.mounts
    device = j.proposal.device if j.proposal is not None else near_volume(mounts, j)
    name = near_crypt_name(mounts, j)
    edit = text = None
    if device is not None:
        edit, text = rewrite(mounts, j, device), source_text(mounts, j, device)
    elif name:
        text = f"/dev/mapper/{name}"
        edit = replace_source(j, text)
    fits = f"; {describe(device)} fits" if device is not None else f"; crypttab has {name}" if name else ""
    clues = edits.clues(j.proposal) if j.proposal is not None else ()
    return UNMAPPED.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is neither a logical volume nor in "
        f"{CRYPTTAB}{fits}",
        evidence=(Evidence(j.spec.place, j.spec.source, text or "a name that LVM or crypttab makes"), *clues),
        repair=make_optional(
            context.system, j, Safety.SAFE if context.options.all_disks_attached else Safety.REVIEW
        )
        if edit is None
        else edits.of_spec(j.spec, f"name {text}", Safety.SAFE, edit),
    )


# --- crypttab ------------------------------------------------------------------------------


def check_crypttab(context: Context) -> Iterator[Finding]:
    """crypttab's own sources: containers that are on none of the disks."""
    mounts = context.system.mounts
    free = _free_containers(mounts)
    for entry in mounts.crypt:
        source = classify(entry.source, "crypto_LUKS")
        judged_kinds = {SourceKind.TAG, SourceKind.LINK}
        if source.kind not in judged_kinds or entry.is_plain or not entry.required:
            continue
        if not find(source, mounts.block, {}):
            yield _no_container(context, entry, free)


def _free_containers(mounts: Mounts) -> list[BlockDevice]:
    """The containers that no line of crypttab names."""
    used = {d.name for e in mounts.crypt for d in find(classify(e.source, "crypto_LUKS"), mounts.block, {})}
    return [d for d in mounts.block.devices if d.content == "crypto_LUKS" and d.name not in used]


def _no_container(context: Context, entry: CryptEntry, free: list[BlockDevice]) -> Finding:
    subject = Subject.of_line(CRYPTTAB, entry.number)
    source = classify(entry.source, "crypto_LUKS")
    near = [d for d in free if near_miss(source.value, str(getattr(d, source.tag.lower()))) is not None]
    fitting = near if len(near) == 1 else free
    evidence = [Evidence(subject, entry.source, "a LUKS container on one of the disks")]
    if len(fitting) == 1:
        device = fitting[0]
        evidence.append(Evidence(device.name, f"LUKS container {device.uuid}, used by no line", entry.source))
        text = entry.source.replace(source.value, str(getattr(device, source.tag.lower())))
        edit = edits.replace(entry.source_offset, entry.source_length, text)
        repair = edits.repair(CRYPTTAB, context.system.mounts.crypt_data, f"name {text}", Safety.SAFE, edit)
        tail = f"; {describe(device)} fits"
    else:
        repair = edits.manual("write the container's UUID (cryptsetup luksUUID) by hand")
        tail = "" if context.options.all_disks_attached else "; it may be on a disk that was not given"
    certain = len(fitting) == 1 or context.options.all_disks_attached
    return UNMAPPED.finding(
        subject,
        f"{subject}: {entry.source} for {entry.name} is on none of the disks{tail}",
        severity=Severity.ERROR if certain else Severity.WARNING,
        evidence=tuple(evidence),
        repair=repair,
    )
