"""The guest's files as sshd_config's Include finds them, and which file sshd is started with."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.systemd import LoadedUnit

DEFAULT_CONFIG = GuestPath("/etc/ssh/sshd_config")
VENDOR_CONFIGS = (GuestPath("/usr/etc/ssh/sshd_config"),)
"""Where SUSE's build looks when /etc has none."""

TEMPLATES = tuple(
    GuestPath(p)
    for p in (
        "/usr/share/openssh/sshd_config",
        "/usr/share/doc/openssh/sshd_config",
        "/usr/etc/ssh/sshd_config",
    )
)
"""Copies of the packaged configuration that packages leave in the guest itself (Debian, SUSE)."""

MAGIC = re.compile(r"[*?[]")
PATH_MAX = 4096
MAX_MATCHES = 10_000
CONFIG_OPTION = re.compile(r"(?:^|\s)-[46dDeiqtT]*f\s*(\S+)")


class GuestSource:
    """glob(3) and reading inside the guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def glob(self, pattern: str) -> Sequence[str]:
        """Paths that match, sorted; ``~`` and paths that are not absolute match nothing."""
        if not pattern.startswith("/") or "\0" in pattern or len(pattern) > PATH_MAX:
            return ()
        found = [GuestPath("/")]
        parts = [p for p in pattern.split("/") if p and p != "."]
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            found = [path for base in found for path in self._step(base, part, last=last)][:MAX_MATCHES]
        return [str(path) for path in sorted(found)]

    def _step(self, base: GuestPath, part: str, *, last: bool) -> Iterator[GuestPath]:
        if part == "..":
            yield base.parent
        elif not MAGIC.search(part):
            path = base / part
            if self._guest.lstat(path) is not None if last else self._guest.is_directory(path):
                yield path
        elif self._guest.is_directory(base):
            for name in self._guest.listdir(base):
                hidden = name.startswith(".") and not part.startswith(".")
                if not hidden and fnmatch.fnmatchcase(name, part):
                    yield base / name

    def read(self, path: str) -> bytes | None:
        """Content, None where open(2) would fail; empty for a directory.

        Raises:
            GuestReadError: it is there and cannot be read, or is larger than a configuration is.
        """
        found = self._guest.stat(GuestPath(path))
        if found is None:
            return None
        return self._guest.read(GuestPath(path)) if found.is_file else b""


def config_path(guest: Guest, services: Sequence[LoadedUnit]) -> GuestPath:
    """The file that sshd is started with: ``-f`` of the unit or its environment files, else the default."""
    for service in services:
        texts = [*service.unit.values("Service", "ExecStart")]
        for name in service.unit.words("Service", "EnvironmentFile"):
            path = GuestPath(name.lstrip("-"))
            if path.is_absolute() and guest.is_file(path):
                texts.extend(_assignments(guest.read(path).decode("utf-8", "replace")))
        for text in texts:
            option = CONFIG_OPTION.search(text)
            if option and option[1].startswith("/"):
                return GuestPath(option[1])
    if not guest.exists(DEFAULT_CONFIG):
        return next((p for p in VENDOR_CONFIGS if guest.exists(p)), DEFAULT_CONFIG)
    return DEFAULT_CONFIG


def _assignments(text: str) -> Iterator[str]:
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            yield value.strip("\"'")
