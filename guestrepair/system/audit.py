"""The audit daemon: whether boot starts it, where it writes, and what it does when it cannot.

Sources: auditd.conf(5), auditd(8); audit ``src/auditd-config.c`` (keywords in any case, the last one counts).
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.formats import selinux_config
from guestrepair.formats.selinux_config import Setting
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact
from guestrepair.system.files import guest_path
from guestrepair.system.systemd import Systemd

CONFIG = GuestPath("/etc/audit/auditd.conf")
_UNIT = "auditd.service"
_PROGRAMS = (GuestPath("/usr/sbin/auditd"), GuestPath("/sbin/auditd"))
_LOG_FILE = "/var/log/audit/audit.log"
_DEFAULTS = {"space_left": "75", "admin_space_left": "50"}


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """auditd.conf: its bytes and its settings by name in small letters."""

    data: bytes
    settings: dict[str, Setting]

    def word(self, name: str) -> str:
        """The first word of a setting in small letters; its default, else "", where it is not set."""
        setting = self.settings.get(name)
        words = setting.value.split() if setting is not None else []
        return words[0].lower() if words else _DEFAULTS.get(name, "")

    @property
    def log_file(self) -> GuestPath:
        """Where the records go."""
        setting = self.settings.get("log_file")
        words = setting.value.split() if setting is not None else []
        return guest_path(words[0]) if words and words[0].startswith("/") else GuestPath(_LOG_FILE)

    def threshold_bytes(self, name: str, size_bytes: int) -> int:
        """The room that ``space_left`` or ``admin_space_left`` asks for: MiB, or percent of the disk."""
        text = self.word(name)
        digits = text.removesuffix("%")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            return 0
        return size_bytes * int(digits) // 100 if text.endswith("%") else int(digits) << 20


class Audit:
    """The audit daemon of one guest."""

    def __init__(self, guest: Guest, systemd: Systemd) -> None:
        self._guest = guest
        self._systemd = systemd

    @fact
    def is_started(self) -> bool:
        """True when boot starts it."""
        return any(map(self._guest.exists, _PROGRAMS)) and _UNIT in self._systemd.started_at_boot

    @fact
    def config(self) -> AuditConfig | None:
        """Its configuration; None where there is none, and it does not start."""
        data = self._guest.read_if_there(CONFIG)
        if data is None:
            return None
        found = selinux_config.parse(data)
        return AuditConfig(data, {name.lower(): setting for name, setting in found.items()})
