"""One look at the disks: what is on them, and the guests that were opened since.

It never changes; whoever writes to the disks, or learns that what was read does not hold, replaces
the whole of it. So nothing of an old look can be left behind in a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from guestrepair.guest.devices import BlockDevice, BlockDevices
from guestrepair.guest.mount_plan import MountPlan
from guestrepair.guest.root_filesystems import Root
from guestrepair.session.discovery import Discovery
from guestrepair.session.views import Views


@dataclass(frozen=True, slots=True)
class Look:
    """What was found on the disks at one time. ``roots`` is None until somebody asks for the systems."""

    block: BlockDevices
    locked: tuple[BlockDevice, ...]
    """LUKS containers that no key opened."""
    views: Views
    by_host: bool = False
    """The host found all of it, and will after a write, too."""
    roots: tuple[Root, ...] | None = None
    unread: tuple[tuple[str, str], ...] = ()
    """Filesystems that could not be looked at, with why."""
    plans: Mapping[str, MountPlan] = field(default_factory=dict)
    """What is mounted below each root, by the root's name."""

    @classmethod
    def of(cls, discovery: Discovery, views: Views) -> Look:
        """What a discovery has found."""
        return cls(discovery.block(), tuple(discovery.locked), views, discovery.by_host)

    def with_roots(self, roots: list[Root], unread: list[tuple[str, str]]) -> Look:
        """The same, with the systems in it, and the filesystems that could not be looked at."""
        return replace(self, roots=tuple(roots), unread=tuple(unread))

    def with_plan(self, root: Root, plan: MountPlan) -> Look:
        """The same, with what is mounted below a root."""
        return replace(self, plans={**self.plans, root.name: plan})

    def after_files_changed(self) -> Look:
        """The same devices and systems, and nothing that was read of their files."""
        return replace(self, views=replace(self.views), plans={})

    def read_anew(self) -> Look:
        """The same devices, and nothing that was read of their filesystems."""
        return Look(self.block, self.locked, replace(self.views), self.by_host)
