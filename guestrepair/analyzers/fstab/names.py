"""How to name a device in a line: the same kind of name as was written, where the device has one."""

from __future__ import annotations

from guestrepair.analyzers.fstab.edits import replace
from guestrepair.analyzers.fstab.evidence import device_names
from guestrepair.analyzers.fstab.facts import Facts
from guestrepair.analyzers.fstab.judgement import Judged
from guestrepair.analyzers.fstab.sources import SourceKind, escape_link
from guestrepair.formats.fstab import escape, split_tag
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import Edit

_ORDER = ("UUID", "PARTUUID", "LABEL", "PARTLABEL")


def stable_tag(facts: Facts, device: BlockDevice, preferred: str = "UUID") -> tuple[str, str] | None:
    """(tag, value) that names this device and no other, the preferred tag first; None when it has none."""
    for tag in (preferred, *_ORDER):
        value = str(getattr(device, tag.lower(), "")) if tag in _ORDER else ""
        if value and all(_same(d, device) for d in facts.block.find(tag, value)):
            return tag, value
    return None


def _same(one: BlockDevice, other: BlockDevice) -> bool:
    return one.name == other.name or (one.content == other.content == "btrfs")


def source_text(facts: Facts, j: Judged, device: BlockDevice) -> str | None:
    """What to write as the source so that it means ``device``; None when nothing stable names it."""
    if j.source.kind in {SourceKind.MAPPER, SourceKind.VOLUME} and device.kind in {"lvm", "crypt"}:
        return volume_text(facts, j, device)
    found = stable_tag(facts, device, j.source.tag or "UUID")
    if found is None:
        return None
    tag, value = found
    if j.source.kind is SourceKind.LINK:
        return f"/dev/disk/by-{tag.lower()}/{escape_link(value)}"
    return f"{tag}={escape(value)}"


def volume_text(facts: Facts, j: Judged, device: BlockDevice) -> str:
    """The name of a volume, of the same kind as was written."""
    if device.kind == "crypt":
        name = crypt_name(facts, device)
        return f"/dev/mapper/{name}" if name else device.name
    names = device_names(device)
    return names[1] if j.source.kind is SourceKind.MAPPER and len(names) > 1 else names[0]


def crypt_name(facts: Facts, device: BlockDevice) -> str:
    """crypttab's name of an opened container, empty when crypttab has none."""
    parents = [d for d in facts.block.devices if d.name in device.parents]
    for entry in facts.crypt:
        if any(p.uuid and p.uuid in entry.source for p in parents):
            return entry.name
    return ""


def rewrite(facts: Facts, j: Judged, device: BlockDevice) -> Edit | None:
    """The edit that makes the source mean ``device``, touching only the value where the tag stays."""
    text = source_text(facts, j, device)
    if text is None or j.spec.length == 0:
        return None
    return replace_source(j, text)


def replace_source(j: Judged, text: str) -> Edit:
    """Write another source in the place of this one; an equal tag and its quotes are left as they are."""
    raw = j.spec.before[j.spec.offset : j.spec.offset + j.spec.length].decode("utf-8", "surrogateescape")
    old, new = split_tag(raw), split_tag(text)
    if old is not None and new is not None and old[0] == new[0]:
        start = raw.find(old[1], len(old[0]) + 1)
        skipped = len(raw[:start].encode("utf-8", "surrogateescape"))
        return replace(j.spec.offset + skipped, len(old[1].encode("utf-8", "surrogateescape")), new[1])
    return replace(j.spec.offset, j.spec.length, text)
