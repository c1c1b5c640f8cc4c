"""How initramfs-tools makes its images here: initramfs.conf(5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.formats.initramfs_tools import ModulesSetting, parse_modules_setting
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed

_HOME = GuestPath("/etc/initramfs-tools")
_VENDOR = GuestPath("/usr/share/initramfs-tools/conf.d")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True)
class ModulesPolicy:
    """Which modules go into an image, and where that is said: the file, its bytes, the place in it."""

    path: GuestPath
    data: bytes
    setting: ModulesSetting

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.setting.line}"


def read_modules_policy(guest: Guest) -> ModulesPolicy | None:
    """The setting that counts: the last one of the files as mkinitramfs(8) reads them; None without one.

    Raises:
        GuestReadError: one of the files cannot be read.
    """
    found = None
    for path in _files(guest):
        data = guest.read_if_there(path)
        setting = None if data is None else parsed(parse_modules_setting, data, path)
        if data is not None and setting is not None:
            found = ModulesPolicy(path, data, setting)
    return found


def _files(guest: Guest) -> list[GuestPath]:
    own = guest.glob(_HOME / "conf.d", "*")
    names = {path.name for path in own}
    vendor = [path for path in guest.glob(_VENDOR, "*") if path.name not in names]
    found = [path for path in (*vendor, *own) if _NAME.match(path.name) and ".dpkg-" not in path.name]
    return [_HOME / "initramfs.conf", *(path for path in found if guest.is_file(path))]
