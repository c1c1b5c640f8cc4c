"""What to write so that a line means the device that it must mean: the same kind of name as was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from guestrepair.formats.fstab import escape, split_tag
from guestrepair.formats.splice import Splice
from guestrepair.guest.device_names import escape_link, split_mapper
from guestrepair.guest.devices import BlockDevice
from guestrepair.system.mounts.evidence import device_names
from guestrepair.system.mounts.facts import MountFacts
from guestrepair.system.mounts.meaning import NEVER_OUT, Judged, State
from guestrepair.system.mounts.sources import SourceKind, stable_tag
from guestrepair.system.mounts.spelling import near_miss
from guestrepair.system.mounts.tags import crypt_name, mistaken_tag

_MAX_NAMES = 100


def source_text(facts: MountFacts, j: Judged, device: BlockDevice) -> str | None:
    """What to write as the source so that it means ``device``; None when nothing stable names it."""
    if j.source.kind in {SourceKind.MAPPER, SourceKind.VOLUME} and device.kind in {"lvm", "crypt"}:
        return _volume_text(facts, j, device)
    found = stable_tag(facts.block, device, j.source.tag or "UUID")
    if found is None:
        return None
    tag, value = found
    if j.source.kind is SourceKind.LINK:
        return f"/dev/disk/by-{tag.lower()}/{escape_link(value)}"
    return f"{tag}={escape(value)}"


def _volume_text(facts: MountFacts, j: Judged, device: BlockDevice) -> str:
    """The name of a volume, of the same kind as was written."""
    if device.kind == "crypt":
        name = crypt_name(facts, device.parents)
        return f"/dev/mapper/{name}" if name else device.name
    names = device_names(device)
    return names[1] if j.source.kind is SourceKind.MAPPER and len(names) > 1 else names[0]


def rewrite(facts: MountFacts, j: Judged, device: BlockDevice) -> Splice | None:
    """The bytes that make the source mean ``device``, touching only the value where the tag stays."""
    text = source_text(facts, j, device)
    return None if text is None else replace_source(j, text)


def replace_source(j: Judged, text: str) -> Splice | None:
    """Write another source in the place of this one; an equal tag and its quotes are left as they are.

    None where the source does not stand in the file: a drop-in of the unit has it.
    """
    spec = j.spec
    if spec.length == 0:
        return None
    written = spec.before[spec.offset : spec.offset + spec.length]
    token = written if spec.entry is None else spec.entry.source_token.raw
    raw = token.decode("utf-8", "surrogateescape")
    old, new = split_tag(raw), split_tag(text)
    if old is not None and new is not None and old[0] == new[0]:
        start = raw.find(old[1], len(old[0]) + 1)
        skipped = len(raw[:start].encode("utf-8", "surrogateescape"))
        length = len(old[1].encode("utf-8", "surrogateescape"))
        return Splice(spec.offset + skipped, length, new[1].encode("utf-8", "surrogateescape"))
    return Splice(spec.offset, spec.length, text.encode("utf-8", "surrogateescape"))


# --- device-mapper names ---------------------------------------------------------------


def may_be_elsewhere(facts: MountFacts, j: Judged) -> bool:
    """True when the name may be a logical volume of a group that is on no disk here."""
    split = split_mapper(j.source.value)
    return split is not None and not any(d.name.startswith(f"/dev/{split[0]}/") for d in facts.block.devices)


def near_volume(facts: MountFacts, j: Judged) -> BlockDevice | None:
    """The one logical volume whose name is a slip away from what is written."""
    near = [
        d
        for d in facts.block.devices
        if d.kind == "lvm"
        and any(near_miss(j.spec.source, n) is not None or n == j.spec.source for n in device_names(d))
    ]
    return near[0] if len(near) == 1 else None


def near_crypt_name(facts: MountFacts, j: Judged) -> str:
    """The one name of crypttab that no line uses, or that is a slip away from what is written.

    Of more names than any system has there is no telling.
    """
    crypt = facts.known_crypt or ()
    if len(crypt) > _MAX_NAMES:
        return ""
    near = [e.name for e in crypt if near_miss(j.source.value, e.name) is not None]
    free = [e.name for e in crypt if f"/dev/mapper/{e.name}" not in facts.sources]
    return next((names[0] for names in (near, free) if len(names) == 1), "")


# --- all of it ----------------------------------------------------------------------------


def standing(judged: Iterable[Judged]) -> Mapping[str, Judged]:
    """The first required line of each mount point whose source is there."""
    found: dict[str, Judged] = {}
    for j in judged:
        is_line = j.spec.entry is not None and j.spec.target.startswith("/")
        if is_line and j.state is State.RESOLVED and j.spec.required:
            found.setdefault(j.spec.target, j)
    return found


def right_source(facts: MountFacts, j: Judged, others: Mapping[str, Judged]) -> str | None:
    """The source that a required mount must have; None when that is the one it has, or is not known.

    ``others`` are those of :func:`standing`: a line whose place is taken is not corrected.
    """
    if j.state is State.MISPLACED and j.proposal is not None:
        return source_text(facts, j, j.proposal.device)
    if not j.spec.required or j.state not in {State.RESOLVED, State.MISSING, State.CONTAINER}:
        return None
    mistaken = mistaken_tag(facts, j)
    if mistaken is not None or j.state is State.RESOLVED:
        return None if mistaken is None else mistaken.text
    if (j.spec.target in others and j.spec.target not in NEVER_OUT) or is_opened(facts, j):
        return None
    if j.proposal is not None:
        return source_text(facts, j, j.proposal.device)
    return _mapper_source(facts, j) if j.source.kind is SourceKind.MAPPER else None


def is_opened(facts: MountFacts, j: Judged) -> bool:
    """True when crypttab makes what the line names; whether it can is a question to crypttab.

    Not of ``/``: what this very system lies on is known.
    """
    is_mapped = j.source.kind is SourceKind.MAPPER and j.spec.target != "/"
    return is_mapped and any(e.name == j.source.value for e in facts.known_crypt or ())


def _mapper_source(facts: MountFacts, j: Judged) -> str | None:
    if may_be_elsewhere(facts, j):
        return None
    volume, name = near_volume(facts, j), near_crypt_name(facts, j)
    if volume is not None:
        return source_text(facts, j, volume)
    return f"/dev/mapper/{name}" if name else None
