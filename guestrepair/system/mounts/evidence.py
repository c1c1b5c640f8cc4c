"""Weigh which filesystem a line means, by evidence that a person can follow.

Each clue is one observation in favour of one device, with a weight: 4 is conclusive by itself (the written
UUID is a few characters off; an older fstab names it), 2 and 3 point to it, and nothing below 2 decides.
What contradicts (another type, another line's filesystem, content of another kind) takes a device out
of the choice before anything is weighed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from guestrepair.formats.fstab import is_number
from guestrepair.guest.devices import BlockDevice
from guestrepair.system.mounts.facts import SWAP, MountFacts
from guestrepair.system.mounts.sources import Source, SourceKind
from guestrepair.system.mounts.spec import Spec
from guestrepair.system.mounts.spelling import near_miss

DECISIVE = 2
CONCLUSIVE = 4

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
_PART_TYPES = {
    ESP: ("/boot/efi", "/efi", "/boot"),
    "0xef": ("/boot/efi", "/efi", "/boot"),
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": ("/boot",),
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915": ("/home",),
    "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": ("/srv",),
    "4d21b016-b534-45c2-a9fb-5c16e091fd2d": ("/var",),
    "7ec6f557-3bc5-4aca-b293-16ef5df639d1": ("/var/tmp",),  # noqa: S108 - a path of the guest
    "8484680c-9521-48c6-9c11-b0720656f69e": ("/usr",),
}
"""Partition types that say where a filesystem belongs (Discoverable Partitions Specification; MBR types)."""

_LABELS = {
    "/boot/efi": ("efi", "esp", "uefi", "system-boot", "efi system partition", "boot-efi"),
    "/efi": ("efi", "esp", "uefi", "efi system partition"),
    "/boot": ("boot", "bootfs", "bls_boot", "xbootldr"),
    "swap": ("swap", "cryptswap", "linux swap", "linux-swap", "swapfs"),
    "/": ("root", "rootfs", "system"),
}

_CONTENT = {
    "/boot/efi": (("EFI",), ("efi",)),
    "/efi": (("EFI",), ("efi",)),
    "/boot": (("grub",), ("grub2",), ("loader",), ("extlinux",), ("syslinux",)),
    "/var": (("lib", "log"), ("lib", "cache"), ("lib", "spool")),
    "/usr": (("bin", "lib"), ("bin", "share")),
    "/": (("etc", "usr"), ("etc", "var")),
}
"""For each mount point, sets of names; one of them is wholly there when the filesystem is the right one."""


_INSTALLERS = ("/target/", "/mnt/", "/sysroot/", "/a/", "/media/")
"""Where installers and rescue systems mount the system that they work on."""


@dataclass(frozen=True, slots=True)
class Clue:
    """One observation for a device: where, what, and what it is like. A general one holds for its kind."""

    weight: int
    place: str
    observed: str
    expected: str
    general: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that a line may mean, and all that speaks for it."""

    device: BlockDevice
    clues: tuple[Clue, ...]

    @property
    def weight(self) -> int:
        """All clues together."""
        return sum(c.weight for c in self.clues)

    @property
    def conclusive(self) -> bool:
        """True when one clue is enough by itself."""
        return any(c.weight >= CONCLUSIVE for c in self.clues)

    @property
    def specific(self) -> bool:
        """True when something speaks for this very device, and not only for its kind."""
        return sum(c.weight for c in self.clues if not c.general) >= DECISIVE

    @property
    def weightiest_first(self) -> tuple[Clue, ...]:
        """The clues in the order of what they weigh."""
        return tuple(sorted(self.clues, key=lambda c: -c.weight))


def weigh(facts: MountFacts, spec: Spec, source: Source, device: BlockDevice) -> Candidate:
    """Collect all clues for one device."""
    clues = [clue for collect in _COLLECTORS for clue in collect(facts, spec, source, device)]
    return Candidate(device, tuple(clues))


def describe(device: BlockDevice) -> str:
    """``/dev/sda2 (vfat, UUID=5F1D-C103)``, with the label where there is one."""
    parts = [device.content or "unknown content"]
    if device.uuid:
        parts.append(f"UUID={device.uuid}")
    if device.label:
        parts.append(f"LABEL={device.label}")
    return f"{device.name} ({', '.join(parts)})"


# --- clues ---------------------------------------------------------------------


def _own_root(facts: MountFacts, spec: Spec, _source: Source, device: BlockDevice) -> Iterator[Clue]:
    if spec.target == "/" and facts.root is not None and device.name == facts.root.name:
        yield Clue(CONCLUSIVE, device.name, "this very /etc lies on it", "the root filesystem")


def _near_miss(_facts: MountFacts, _spec: Spec, source: Source, device: BlockDevice) -> Iterator[Clue]:
    if source.kind not in {SourceKind.TAG, SourceKind.LINK} or source.tag == "ID":
        return
    own = str(getattr(device, source.tag.lower()))
    if not own or not source.value:
        return
    away = near_miss(source.value, own)
    if away is not None:
        yield Clue(
            CONCLUSIVE,
            f"{source.tag} of {device.name}",
            own,
            f"{source.value}, as written: {away}",
        )


def _last_mounted(_facts: MountFacts, spec: Spec, _source: Source, device: BlockDevice) -> Iterator[Clue]:
    if device.ext is None or not spec.target.startswith("/"):
        return
    last = device.ext.last_mounted.rstrip("/") or device.ext.last_mounted
    place = f"superblock of {device.name}"
    if last == spec.target:
        yield Clue(3, place, f"last mounted on {last}", spec.target)
    elif spec.target != "/" and last.startswith(_INSTALLERS) and last.endswith(spec.target):
        yield Clue(DECISIVE, place, f"last mounted on {last}", spec.target)


def _labels(_facts: MountFacts, spec: Spec, _source: Source, device: BlockDevice) -> Iterator[Clue]:
    name = "swap" if spec.is_swap else spec.target
    wanted = set(_LABELS.get(name, ()))
    if name.startswith("/") and name != "/":
        wanted |= {name.lower(), name.rpartition("/")[2].lower(), name.strip("/").replace("/", "-").lower()}
    for what, label in (("label", device.label), ("partition's name", device.partlabel)):
        if label and label.lower() in wanted:
            yield Clue(DECISIVE, f"{what} of {device.name}", label, f"a name for {name}")
            return
    volume = device.name.rpartition("/")[2].lower()
    if device.kind == "lvm" and volume in wanted | {f"lv_{w}" for w in wanted} | {f"{w}lv" for w in wanted}:
        yield Clue(DECISIVE, "name of the logical volume", device.name, f"a name for {name}")


def _partition_type(_facts: MountFacts, spec: Spec, _source: Source, device: BlockDevice) -> Iterator[Clue]:
    if spec.target in _PART_TYPES.get(device.part_type.lower(), ()):
        yield Clue(
            DECISIVE,
            f"partition type of {device.name}",
            device.part_type,
            f"that of {spec.target}",
        )


def _swap(_facts: MountFacts, spec: Spec, _source: Source, device: BlockDevice) -> Iterator[Clue]:
    if spec.is_swap and device.content == "swap":
        yield Clue(DECISIVE, device.name, "holds a swap area", "a swap area", general=True)


def _content(facts: MountFacts, spec: Spec, _source: Source, device: BlockDevice) -> Iterator[Clue]:
    if spec.is_swap or device.content in {"swap", "btrfs"} or spec.target == "/":
        return
    names = facts.top_names(device) or frozenset()
    seen = expected_names(facts, spec.target, names)
    if seen:
        weight = 3 if spec.target in _CONTENT or spec.target == "/home" else DECISIVE
        yield Clue(weight, f"content of {device.name}", ", ".join(seen), f"what {spec.target} holds")


def expected_names(facts: MountFacts, target: str, names: AbstractSet[str]) -> tuple[str, ...]:
    """Those of ``names`` that show a filesystem to be the one for a mount point; empty when nothing does."""
    for wanted in _CONTENT.get(target, ()):
        if set(wanted) <= names:
            return wanted
    if target == "/boot":
        kernels = sorted(n for n in names if n.startswith(("vmlinuz", "initrd", "initramfs", "config-")))
        if kernels:
            return tuple(kernels[:3])
    if target == "/":
        return ()
    return tuple(sorted(names & facts.names_below(target))[:4])


def _boot_loader(facts: MountFacts, spec: Spec, _source: Source, device: BlockDevice) -> Iterator[Clue]:
    if spec.target == "/":
        place, root = facts.boot_roots.get(device.name, ("", ""))
        if place:
            yield Clue(3, place, f"root={root}", f"{device.name} as /")
            return
    if spec.target == "/boot" and device is not facts.root:
        for place, uuid in facts.boot.searched:
            if uuid == device.uuid:
                yield Clue(3, place, f"search {uuid}", f"{device.name} as /boot")
                return
    if spec.is_swap:
        place, resume = facts.boot_resumes.get(device.name, ("", ""))
        if place:
            yield Clue(3, place, f"resume={resume}", f"{device.name} as swap")


def _older_copies(facts: MountFacts, spec: Spec, source: Source, device: BlockDevice) -> Iterator[Clue]:
    for place, text in facts.older_sources.get((SWAP if spec.is_swap else spec.target, device.name), ()):
        if text != source.text:
            yield Clue(CONCLUSIVE, place, text, f"the source of {spec.name}")
            return


def _partition_number(facts: MountFacts, spec: Spec, source: Source, device: BlockDevice) -> Iterator[Clue]:
    numbered = source.kind in {SourceKind.KERNEL, SourceKind.HARDWARE} and source.partition
    if numbered and device.part_number == source.partition and len(facts.block.disks) == 1:
        yield Clue(
            DECISIVE,
            device.name,
            f"partition {device.part_number}",
            f"partition {source.partition}",
        )


def _subvolume(_facts: MountFacts, spec: Spec, _source: Source, device: BlockDevice) -> Iterator[Clue]:
    wanted = (spec.option("subvol") or "").strip("/")
    if device.content == "btrfs" and wanted and wanted in device.subvolumes:
        yield Clue(DECISIVE, device.name, f"subvolume {wanted}", f"subvol={wanted}")
    number = spec.option("subvolid") or ""
    if device.content == "btrfs" and not wanted and is_number(number) and int(number) in device.subvolume_ids:
        path = device.subvolumes[device.subvolume_ids.index(int(number))]
        yield Clue(DECISIVE, device.name, f"subvolume {number} ({path})", f"subvolid={number}")


def _volume_name(_facts: MountFacts, _spec: Spec, source: Source, device: BlockDevice) -> Iterator[Clue]:
    if source.kind not in {SourceKind.MAPPER, SourceKind.VOLUME} or device.kind not in {"lvm", "crypt"}:
        return
    for name in device_names(device):
        away = near_miss(source.text, name)
        if away is not None:
            yield Clue(CONCLUSIVE, "name of the volume", name, f"{source.text}, as written: {away}")
            return


def device_names(device: BlockDevice) -> tuple[str, ...]:
    """The names that a volume has in /dev."""
    parts = device.name.removeprefix("/dev/").split("/")
    if device.kind == "lvm" and len(parts) == 2 and parts[0] != "mapper":
        doubled = "-".join(p.replace("-", "--") for p in parts)
        return (device.name, f"/dev/mapper/{doubled}", "/dev/mapper/" + "-".join(parts))
    return (device.name,)


_COLLECTORS: tuple[Callable[[MountFacts, Spec, Source, BlockDevice], Iterator[Clue]], ...] = (
    _own_root, _near_miss, _last_mounted, _labels, _partition_type, _swap, _content,
    _boot_loader, _older_copies, _partition_number, _subvolume, _volume_name,
)  # fmt: skip
