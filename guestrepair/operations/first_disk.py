"""What of a plan lies on a guest's further disks: left out, since a transaction is about one image."""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.guest.devices import BlockDevices, Mount
from guestrepair.model import Finding, GuestPath
from guestrepair.repair.plan import Left, Plan, Step


def on_first_disk(plan: Plan, block: BlockDevices, mounts: Sequence[Mount]) -> Plan:
    """The plan without the findings whose repair changes files or devices of a further disk.

    Their overlays are thrown away: such a repair would be verified and then lost.
    """
    first = block.disks[0].name
    devices = {d.name for d in block.devices if d.disk != first} | {d.name for d in block.disks[1:]}
    targets = {mount.target for mount in mounts if mount.source in devices}
    outside = [f for f in plan.findings if _touches(f, devices, targets)]
    if not outside:
        return plan
    changes = {change for f in outside if f.repair is not None for change in f.repair.changes}
    return Plan(
        tuple(f for f in plan.findings if f not in outside),
        tuple(step for step in plan.steps if step.change not in changes and not _under(step, targets)),
        (*plan.left, *(Left(f, "it lies on a further disk: repair that image") for f in outside)),
    )


def _touches(finding: Finding, devices: set[str], targets: set[str]) -> bool:
    changes = finding.repair.changes if finding.repair is not None else ()
    return any(
        getattr(change, "device", "") in devices or _is_under(getattr(change, "path", None), targets)
        for change in changes
    )


def _under(step: Step, targets: set[str]) -> bool:
    return _is_under(step.path, targets)


def _is_under(path: GuestPath | None, targets: set[str]) -> bool:
    if path is None:
        return False
    return any(str(parent) in targets for parent in (path, *path.parents) if str(parent) != "/")
