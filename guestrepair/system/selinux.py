"""SELinux as the guest is set up to start it: configuration, policies, and the labels they give.

Sources: selinux_config(5); systemd's ``src/core/selinux-setup.c``; the kernel's parameters ``selinux=`` and
``security=``.
"""

from __future__ import annotations

from collections.abc import Iterable
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
AUTORELABEL = GuestPath("/.autorelabel")
_RELABELLERS = tuple(
    GuestPath(path)
    for path in (
        "/usr/lib/systemd/system/selinux-autorelabel.service",
        "/usr/lib/systemd/system/rhel-autorelabel.service",
        "/usr/lib/systemd/fedora-autorelabel",
        "/usr/sbin/fixfiles",
    )
)
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


@dataclass(frozen=True, slots=True)
class LabelledPath:
    """A path, the label that it has ("": none), and the one that the policy gives it."""

    path: GuestPath
    label: str
    wanted: str

    @property
    def type(self) -> str:
        """The type in its label: what rules of a policy go by; the rest is setfiles' to leave alone."""
        return _type(self.label)

    @property
    def wanted_type(self) -> str:
        """The type in the policy's."""
        return _type(self.wanted)


def _type(label: str) -> str:
    parts = label.split(":")
    return parts[2] if len(parts) > 2 else ""


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
    def is_enforced(self) -> bool:
        """True when the kernel starts it, with a policy that is there, and refuses what that forbids."""
        config = self.config
        if config is None or config.mode is None or config.mode.value.lower() != "enforcing":
            return False
        if not self.is_started or not self.has_policy(config.policy_name):
            return False
        return not any(line.cmdline.get("enforcing") == "0" for line in self._boot_loader.lines)

    @fact
    def relabels_at_boot(self) -> bool:
        """True when the next boot labels everything again."""
        asked = any(line.cmdline.get("autorelabel") == "1" for line in self._boot_loader.lines)
        return asked or self._guest.lstat(AUTORELABEL) is not None

    @fact
    def can_relabel(self) -> bool:
        """True when the guest has what labels everything again at boot."""
        return any(map(self._guest.exists, _RELABELLERS))

    @fact
    def customizable(self) -> frozenset[str]:
        """The types that an administrator may give, and relabelling keeps (customizable_types(5))."""
        name = self.config.policy_name if self.config is not None else _DEFAULT_POLICY
        path = TOP / name / "contexts/customizable_types"
        text = self._guest.read_if_there(path) or b""
        return frozenset(text.decode("utf-8", "replace").split())

    def compared(self, paths: Iterable[GuestPath]) -> tuple[LabelledPath, ...]:
        """What is there of these paths, links followed, with the label that it has and the policy's.

        Raises:
            GuestReadError: the policy or a label cannot be read.
        """
        guest = self._guest
        real = dict.fromkeys(filter(None, map(guest.resolve, paths)))
        found = []
        for path, stat in guest.lstat_many(real).items():
            wanted = self.labels.of(path, stat.mode) if stat is not None else ""
            if wanted:
                found.append(LabelledPath(path, guest.label(path), wanted))
        return tuple(found)

    @fact
    def labels(self) -> Labels:
        """The label that the policy gives a path.

        Raises:
            GuestReadError: a file of it is there and cannot be read.
        """
        return Labels(self._guest)
