"""Keys for encrypted disks: what ``--key`` may say, and which key to try on which container."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.errors import UsageError
from guestrepair.guest.devices import BlockDevice

MAX_KEY_FILE_BYTES = 8 * 1024 * 1024
"""cryptsetup's own limit on a key file."""

_PARTS = re.compile(r"(?:(.*?):)??(key|file):(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Key:
    """A passphrase for one container (``selector``: device or UUID), or for any (empty); from which file."""

    selector: str
    secret: str = field(repr=False)
    file: Path | None = None


def parse_key(text: str) -> Key:
    """Read one ``--key`` value: ``[SELECTOR:]key:SECRET`` or ``[SELECTOR:]file:PATH``.

    A selector is a device name or a UUID, or ``all``; the notation is that of
    guestfish(1). A trailing newline of a key file is not part of the key.

    Raises:
        UsageError: another form, or a file that cannot be read as text.
    """
    selector, kind, value = _parts(text)
    return _key("" if selector == "all" else selector, kind, value)


def names_a_file(text: str) -> bool:
    """True when a ``--key`` value says where the key is, and so holds no secret itself, however it is read.

    One with ``:key:`` in it as well may have been meant otherwise than it is taken: it is not to be shown.

    Raises:
        UsageError: another form.
    """
    _, kind, value = _parts(text)
    return kind == "file" and ":key:" not in value


def _parts(text: str) -> tuple[str, str, str]:
    """Selector, kind and value of a ``--key``: the first kind counts, what follows may hold any word."""
    match = _PARTS.match(text)
    if match is None:
        raise UsageError(
            "--key: not understood",
            hint="write DEVICE:file:PATH, DEVICE:key:SECRET, file:PATH or key:SECRET "
            "(DEVICE: name, UUID or all)",
        )
    return match[1] or "", match[2], match[3]


def _key(selector: str, kind: str, value: str) -> Key:
    return Key(selector, value) if kind == "key" else Key(selector, _from_file(value), Path(value))


def _from_file(name: str) -> str:
    try:
        with Path(name).open("rb") as source:
            content = source.read(MAX_KEY_FILE_BYTES)
        return content.decode().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"--key: {name}: {reason}") from error


@dataclass(slots=True)
class KeyRing:
    """The keys given, and how to ask for one more (None: nobody to ask)."""

    keys: Sequence[Key] = ()
    ask: Callable[[BlockDevice], str | None] | None = None

    def candidates(self, container: BlockDevice) -> Iterator[str]:
        """Keys to try on a container: those named for it, those for any, then what the user types."""
        names = {container.name, container.uuid, f"UUID={container.uuid}"}
        yield from (k.secret for k in self.keys if k.selector in names)
        yield from (k.secret for k in self.keys if not k.selector)
        if self.ask is not None:
            typed = self.ask(container)
            if typed is not None:
                yield typed
