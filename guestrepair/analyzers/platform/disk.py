"""What lies on the disk that the guest boots from: its root filesystem, LVM, encryption, swap."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.platform.asking import PAGE, Unmet, cannot_tell, listed, not_met
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.model import Effect, Evidence, Finding, Inconclusive, Repair, Safety, Severity, Subject
from guestrepair.platforms.model import asked, of_kind
from guestrepair.platforms.parameters import Clean, RootFilesystem
from guestrepair.system.guest_system import System

ROOT_FILESYSTEM = Rule(
    name="platform/root-filesystem",
    summary="the root filesystem is of a kind that the platform does not take",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="The root filesystem is none of those that the platform's import reads, or it is a subvolume of"
    " btrfs where that is not taken.",
    why="The import, which mounts the filesystem to prepare it, fails.",
    repair="Move the system to another filesystem; by hand.",
    example="a root on a btrfs subvolume (@), for AWS VM Import",
    sources=(PAGE,),
)
LVM = Rule(
    name="platform/lvm",
    summary="the system lies on LVM, which the platform advises against",
    severities=(Severity.NOTE, Severity.WARNING, Severity.ERROR),
    effect=Effect.DEGRADES,
    safeties=(Safety.MANUAL,),
    what="The root filesystem is on a logical volume.",
    why="The names of volume groups clash when such a disk is attached to a copy of its own machine for"
    " rescue, and the platform's tools do not grow it.",
    repair="Install on plain partitions; by hand.",
    example="the default layout of RHEL's installer",
    sources=(PAGE,),
)
ENCRYPTED = Rule(
    name="platform/encrypted-root",
    summary="the root is encrypted, which the platform's import cannot open",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.MANUAL,),
    what="The root filesystem is in a LUKS container.",
    why="The import fails, or the machine waits at its console for a passphrase that nobody can type.",
    repair="Use the platform's own encryption of disks; by hand.",
    example="Debian's guided installation with encrypted LVM",
    sources=(PAGE,),
)
SWAP = Rule(
    name="platform/swap",
    summary="there is swap on the disk that the guest boots from",
    severities=(Severity.WARNING, Severity.ERROR, Severity.NOTE),
    effect=Effect.HYGIENE,
    safeties=(Safety.MANUAL,),
    what="A partition or volume of the system's disk holds a swap area.",
    why="The platform's disks are billed and throttled by their operations; it wants swap on the temporary"
    " disk, and does not certify images with swap on the system's.",
    repair="Take its line out of /etc/fstab, wipefs the partition, and delete it; by hand.",
    example="the swap partition that an installer made",
    sources=(PAGE,),
)
RULES = (ROOT_FILESYSTEM, LVM, ENCRYPTED, SWAP)


def check_filesystem(context: Context) -> Iterator[Finding | Inconclusive]:
    """root-filesystem."""
    system = context.system
    wanted = tuple(of_kind(asked(context.platforms, ROOT_FILESYSTEM.name), RootFilesystem))
    mount = next((m for m in system.mounted if m.target == "/"), None)
    unmet: list[Unmet] = []
    for each, allowed in wanted:
        if mount is None or not mount.type:
            yield cannot_tell(each, "which root filesystem it has", "its type is not known")
        elif mount.type not in allowed.any:
            unmet.append(Unmet(each, listed(allowed.any)))
        elif mount.subvolume and not allowed.subvolume:
            unmet.append(Unmet(each, "the top of the filesystem as root, and no subvolume"))
    if mount is not None and unmet:
        what = f"{mount.type}, subvolume {mount.subvolume}" if mount.subvolume else mount.type
        yield not_met(
            ROOT_FILESYSTEM,
            Subject.of_device(mount.source),
            f"the root filesystem is {what}",
            unmet,
            evidence=[Evidence(mount.source, what, "")],
            repair=Repair("move the system to such a filesystem", Safety.MANUAL),
        )


def check_layers(context: Context) -> Iterator[Finding]:
    """lvm, encrypted-root: what lies between the root filesystem and its disk."""
    for rule, kind, fact in (
        (LVM, DeviceKind.LOGICAL_VOLUME, "the root filesystem is on the logical volume"),
        (ENCRYPTED, DeviceKind.CRYPT, "the root filesystem is in the encrypted container"),
    ):
        wanted = tuple(of_kind(asked(context.platforms, rule.name), Clean))
        device = next((d for d in _under_root(context.system) if d.kind is kind), None)
        if wanted and device is not None:
            plain = "plain partitions" if rule is LVM else "a root that is not encrypted"
            yield not_met(
                rule,
                Subject.of_device(device.name),
                f"{fact} {device.name}",
                [Unmet(each, plain) for each, _ in wanted],
                evidence=[Evidence(device.name, str(device.kind), "a partition")],
                repair=Repair(f"install the system on {plain}", Safety.MANUAL),
            )


def check_swap(context: Context) -> Iterator[Finding]:
    """swap."""
    system = context.system
    wanted = tuple(of_kind(asked(context.platforms, SWAP.name), Clean))
    disks = {d.disk for d in _under_root(system) if d.disk}
    for device in system.block.devices if wanted else ():
        if device.content == "swap" and {d.disk for d in _under(system, device)} & disks:
            yield not_met(
                SWAP,
                Subject.of_device(device.name),
                f"{device.name} is swap on the disk of the system",
                [Unmet(each, "none there") for each, _ in wanted],
                evidence=[Evidence(device.name, "swap", "no swap on this disk")],
                repair=Repair(
                    f"take its line out of /etc/fstab, then wipefs -a {device.name} and delete it in a rescue"
                    " system; where the last word is RESUME=, in /etc/initramfs-tools/conf.d, too",
                    Safety.MANUAL,
                ),
            )


def _under_root(system: System) -> list[BlockDevice]:
    root = system.mounts.root
    return [] if root is None else _under(system, root)


def _under(system: System, device: BlockDevice) -> list[BlockDevice]:
    """A device and all that it lies on."""
    found: list[BlockDevice] = []
    waiting = [device]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.append(current)
            waiting += [d for name in current.parents if (d := system.block.get(name)) is not None]
    return found


CHECKS = (check_filesystem, check_layers, check_swap)
