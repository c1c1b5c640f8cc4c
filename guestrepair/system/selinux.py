"""SELinux as the guest is set up to start it: configuration, policies, and the labels they give.

Sources: selinux_config(5); systemd's ``src/core/selinux-setup.c``; the kernel's parameters ``selinux=`` and
``security=``.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.formats import selinux_config
from guestrepair.formats.selinux_config import Setting
from guestrepair.guest.selinux import Labels
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.fact import fact

CONFIG = GuestPath("/etc/selinux/config")
TOP = GuestPath("/etc/selinux")
_DEFAULT_POLICY = "targeted"
_FAMILIES = frozenset({"rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn"})


@dataclass(frozen=True, slots=True)
class SelinuxConfig:
    """/etc/selinux/config: its bytes, and the settings of mode and policy where it has them."""

    data: bytes
    mode: Setting | None
    policy: Setting | None

    @property
    def policy_name(self) -> str:
        """The policy that is loaded."""
        return self.policy.value if self.policy is not None else _DEFAULT_POLICY


class Selinux:
    """SELinux of one guest."""

    def __init__(self, guest: Guest, boot_loader: BootLoader) -> None:
        self._guest = guest
        self._boot_loader = boot_loader

    @fact
    def config(self) -> SelinuxConfig | None:
        """Its configuration; None where there is none, or nothing is in it."""
        data = self._guest.read_if_there(CONFIG)
        if not data:
            return None
        settings = selinux_config.parse(data)
        return SelinuxConfig(data, settings.get("SELINUX"), settings.get("SELINUXTYPE"))

    @fact
    def is_started(self) -> bool:
        """True when the distribution's kernels start it by themselves, or the command line asks for it."""
        lines = [line.cmdline for line in self._boot_loader.lines]
        if any(line.get("selinux") == "0" for line in lines):
            return False
        for unread in self._boot_loader.unread:
            raise unread.error  # it may say either
        own = {self._guest.os.distro, *self._guest.os.id_like}
        return bool(own & _FAMILIES) or any(line.get("security") == "selinux" for line in lines)

    @fact
    def is_permissive_at_boot(self) -> bool:
        """True when a boot entry's command line makes it permissive, whatever the configuration says."""
        return any(line.cmdline.get("enforcing") == "0" for line in self._boot_loader.lines)

    @fact
    def policies(self) -> tuple[str, ...]:
        """The policies of which there is a file that can be loaded."""
        names = self._guest.listdir(TOP) if self._guest.is_directory(TOP) else ()
        return tuple(name for name in names if self.has_policy(name))

    def has_policy(self, name: str) -> bool:
        """True when there is a file of this policy that can be loaded."""
        if not name or "/" in name:
            return False
        return any(map(self._guest.is_file, self._guest.glob(TOP / name / "policy", "policy.*")))

    @fact
    def labels(self) -> Labels:
        """The label that the policy gives a path.

        Raises:
            GuestReadError: a file of it is there and cannot be read.
        """
        return Labels(self._guest)
