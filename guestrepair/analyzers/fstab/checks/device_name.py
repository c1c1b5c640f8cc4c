"""The kernel's name of a disk in the first field: what it means, by its place and by other evidence."""

from __future__ import annotations

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.guest.devices import BlockDevice
from guestrepair.model import Effect, Evidence, Finding, Repair, Safety, Severity
from guestrepair.system.mounts import Mounts
from guestrepair.system.mounts.correction import rewrite, source_text
from guestrepair.system.mounts.evidence import describe
from guestrepair.system.mounts.meaning import Judged, speaking_for

DEVICE_NAME = Rule(
    name="fstab/device-name",
    summary="a line names a disk as one machine's kernel does",
    severities=(Severity.WARNING, Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="The source is /dev/sda1, /dev/vda1, /dev/xvda1, /dev/nvme0n1p1 or the like.",
    why="Such names change with the controller, the hypervisor and the order of the disks: the guest "
    "boots here and not there. It is an error when no such device can be meant and the disks show "
    "which one was.",
    repair="The UUID of the filesystem that it must mean: the disk's place in the set and the partition "
    "number decide, not the name that the disk has here. With several disks the repair asks for "
    "review, unless evidence for the mount point (last mount, label, content) agrees.",
    example="/dev/vda2 / ext4 defaults 0 1 becomes UUID=5f1d… / ext4 defaults 0 1",
    sources=("fstab(5)", "mount(8), Indicating the device and filesystem"),
)


def device_name(mounts: Mounts, j: Judged, device: BlockDevice) -> Finding:
    """The finding on a kernel's name; ``device`` is what has that place and number."""
    text = source_text(mounts, j, device)
    here, elsewhere = speaking_for(mounts, j, device)
    doubt = f", but the evidence is for {describe(elsewhere.device)}" if elsewhere is not None else ""
    clues = here if elsewhere is None else elsewhere
    return DEVICE_NAME.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.source} for {j.spec.name} is the kernel's name, which changes with the "
        f"machine and the order of its disks; by its place it means {describe(device)}{doubt}",
        severity=Severity.WARNING if j.spec.stops_boot else Severity.NOTE,
        evidence=(
            Evidence(j.spec.place, j.spec.source, text or "a name that the filesystem itself carries"),
            *(() if clues is None else edits.clues(clues)),
        ),
        repair=_stable_name(mounts, j, device, agrees=here is not None, doubted=elsewhere is not None),
    )


def _stable_name(mounts: Mounts, j: Judged, device: BlockDevice, *, agrees: bool, doubted: bool) -> Repair:
    edit, text = rewrite(mounts, j, device), source_text(mounts, j, device)
    if edit is None:
        return edits.manual("give the filesystem a UUID or label, and name it by that")
    if doubted:
        return edits.manual(f"find out which of the two {j.spec.name} is, and name it by its UUID")
    sure = agrees or len(mounts.block.disks) == 1
    safety = Safety.SAFE if sure and j.spec.stops_boot else Safety.REVIEW
    return edits.of_spec(j.spec, f"name it {text}", safety, edit)
