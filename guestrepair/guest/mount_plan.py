"""The mount plan: which filesystem belongs where under a root, worked out from fstab as far as it is right.

A bad line loses that mount only. Where fstab does not help, a filesystem whose
content leaves no doubt (an ESP, a separate /usr, /var or /boot) is mounted
where it must belong, so that a broken fstab does not make files read as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats import crypttab
from guestrepair.formats.fstab import Entry, parse
from guestrepair.guest.device_names import crypt_targets, resolve_source
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.view import Guest
from guestrepair.model import ALIASED_DIRECTORIES, GuestPath

Names = Callable[[BlockDevice], tuple[str, ...]]

_NEVER = ("/proc", "/sys", "/dev", "/run")
_MAX_MOUNTS = 64
# What the top directory of a separate filesystem holds, all of it, and where it then belongs.
_CONTENT = (
    ("/usr", frozenset({"bin", "lib", "share"})),
    ("/var", frozenset({"lib", "log", "cache"})),
    ("/boot", frozenset({"grub"})),
    ("/boot", frozenset({"grub2"})),
    ("/boot", frozenset({"loader"})),
    ("/boot/efi", frozenset({"EFI"})),
)


@dataclass(frozen=True, slots=True)
class PlannedMount:
    """A filesystem and where it belongs; ``guessed`` when its content and not fstab says so."""

    device: BlockDevice
    target: GuestPath
    subvolume: str = ""
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class MountPlan:
    """The mounts below the root, parents first, and what cannot be mounted, with the reason."""

    mounts: tuple[PlannedMount, ...] = ()
    unmounted: tuple[tuple[str, str], ...] = ()


def plan_mounts(guest: Guest, root: BlockDevice, names: Names, *, fstab: bytes | None = None) -> MountPlan:
    """Work the plan out for a mounted root; ``fstab``: this text in place of its own. Never raises for it.

    ``names`` tells what is in the top directory of a filesystem, or raises GuestReadError.
    """
    planned: dict[GuestPath, PlannedMount] = {}
    unmounted: list[tuple[str, str]] = []
    crypt = crypt_targets(_crypttab(guest), guest.block)
    for entry in _local_entries(guest, fstab):
        target = GuestPath(entry.target)
        if target in planned or len(planned) >= _MAX_MOUNTS:
            continue
        meant = resolve_source(entry.source, guest.block, crypt)
        found = [d for d in meant if d.is_filesystem]
        if len(found) == 1 and (found[0] != root or found[0].content == "btrfs"):
            planned[target] = PlannedMount(found[0], target, _subvolume(entry, found[0]))
        elif len(found) != 1:
            unmounted.append((str(target), f"{entry.source} {_why_not(meant, found)}"))
    for guess in _guesses(guest, root, names, planned):
        planned.setdefault(guess.target, guess)
    known = {str(target) for target in planned}
    return MountPlan(
        tuple(sorted(planned.values(), key=lambda m: len(m.target.parts))),
        tuple((target, reason) for target, reason in unmounted if target not in known),
    )


def _why_not(meant: Sequence[BlockDevice], found: Sequence[BlockDevice]) -> str:
    """Why a source that names these devices, of which these hold filesystems, cannot be mounted."""
    if found:
        return "is ambiguous"
    locked = next((d for d in meant if d.content == "crypto_LUKS"), None)
    return f"is in {locked.name}, which no key opened" if locked is not None else "is on none of the disks"


def _crypttab(guest: Guest) -> dict[str, str]:
    try:
        data = guest.read_if_there(GuestPath("/etc/crypttab")) or b""
        return crypttab.sources(crypttab.parse(data))
    except (GuestReadError, FormatError):
        return {}  # what it would open is among the mounts that cannot be made


def _local_entries(guest: Guest, fstab: bytes | None) -> Iterator[Entry]:
    try:
        content = fstab if fstab is not None else guest.read_if_there(GuestPath("/etc/fstab")) or b""
        entries = parse(content).entries
    except (GuestReadError, FormatError):
        return  # the fstab analyzer says what is wrong with it
    for entry in entries:
        usable = entry.target.startswith("/") and entry.target != "/" and ".." not in entry.target.split("/")
        reserved = any(entry.target == n or entry.target.startswith(f"{n}/") for n in _NEVER)
        if usable and not reserved and not entry.has("bind", "rbind", "loop") and _on_block_device(entry):
            yield entry


def _on_block_device(entry: Entry) -> bool:
    return entry.source.startswith("/dev/") or entry.tag is not None


def _subvolume(entry: Entry, device: BlockDevice) -> str:
    """The subvolume that a line names; none where the filesystem has none, whatever the line says."""
    return (entry.option("subvol") or "").strip("/") if device.content == "btrfs" else ""


def _guesses(
    guest: Guest, root: BlockDevice, names: Names, planned: dict[GuestPath, PlannedMount]
) -> Iterator[PlannedMount]:
    used = {mount.device.name for mount in planned.values()} | {root.name}
    for device in guest.block.filesystems():
        if device.name in used or device.content == "btrfs":
            continue
        try:
            inside = set(names(device))
        except GuestReadError:
            continue  # listed among the devices that could not be read where it matters
        for target, wanted in _CONTENT:
            if wanted <= inside and _is_empty(guest, GuestPath(target), planned):
                yield PlannedMount(device, GuestPath(target), guessed=True)
                break


def _is_empty(guest: Guest, target: GuestPath, planned: dict[GuestPath, PlannedMount]) -> bool:
    if target in planned or not guest.is_directory(target):
        return False
    return not [name for name in guest.listdir(target) if name != "lost+found"]


def mount_points(guest: Guest, targets: Iterable[GuestPath]) -> dict[GuestPath, GuestPath]:
    """The real path of each mount point, with the name that the guest's table has for it."""
    return {guest.resolve(target) or target: target for target in targets}


def holders(guest: Guest, points: Mapping[GuestPath, GuestPath], path: GuestPath) -> Iterator[GuestPath]:
    """Those of :func:`mount_points` under which a path may lie: by name, by links, by those of a merged /usr.

    The latter may be missing as yet: a repair makes them again before it writes below them. ``/`` is the
    answer for what lies under none of the points.
    """
    places = [path, _as_far_as_there(guest, path)]
    if path.parts[1:] and path.parts[1] in ALIASED_DIRECTORIES:
        places.append(GuestPath("/usr").joinpath(*path.parts[1:]))
    for place in dict.fromkeys(places):
        yield next((points[p] for p in (place, *place.parents) if p in points), GuestPath("/"))


def _as_far_as_there(guest: Guest, path: GuestPath) -> GuestPath:
    """The path with the links of its parents followed, as far down as there are any."""
    for ancestor in (path, *path.parents):
        real = guest.resolve_parent(ancestor)
        if real is not None:
            return real / path.relative_to(ancestor)
    return path
