"""What lies on a damaged filesystem waits until that is repaired: before, nobody knows what is left of it."""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.guest.mount_plan import holders, mount_points
from guestrepair.guest.view import Guest
from guestrepair.model import Change, Finding, GuestPath, RunFsck
from guestrepair.repair.plan import Left

_REASON = "{} is damaged: have that repaired, too (filesystems/corrupt, with --all or --select)"


def behind_damage(
    findings: Sequence[Finding], guest: Guest
) -> tuple[list[Finding], list[Finding], tuple[Left, ...]]:
    """Those to be repaired now, those that wait for a checker among them, and the others, each with why.

    Damaged are the filesystems of paths that could not be read (:attr:`Guest.damage`).
    """
    ground = _Ground(guest)
    damaged = {device for path in guest.damage for device in ground.devices(GuestPath(path))}
    checked = {c.device for f in findings for c in _changes(f) if isinstance(c, RunFsck)}
    now: list[Finding] = []
    waiting: list[Finding] = []
    left: list[Left] = []
    for finding in findings:
        places = [change.place for change in _changes(finding)] if damaged else []
        behind = {d for place in places if place is not None for d in ground.devices(place)} & damaged
        if not behind:
            now.append(finding)
        elif behind <= checked:
            waiting.append(finding)
        else:
            left.append(Left(finding, _REASON.format(min(behind - checked))))
    return now, waiting, tuple(left)


def _changes(finding: Finding) -> Sequence[Change]:
    return finding.repair.changes if finding.repair is not None else ()


class _Ground:
    """The devices under the paths of one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._sources = {GuestPath(mount.target): mount.source for mount in guest.mounts}
        self._points = mount_points(guest, self._sources)

    def devices(self, path: GuestPath) -> set[str]:
        """The device under a path; more than one where links make that unsure."""
        found = holders(self._guest, self._points, path)
        return {self._sources[target] for target in found if target in self._sources}
