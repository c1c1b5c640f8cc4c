"""Which images: arguments, lists, globs, directories, libvirt's machines; each named once.

A line of a list, split as a shell does, ``#`` begins a comment::

    URI [disk=PATH]… [key=[DEVICE:]file:PATH]… [donor=PATH]… [root=DEVICE] [format=F] [backing=DIR]…
        [all-disks]

``disk`` are further disks of the same machine. Names are taken as they are written: relative ones from the
working directory; one with ``://`` is a URI.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from guestrepair.appliance.keys import names_a_file
from guestrepair.errors import UsageError
from guestrepair.fleet.machines import MACHINES, machines

SUFFIXES = frozenset({".img", ".qcow2", ".raw", ".vdi", ".vhd", ".vhdx", ".vmdk"})
"""What of a directory is taken for an image, by its name."""
MAX_LINE, MAX_IMAGES = 1 << 16, 1_000_000
_WORDS: Mapping[str, str] = {
    "disk": "--disk",
    "key": "--key",
    "root": "--root",
    "format": "--input-format",
    "backing": "--allow-backing",
}
_FLAGS: Mapping[str, str] = {"all-disks": "--all-disks-attached"}
_PATTERN = frozenset("*?[")
_PASSWORD = re.compile(r"://([^/?#@:\s]*):[^/?#@\s]*@")
_QUERY = re.compile(r"\?(?!socket=/)[^\s'\"]+")
"""All but that of nbd+unix, which names a socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An image that was named: its URI or path as written, the words of its own options, its donors.

    ``skipped`` says why it is not looked at on purpose, ``problem`` why it cannot be (a line that is not
    understood); both are "" for an image to be looked at.
    """

    uri: str
    options: tuple[str, ...] = ()
    donors: tuple[str, ...] = ()
    skipped: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """What it is called: the list line that names it."""
        words = {option: word for word, option in (*_WORDS.items(), *_FLAGS.items())}
        pairs = [f"{words[option]}={value}" if value else words[option] for option, value in self._pairs()]
        return shlex.join([self.uri, *pairs, *(f"donor={donor}" for donor in self.donors)])

    @property
    def id(self) -> str:
        """A digest of what is meant, the same from every working directory: 24 digits."""
        words = [absolute(self.uri), *self.options, *self.donors]
        return hashlib.sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()[:24]

    @property
    def files(self) -> tuple[str, ...]:
        """The image and its further disks."""
        return (self.uri, *(value for option, value in self._pairs() if option == "--disk"))

    def _pairs(self) -> Iterator[tuple[str, str]]:
        words = iter(self.options)
        for word in words:
            yield (word, "") if word in _FLAGS.values() else (word, next(words, ""))


def shown(name: str) -> str:
    """A name, or a line of a list, as it may be shown to others: without queries (they sign an address) and
    passwords of URIs.
    """
    if "://" not in name:
        return name
    return _PASSWORD.sub(r"://\1:…@", _QUERY.sub("?…", name))


def is_local(uri: str) -> bool:
    """Whether a name is that of a file or device of this host."""
    return "://" not in uri


def absolute(uri: str) -> str:
    """A local name from the root, whatever the working directory; a URI as it is."""
    return os.path.abspath(uri) if is_local(uri) else uri  # noqa: PTH100 - the name, not what links lead to


def gather(names: Sequence[str], lists: Sequence[str], stdin: IO[bytes]) -> list[Source]:
    """The images of the arguments and lists (``-`` is stdin), each once, in that order.

    Raises:
        UsageError: a list cannot be read, or nothing is named.
    """
    found: dict[str, Source] = {}
    for source in (*_expanded(names), *(s for path in lists for s in _of_list(path, stdin))):
        found.setdefault(source.id, source)
        if len(found) > MAX_IMAGES:
            raise UsageError(f"more than {MAX_IMAGES} images", hint="split them: --shard")
    if not found:
        raise UsageError("no image is named", hint="name images, a directory, or a list: --from FILE")
    return list(found.values())


def _expanded(names: Iterable[str]) -> Iterator[Source]:
    for name in names:
        yield from _expand(Source(uri=name), where="")


def _expand(source: Source, where: str) -> Iterator[Source]:
    """What a name stands for: a directory's images, what a pattern matches, machines, or itself."""
    name = source.uri
    if name.startswith(MACHINES):
        yield from _machines(name.removeprefix(MACHINES))
        return
    if not is_local(name) or (os.path.lexists(name) and not os.path.isdir(name)):  # noqa: PTH112
        yield source
        return
    directory = os.path.isdir(name)  # noqa: PTH112 - names as they were written
    if directory:
        matching = _images_of(name)
        nothing = f"no image is in it ({', '.join(sorted(SUFFIXES))})"
    elif _PATTERN & set(name):
        matching, nothing = sorted(glob.glob(name)), "nothing matches"  # noqa: PTH207
    else:
        yield source
        return
    if not matching:
        yield Source(uri=name, problem=f"{where}{name}: {nothing}")
    for each in matching:
        yield Source(uri=each, options=source.options, donors=source.donors)


def _images_of(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208
    except OSError:
        return []
    paths = (os.path.join(directory, name) for name in names if Path(name).suffix.lower() in SUFFIXES)  # noqa: PTH118
    return [path for path in paths if os.path.isfile(path)]  # noqa: PTH113


def _machines(directory: str) -> Iterator[Source]:
    for machine in machines(Path(directory) if directory else None):
        if machine.problem or not machine.disks:
            problem = machine.problem or f"{machine.file}: the machine has no disk that is a file or device"
            yield Source(uri=str(machine.file), problem=problem)
            continue
        first, *others = machine.disks
        options = tuple(word for disk in others for word in ("--disk", disk))
        yield Source(uri=first, options=options, skipped=machine.runs)


# --- lists ----------------------------------------------------------------------------


def _of_list(path: str, stdin: IO[bytes]) -> Iterator[Source]:
    try:
        if path == "-":
            yield from _of_lines("-", stdin)
            return
        with Path(path).open("rb") as file:
            yield from _of_lines(path, file)
    except OSError as error:
        raise UsageError(f"--from {path}: {error.strerror}", hint="name a list, or - for stdin") from error


def _of_lines(path: str, file: IO[bytes]) -> Iterator[Source]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        where = f"{path}:{number}: "
        if len(line) > MAX_LINE:
            raise UsageError(f"{where}a line of more than {MAX_LINE} bytes", hint="is it a list of images?")
        try:
            source = _of_line(os.fsdecode(line))
        except ValueError as error:
            written = os.fsdecode(line).strip()
            yield Source(uri=written, problem=f"{where}{shown(str(error))}")
            continue
        if source is not None:
            yield from _expand(source, where)


def _of_line(line: str) -> Source | None:
    """The source that a line names; None for an empty line or a comment.

    Raises:
        ValueError: it is not understood; with what is wrong.
    """
    if "\0" in line:
        raise ValueError("a zero byte: this is no list")
    words = shlex.split(line, comments=True)
    if not words:
        return None
    uri, *pairs = words
    options: list[str] = []
    donors: list[str] = []
    for pair in pairs:
        word, is_pair, value = pair.partition("=")
        if word in _FLAGS and not is_pair:
            options.append(_FLAGS[word])
        elif word == "donor" and value:
            donors.append(value)
        elif word in _WORDS and value:
            if word == "key" and not _names_a_file(value):
                raise ValueError("a key in a list has to name a file: key=[DEVICE:]file:PATH")
            options += [_WORDS[word], value]
        else:
            known = ", ".join((*(f"{w}=" for w in _WORDS), "donor=", *_FLAGS))
            raise ValueError(f"{pair!r} is not understood; known are {known}")
    return Source(uri=uri, options=tuple(options), donors=tuple(donors))


def _names_a_file(key: str) -> bool:
    try:
        return names_a_file(key)
    except UsageError:
        return False
