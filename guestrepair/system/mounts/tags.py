"""A value that is right under another tag: the wrong tag, the wrong case, or the container's UUID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guestrepair.formats.fstab import escape, split_tag
from guestrepair.guest.device_names import TAGS, escape_link
from guestrepair.guest.devices import BlockDevice
from guestrepair.system.mounts import types
from guestrepair.system.mounts.facts import MountFacts
from guestrepair.system.mounts.meaning import Judged, State
from guestrepair.system.mounts.sources import SourceKind, stable_tag

_CONTAINERS = {
    "crypto_LUKS": "the LUKS container",
    "LVM2_member": "the LVM physical volume",
    "linux_raid_member": "a member of the RAID array",
}


@dataclass(frozen=True, slots=True)
class Mistaken:
    """What the source must be, and what is wrong with it as it is."""

    text: str
    reason: str


def mistaken_tag(facts: MountFacts, j: Judged) -> Mistaken | None:
    """What the written value is right for; None when it is right as it stands, or for nothing."""
    if j.state is State.RESOLVED:
        return _tag_case(j)
    if j.state is State.CONTAINER and j.device is not None:
        return _inside(facts, j, j.device)
    if j.source.kind not in {SourceKind.TAG, SourceKind.LINK, SourceKind.NONE} or not j.source.value:
        return None
    found = {
        (tag, d.name): (tag, d)
        for tag in TAGS
        for d in facts.block.devices
        if str(getattr(d, tag.lower())).lower() == j.source.value.lower() and _wanted(j, d)
    }
    by_device = {name for _, name in found}
    if len(by_device) != 1:
        return None
    same = [pair for pair in found.values() if pair[0] == j.source.tag]
    tag, device = (same or list(found.values()))[0]
    if device.content in _CONTAINERS and tag not in {"PARTUUID", "PARTLABEL"}:
        return _inside(facts, j, device)
    return Mistaken(_text(j, tag, str(getattr(device, tag.lower()))), _reason(j, tag, device))


def _wanted(j: Judged, device: BlockDevice) -> bool:
    return types.fits(j.spec.type, device.content) or device.content in _CONTAINERS


def _tag_case(j: Judged) -> Mistaken | None:
    written = split_tag(j.spec.source)
    if written is None or written[0] == j.source.tag:
        return None
    return Mistaken(f"{j.source.tag}={escape(j.source.value)}", f"the tag is not known as {written[0]}=")


def _text(j: Judged, tag: str, value: str) -> str:
    if j.source.kind is SourceKind.LINK:
        return f"/dev/disk/by-{tag.lower()}/{escape_link(value)}"
    return f"{tag}={escape(value)}"


def _reason(j: Judged, tag: str, device: BlockDevice) -> str:
    if j.source.kind is SourceKind.NONE:
        return f"this is the {tag} of {device.name}, without a tag that is known"
    if tag == j.source.tag:
        return f"upper and lower case differ from the {tag} of {device.name}, and they count"
    return f"this is the {tag} of {device.name}, not a {j.source.tag}"


def _inside(facts: MountFacts, j: Judged, container: BlockDevice) -> Mistaken | None:
    what = _CONTAINERS.get(container.content)
    if what is None:
        return None
    reason = f"this is the UUID of {what} {container.name}, not of the filesystem in it"
    inner = _descendants(facts, container)
    fitting = [d for d in inner if types.fits(j.spec.type, d.content)]
    if len(fitting) != 1 and j.proposal is not None:
        fitting = [d for d in fitting if d.name == j.proposal.device.name]
    if len(fitting) == 1:
        found = stable_tag(facts.block, fitting[0])
        return None if found is None else Mistaken(_text(j, *found), reason)
    if inner:
        return None
    name = crypt_name(facts, (container.name,))
    return Mistaken(f"/dev/mapper/{name}", reason) if name else None


def _descendants(facts: MountFacts, container: BlockDevice) -> list[BlockDevice]:
    found: list[BlockDevice] = []
    names = {container.name}
    for _ in range(8):  # LVM on LUKS on md on a partition is four deep
        more = [d for d in facts.block.devices if names & set(d.parents) and d not in found]
        if not more:
            break
        found += more
        names = {d.name for d in more}
    return found


def crypt_name(facts: MountFacts, containers: Sequence[str]) -> str:
    """crypttab's name of what is in one of these containers, empty when crypttab has none."""
    uuids = [d.uuid for d in facts.block.devices if d.name in containers and d.uuid]
    for entry in facts.known_crypt or ():
        if any(uuid in entry.source for uuid in uuids):
            return entry.name
    return ""
