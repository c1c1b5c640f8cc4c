"""What a guest mounts: fstab, crypttab, mount and swap units as one table, and the devices they mean.

``facts`` reads; ``encoding`` and ``normalize`` make readable what is not; ``sources`` says what a name is,
``evidence`` and ``meaning`` which device a line means, ``correction``, ``tags`` and ``subvolumes`` what
it must say. All of it is asked of :class:`~guestrepair.system.mounts.table.Mounts`.
"""

from guestrepair.system.mounts.table import Mounts

__all__ = ["Mounts"]
