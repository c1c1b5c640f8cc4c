"""btrfs subvolumes that a line names and the filesystem has not, and which ones are meant (btrfs(5))."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.fstab import Entry, is_number
from guestrepair.guest.devices import BlockDevice
from guestrepair.system.mounts.meaning import TOP_LEVEL
from guestrepair.system.mounts.spelling import edit_distance


@dataclass(frozen=True, slots=True)
class WrongSubvolume:
    """An option as it is written, why the kernel refuses it, and the right one where it is known."""

    option: str
    reason: str
    instead: str | None


def wrong_subvolumes(device: BlockDevice | None, entry: Entry) -> Iterator[WrongSubvolume]:
    """``subvol=`` and ``subvolid=`` of a line that name no subvolume of the device that it means."""
    if device is not None and device.content == "btrfs":
        yield from _by_path(device, entry)
        yield from _by_number(device, entry)


def _by_path(device: BlockDevice, entry: Entry) -> Iterator[WrongSubvolume]:
    wanted = (entry.option("subvol") or "").strip("/")
    if not wanted or not device.subvolumes or wanted in device.subvolumes:
        return
    near = _near(wanted, device.subvolumes)
    written = next(o for o in reversed(entry.options) if o.startswith("subvol="))
    instead = f"subvol={near[0]}" if len(near) == 1 else None
    yield WrongSubvolume(written, f"{device.name} has no subvolume {wanted}", instead)


def _by_number(device: BlockDevice, entry: Entry) -> Iterator[WrongSubvolume]:
    """``subvolid=`` of no subvolume, or of another one than ``subvol=``: the kernel refuses both."""
    text = entry.option("subvolid") or ""
    if not device.subvolume_ids or not is_number(text):
        return
    path = (entry.option("subvol") or "").strip("/")
    right = dict(zip(device.subvolumes, device.subvolume_ids, strict=True)).get(path)
    known = {0, TOP_LEVEL, *device.subvolume_ids}
    if int(text) in known and (right is None or int(text) == right):
        return
    reason = (
        f"{device.name} has no subvolume with the number {text}"
        if int(text) not in known
        else f"subvolume {path} has the number {right}, and not {text}"
    )
    yield WrongSubvolume(f"subvolid={text}", reason, None if right is None else f"subvolid={right}")


def _near(wanted: str, there: tuple[str, ...]) -> list[str]:
    plain = wanted.removeprefix("@").lower()
    exact = [s for s in there if s.removeprefix("@").lower() == plain]
    most = 1 if len(wanted) < 6 else 2
    return exact or [s for s in there if len(s) > 2 and edit_distance(wanted, s, most) is not None]
