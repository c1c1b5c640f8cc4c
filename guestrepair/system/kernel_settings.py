"""What the kernel is told at boot beside its command line: sysctl.d, and which file of modprobe.d says what.

Sources: sysctl.d(5), "Configuration directories and precedence"; sysctl.conf(5) and sysctl(8), ``--system``,
for OpenRC, sysvinit and their like; modprobe.d(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guestrepair.formats.sysctl import MAX_SIZE_BYTES, Setting, parse_sysctl
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, fact, parsed
from guestrepair.system.logs import Logs
from guestrepair.system.systemd import Systemd, chosen_files

_FOLDERS = tuple(
    map(
        GuestPath,
        ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"),
    )
)
_CONF = GuestPath("/etc/sysctl.conf")
_KERNEL_LOGS = ("kern.log*", "messages*", "dmesg*")
_MEMORY = re.compile(r"\bMemory: [0-9]{1,16}[kK]/(?P<all>[0-9]{1,12})[kK] available")


@dataclass(frozen=True, slots=True)
class Assigned:
    """A setting that counts, the file that holds it, and that file's bytes."""

    path: GuestPath
    data: bytes
    setting: Setting

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.setting.line}"


class KernelSettings:
    """The kernel's settings of one guest."""

    def __init__(self, guest: Guest, systemd: Systemd, logs: Logs) -> None:
        self._guest = guest
        self._systemd = systemd
        self._logs = logs

    @fact
    def sysctl(self) -> Mapping[str, Assigned]:
        """What counts of all files, by key: the last word of the last file, by the files' names."""
        found: dict[str, Assigned] = {}
        for path in (self._guest.resolve(file) or file for file in self._files()):
            data = self._guest.read(path, limit_bytes=MAX_SIZE_BYTES)
            for setting in parsed(parse_sysctl, data, path):
                found[setting.key] = Assigned(path, data, setting)
        return found

    def _files(self) -> Iterator[GuestPath]:
        """systemd reads sysctl.conf only where a link in sysctl.d leads to it; others read it last."""
        yield from chosen_files(self._guest, _FOLDERS, ".conf")
        if not self._systemd.installed and self._guest.is_file(_CONF):
            yield _CONF

    def text(self, path: GuestPath) -> bytes:
        """The bytes of a file of modprobe.d.

        Raises:
            GuestReadError: it cannot be read.
        """
        return self._guest.read(path)

    @fact
    def memory_bytes(self) -> int:
        """The most memory that the kernel ever said it has, 0 where no log tells."""
        size = 0
        for entry in self._logs.entries(("kernel",), _KERNEL_LOGS):
            said = None if isinstance(entry, Unreadable) else _MEMORY.search(entry[1].message)
            size = max(size, int(said["all"]) * 1024) if said is not None else size
        return size
