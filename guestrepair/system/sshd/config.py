"""The guest's files as sshd_config's Include finds them, and which file sshd is started with."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.sshd_config.parse import Config, Place, parse
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.sshd.command import CommandLine
from guestrepair.system.sshd.server import Server

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


def config_path(guest: Guest, command: CommandLine | None, compiled_in: frozenset[str]) -> GuestPath:
    """The file that sshd is started with: ``-f`` of its command line, else the one that is built in."""
    if command is not None and command.config is not None:
        return command.config
    if str(DEFAULT_CONFIG) not in compiled_in:
        own = [path for path in compiled_in if path.endswith("/sshd_config")]
        if len(own) == 1:
            return GuestPath(own[0])
    if not guest.exists(DEFAULT_CONFIG):
        return next((p for p in VENDOR_CONFIGS if guest.exists(p)), DEFAULT_CONFIG)
    return DEFAULT_CONFIG


def read_config(
    guest: Guest, path: GuestPath, command: CommandLine | None, origins: Sequence[GuestPath], server: Server
) -> Config:
    """The configuration with its includes, after what the command line says; the first value counts.

    ``origins`` are the files that the command line may stand in: a line of it has its place there.

    Raises:
        GuestReadError: a file of it cannot be read.
    """

    def parsed(name: str, data: bytes) -> Config:
        try:
            return parse(
                name, data, GuestSource(guest),
                release=server.release, family=server.family, known_words=server.words,
            )  # fmt: skip
        except FormatError as error:
            raise GuestReadError(name, error.message) from error

    config = parsed(str(path), guest.read(path) if guest.is_file(path) else b"")
    if command is None or not command.lines:
        return config
    given = parsed(str(path), "\n".join(command.lines).encode("utf-8", "replace"))
    places = [_place_of(guest, text, origins) for text in command.lines]

    def moved(place: Place) -> Place:
        return places[min(place.line, len(places)) - 1]

    own = tuple(replace(d, place=moved(d.place)) for d in given.directives)
    rest = (d for d in config.directives if not (command.ports and d.name == "port"))
    return Config(
        config.files,
        (*own, *rest),
        (*(replace(p, place=moved(p.place)) for p in given.problems), *config.problems),
        (*(replace(d, place=moved(d.place)) for d in given.ignored), *config.ignored),
        config.release,
    )


def _place_of(guest: Guest, text: str, origins: Sequence[GuestPath]) -> Place:
    """Where a word of the command line stands, as far as that can be told."""
    wanted = text.rpartition(" ")[2].encode("utf-8", "replace")
    for path in origins:
        for number, line in enumerate((guest.read_if_there(path) or b"").split(b"\n"), 1):
            if wanted in line and not line.lstrip().startswith((b"#", b";")):
                return Place(str(path), number, 0)
    return Place(str(origins[0] if origins else DEFAULT_CONFIG), 1, 0)
